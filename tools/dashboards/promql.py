"""Functions that build PromQL expressions.

Everything starts from `per`, which keeps exactly the labels it is given. So no expression depends on which
job, pod or other label a scrape configuration adds, and a machine that two jobs scrape counts once.
"""

from collections.abc import Sequence

from genvd.config.schema import Config

DEFAULT_GRACE = Config().idle_grace
"""Default of idle.grace in seconds, for machines that do not export it."""

OF_JOBS = 'job=~"$job"'
"""The matcher for the jobs chosen at the top of the dashboard."""

SELECTED = f'instance=~"$instance", {OF_JOBS}'
"""The matcher for the machines chosen at the top of the dashboard."""

THE_ONE = f'instance="$instance", {OF_JOBS}'
"""The matcher where only one machine can be chosen: Grafana escapes its name for a regular expression only where
several can be."""


def per(metric: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Return a metric of the selected machines by instance and the given labels only."""
    return _kept(f"{metric}{{{_matchers(machines, where)}}}", labels)


def increase(counter: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Return the increase of a counter in the chosen time range, with the labels of `per`."""
    return _kept(f"increase({counter}{{{_matchers(machines, where)}}}[$__range])", labels)


def rate(counter: str, *labels: str, where: str = "", machines: str = SELECTED) -> str:
    """Return the rate of a counter, with the labels of `per`."""
    return _kept(f"rate({counter}{{{_matchers(machines, where)}}}[$__rate_interval])", labels)


def _kept(expression: str, labels: tuple[str, ...]) -> str:
    return f"max by ({', '.join(('instance', *labels))}) ({expression})"


def _matchers(machines: str, where: str) -> str:
    return f"{machines}, {where}" if where else machines


def idle(seconds: str, grace: str) -> str:
    """Return how long environments have been idle, in seconds; 0 while in use.

    A monitor that does not export its grace has the default of the configuration.

    Args:
        seconds: time without use, by environment.
        grace: genv_monitor_idle_grace_seconds by machine.
    """
    default = f"{DEFAULT_GRACE:g} * group by (instance) ({seconds})"
    return f"{seconds} >= {on()} group_left () ({grace} or {default}) or 0 * {seconds}"


def of_others(info: str, *labels: str) -> str:
    """Return an info metric of the users that are not chosen, with the labels of `per`.

    If all users are chosen, the pattern matches a missing user too. VictoriaMetrics 1.79, of Debian 12, says that it
    does and that it does not, so what matches is left out.
    """
    others, chosen = (per(info, *labels, where=f'username{matches}"$username"') for matches in ("!~", "=~"))
    return f"({others} unless {chosen})"


def one_of(expression: str, *labels: str) -> str:
    """Return one series for each machine and values of these labels.

    Needed for info metrics: after a restart of Prometheus, the old and the new series may both exist for some minutes,
    and a join with both would fail.
    """
    return f"topk by ({', '.join(('instance', *labels))}) (1, {expression})"


def described(expression: str, info: str, *, by: Sequence[str], labels: Sequence[str]) -> str:
    """Add labels of an info metric to an expression; series without one keep their labels.

    Args:
        expression: has the label instance, and those of `by`.
        info: the info metric, with exactly the labels instance, those of `by` and the new ones.
        by: the labels to join on, in addition to instance.
        labels: the labels to add.
    """
    one = one_of(info, *by)
    known = f"({expression}) * {on(*by)} group_left ({', '.join(labels)}) {one}"
    return f"{known} or ({expression}) unless {on(*by)} {info}"


def or_none_of(expression: str, known: str) -> str:
    """Return the number, or 0 if there is nothing to count but `known` exists."""
    return f"({expression}) or 0 * max({known})"


def on(*labels: str) -> str:
    """Return the matching clause of a join on the machine and the given labels."""
    return f"on ({', '.join(('instance', *labels))})"


def share(part: str, whole: str, *, none_if: str) -> str:
    """Return a part as percent of a whole, over the selected machines together.

    Both have one value for each machine. A machine with only one of them would distort the share and is left out. If no
    machine has both, or the whole is 0, the share is 0 if the sum of `none_if` is 0, and absent otherwise.
    """
    parts = f"sum(({part}) and {on()} ({whole}))"
    wholes = f"sum(({whole}) and {on()} ({part}))"
    return f"clamp_max(100 * {parts} / ({wholes} > 0), 100) or sum({none_if}) == 0"


def highest(most: int, expression: str) -> str:
    """Return the series with the highest values, at each moment."""
    return f"topk({most}, {expression})"


def named_when_empty(expression: str, label: str, name: str) -> str:
    """Name an empty label, which Prometheus and Grafana treat as missing."""
    return replaced(expression, label, name, label, "")


def replaced(expression: str, label: str, value: str, source: str, pattern: str) -> str:
    """Set a label, which may be missing, to a value where another or the same one, too, matches a pattern.

    VictoriaMetrics 1.79, of Debian 12, may give a missing label the value of one that an aggregation has removed. To
    set a label that nobody has to nothing first changes nothing, and prevents that.
    """
    as_before = f'label_replace({expression}, "none", "", "", "")'
    return f'label_replace({as_before}, "{label}", "{value}", "{source}", "{pattern}")'
