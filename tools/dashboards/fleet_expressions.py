"""PromQL expressions of the fleet dashboard. They read recording rules and alerts only.

Their cost therefore depends on the number of machines, not on what runs there. Range queries have one sum and no join:
over a thousand machines and steps, `per` takes ten times as long as a sum, and a join fifty times. A machine that two
of the chosen jobs scrape counts twice there.
"""

from tools.dashboards.promql import OF_JOBS, SELECTED, highest, on, per


def recorded(record: str) -> str:
    """Return a recorded value of each chosen machine."""
    return per(record)


def total(record: str) -> str:
    """Return the sum over the chosen machines."""
    return f"sum({_plain(record)})"


def mean(record: str) -> str:
    """Return the mean over the chosen machines."""
    return f"avg({_plain(record)})"


def greatest(record: str) -> str:
    """Return the maximum over the chosen machines."""
    return f"max({_plain(record)})"


def quantile(record: str, share: float) -> str:
    """Return the quantile over the chosen machines for this share."""
    return f"quantile({share}, {_plain(record)})"


def top(record: str, most: int) -> str:
    """Return a recorded value of the chosen machines with the highest values at each moment."""
    return highest(most, _plain(record))


def _plain(record: str) -> str:
    return f"{record}{{{SELECTED}}}"


def up() -> str:
    """Return whether each chosen machine answers."""
    return recorded("instance:up:max")


def machines_up() -> str:
    """Return the number of chosen machines that answer."""
    return f"sum({up()})"


def machines_down() -> str:
    """Return the number of chosen machines that do not answer."""
    return f"count({up()}) - sum({up()})"


def devices_down() -> str:
    """Return the number of GPUs of the chosen machines that do not answer, or that the driver no longer lists."""
    silent = f"{total('instance:genv_device_up:count')} - {total('instance:genv_device_up:sum')}"
    return f"{silent} + ({total('instance:genv_devices_missing:sum')} or vector(0))"


def utilisation() -> str:
    """Return the mean utilisation of the answering GPUs, in percent; machines are weighted by their number of GPUs."""
    each, devices = recorded("instance:genv_device_utilization:avg"), recorded("instance:genv_device_up:sum")
    return f"sum({each} * {on()} {devices}) / (sum({devices} and {on()} {each}) > 0)"


def memory_share() -> str:
    """Return the used GPU memory in percent, on machines where both used and total memory are known."""
    used = recorded("instance:genv_device_memory_used_bytes:sum")
    size = recorded("instance:genv_device_memory_total_bytes:sum")
    return f"100 * sum({used} and {on()} {size}) / (sum({size} and {on()} {used}) > 0)"


def fleet(record: str, label: str) -> str:
    """Return a recorded value by a label, over all machines."""
    return f"sum by ({label}) ({record}{{{OF_JOBS}}})"


def fleet_mean(record: str, number: str, label: str) -> str:
    """Return the mean of a recorded mean by a label, over all machines; jobs and sites are weighted by a number."""
    each, weight = (f"{name}{{{OF_JOBS}}}" for name in (record, number))
    return f"sum by ({label}) ({each} * {weight}) / (sum by ({label}) ({weight} and {each}) > 0)"


def of_top_users(record: str, most: int) -> str:
    """Return a recorded value of the users with the most GPUs, attached or used outside genv."""
    allocated = fleet("username:genv_user_allocated_device_seconds:rate5m", "username")
    outside = fleet("username:genv_user_outside_device_seconds:rate5m", "username")
    both = f"{allocated} + {outside} or {allocated} or {outside}"
    return f"round({fleet(record, 'username')}, 0.1) and on (username) topk({most}, {both})"


def attached_here(most: int) -> str:
    """Return the number of GPUs attached to each user on the chosen machines, for the users with the most."""
    allocated = per("instance_username:genv_user_allocated_device_seconds:rate5m", "username")
    return f"sort_desc(round(topk({most}, sum by (username) ({allocated})), 0.1))"


def attached_by_user(most: int) -> str:
    """Return the number of GPUs attached to each user in the fleet, for the users with the most at each moment."""
    return f"round(topk({most}, {fleet('username:genv_user_allocated_device_seconds:rate5m', 'username')}), 0.1)"
