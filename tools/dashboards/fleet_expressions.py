"""What the dashboard of the fleet asks: of the recording rules and of what Prometheus itself knows, and no more.

So its cost follows from the number of machines, not from what goes on on them. What is asked over time has one sum and
no join: over a thousand machines and steps, `per` takes ten times as long as a sum alone, and a join fifty times. It is
the name of the job that makes each machine count once.
"""

from tools.dashboards.promql import SELECTED, on, per

_JOB = 'job="genv"'
_OURS = 'alertname=~"Genv.*"'
_MAYBE_SELECTED = 'instance=~"$instance|"'
"""An alert need not be about one machine."""


def recorded(record: str) -> str:
    """Give what was recorded of each chosen machine."""
    return per(record, where=_JOB)


def total(record: str) -> str:
    """Give the sum over the chosen machines."""
    return f"sum({_plain(record)})"


def mean(record: str) -> str:
    """Give the mean over the chosen machines."""
    return f"avg({_plain(record)})"


def greatest(record: str) -> str:
    """Give the greatest over the chosen machines."""
    return f"max({_plain(record)})"


def quantile(record: str, share: float) -> str:
    """Give the value below which this share of the chosen machines is."""
    return f"quantile({share}, {_plain(record)})"


def top(record: str, most: int) -> str:
    """Give what was recorded of the chosen machines of which it is the most at each moment."""
    return f"topk({most}, {_plain(record)})"


def _plain(record: str) -> str:
    return f"{record}{{{SELECTED}, {_JOB}}}"


def up() -> str:
    """Give whether each chosen machine answers."""
    return per("up", where=_JOB)


def machines_up() -> str:
    """Give how many of the chosen machines answer."""
    return f"sum({up()})"


def machines_down() -> str:
    """Give how many of the chosen machines do not answer."""
    return f"count({up()}) - sum({up()})"


def devices_down() -> str:
    """Give how many devices of the chosen machines do not answer."""
    return f"{total('instance:genv_device_up:count')} - {total('instance:genv_device_up:sum')}"


def free_devices() -> str:
    """Give how many devices answer and are held by nobody, of the machines of which it is known."""
    free = f"clamp_min({recorded('instance:genv_device_up:sum')} - {recorded('instance:genv_attached_devices:sum')}, 0)"
    return f"sum({free})"


def utilisation() -> str:
    """Give the mean utilisation of the devices that answer, in percent; each machine counts by its devices."""
    each, devices = recorded("instance:genv_device_utilization:avg"), recorded("instance:genv_device_up:sum")
    return f"sum({each} * {on()} {devices}) / (sum({devices} and {on()} {each}) > 0)"


def memory_share() -> str:
    """Give the used memory of the devices in percent, of the machines of which both are known."""
    used = recorded("instance:genv_device_memory_used_bytes:sum")
    there = recorded("instance:genv_device_memory_total_bytes:sum")
    return f"100 * sum({used} and {on()} {there}) / (sum({there} and {on()} {used}) > 0)"


def alerts_firing() -> str:
    """Give how many alerts fire."""
    return f'count(ALERTS{{alertstate="firing", {_OURS}, {_MAYBE_SELECTED}}}) or vector(0)'


def alerts() -> str:
    """Give since when each alert fires, in milliseconds since the epoch."""
    since = f"ALERTS_FOR_STATE{{{_OURS}, {_MAYBE_SELECTED}}}"
    firing = f'ALERTS{{alertstate="firing", {_OURS}, {_MAYBE_SELECTED}}}'
    both = f"{since} and ignoring (alertstate) {firing}"
    return f"1000 * min by (alertname, severity, instance, index, username) ({both})"


def fleet(record: str, label: str) -> str:
    """Give what was recorded by a label over all machines."""
    return f"sum by ({label}) ({record}{{{_JOB}}})"


def fleet_mean(record: str, label: str) -> str:
    """Give the mean of what was recorded by a label over all machines."""
    return f"avg by ({label}) ({record}{{{_JOB}}})"


def of_top_users(record: str, most: int) -> str:
    """Give what was recorded of the users who hold the most devices."""
    held = fleet("username:genv_user_allocated_device_seconds:rate5m", "username")
    return f"round({fleet(record, 'username')}, 0.1) and on (username) topk({most}, {held})"


def held_here(most: int) -> str:
    """Give the devices that each user holds on the chosen machines, of those who hold the most."""
    held = per("instance_username:genv_user_allocated_device_seconds:rate5m", "username", where=_JOB)
    return f"sort_desc(round(topk({most}, sum by (username) ({held})), 0.1))"


def held_by_user(most: int) -> str:
    """Give the devices that each user holds over the whole fleet, of those who hold the most at each moment."""
    return f"round(topk({most}, {fleet('username:genv_user_allocated_device_seconds:rate5m', 'username')}), 0.1)"
