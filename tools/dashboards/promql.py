"""How a PromQL expression is put together.

Everything starts from `per`, which keeps exactly the labels it is given. So no expression depends on which
job, pod or other label a scrape configuration adds, and a machine that two jobs scrape counts once.
"""

from collections.abc import Sequence

from genvd.config.schema import Config

DEFAULT_GRACE = Config().idle_grace
"""Seconds for which an environment without work is in use, where a machine does not tell its own."""

SELECTED = 'instance=~"$instance"'
"""The matcher for the machines chosen at the top of the dashboard."""

THE_ONE = 'instance="$instance"'
"""The matcher where only one machine can be chosen: Grafana escapes its name for a regular expression only where
several can be."""


def per(metric: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Give a metric of the selected machines with the label instance and the given ones, and no others."""
    return _kept(f"{metric}{{{_matchers(machines, where)}}}", labels)


def increase(counter: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Give by how much a counter rose in the chosen time range, with the labels as `per` gives them."""
    return _kept(f"increase({counter}{{{_matchers(machines, where)}}}[$__range])", labels)


def rate(counter: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Give by how much a counter rises in a second, with the labels as `per` gives them."""
    return _kept(f"rate({counter}{{{_matchers(machines, where)}}}[$__rate_interval])", labels)


def _kept(expression: str, labels: tuple[str, ...]) -> str:
    return f"max by ({', '.join(('instance', *labels))}) ({expression})"


def _matchers(machines: str, where: str) -> str:
    return f"{machines}, {where}" if where else machines


def idle(seconds: str, grace: str) -> str:
    """Give for how many seconds environments are idle, 0 where they are in use.

    A monitor that does not tell its grace has that of the default configuration.

    Args:
        seconds: without work, by environment.
        grace: genv_monitor_idle_grace_seconds by machine.
    """
    default = f"{DEFAULT_GRACE:g} * group by (instance) ({seconds})"
    return f"{seconds} >= {on()} group_left () ({grace} or {default}) or 0 * {seconds}"


def one_of(expression: str, *labels: str) -> str:
    """Give one series of those that have the same machine and the same of these labels.

    What describes something has its description as labels. After a restart of Prometheus the old description may
    stand beside the new one for some minutes, and a join on both would fail.
    """
    return f"topk by ({', '.join(('instance', *labels))}) (1, {expression})"


def described(expression: str, info: str, *, by: Sequence[str], labels: Sequence[str]) -> str:
    """Give the expression with more labels, those of what describes it; what nothing describes stays as it is.

    Args:
        expression: has the label instance, and those of `by`.
        info: the description, whose value is 1, with exactly the labels instance, those of `by` and the new ones.
        by: the labels on which the two are joined, beside instance.
        labels: the new ones.
    """
    one = one_of(info, *by)
    known = f"({expression}) * {on(*by)} group_left ({', '.join(labels)}) {one}"
    return f"{known} or ({expression}) unless {on(*by)} {info}"


def or_none_of(expression: str, known: str) -> str:
    """Give the number, and 0 where there is nothing to count although what is known says that it would be seen."""
    return f"({expression}) or 0 * max({known})"


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
