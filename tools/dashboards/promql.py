"""How a PromQL expression is put together.

Everything starts from `per`, which keeps exactly the labels it is given. So no expression depends on which
job, pod or other label a scrape configuration adds, and a machine that two jobs scrape counts once.
"""

SELECTED = 'instance=~"$instance"'
"""The matcher for the machines chosen at the top of the dashboard."""


def per(metric: str, *labels: str, where: str = "") -> str:
    """Give a metric of the selected machines with the label instance and the given ones, and no others."""
    matchers = f"{SELECTED}, {where}" if where else SELECTED
    return f"max by ({', '.join(('instance', *labels))}) ({metric}{{{matchers}}})"


def on(*labels: str) -> str:
    """Give the matching clause of a join on the machine and the given labels."""
    return f"on ({', '.join(('instance', *labels))})"


def share(part: str, whole: str, *, none_if: str) -> str:
    """Give how much of a whole a part is, in percent, over the selected machines together.

    Both have one value for each machine. A machine that knows only one of them would distort the share, so it
    is left out. Without a machine that knows both, or with a whole of 0, the share is 0 if the sum of none_if
    is 0 and absent otherwise.
    """
    parts = f"sum(({part}) and {on()} ({whole}))"
    wholes = f"sum(({whole}) and {on()} ({part}))"
    return f"clamp_max(100 * {parts} / ({wholes} > 0), 100) or sum({none_if}) == 0"


def named_when_empty(expression: str, label: str, name: str) -> str:
    """Give the expression with a name for an empty label, which Prometheus and Grafana take for missing."""
    return f'label_replace({expression}, "{label}", "{name}", "{label}", "")'
