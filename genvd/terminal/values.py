"""Values as people read them; what is not known is a dash."""

from __future__ import annotations

UNKNOWN = "-"
_GIB = 2**30


def gib(value: int | None) -> str:
    """Return bytes in GiB."""
    return UNKNOWN if value is None else f"{value / _GIB:.1f}"


def percent(ratio: float | None) -> str:
    """Return a share of 1 in percent."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f}%"


def whole(value: float | None) -> str:
    """Return a number without what is behind the point."""
    return UNKNOWN if value is None else f"{value:.0f}"


def numbers(values: tuple[int, ...]) -> str:
    """Return numbers, such as those of devices."""
    return ",".join(map(str, values)) or UNKNOWN


def duration(seconds: float | None) -> str:
    """Return how long something lasts, roughly."""
    if seconds is None:
        return UNKNOWN
    rest = max(0, round(seconds))
    if rest < 60:
        return f"{rest}s"
    if rest < 3600:
        return f"{rest // 60}m"
    if rest < 48 * 3600:
        return f"{rest // 3600}h{rest % 3600 // 60:02d}m"
    return f"{rest // 86400}d"


def count(things: tuple[object, ...] | None, one: str, many: str) -> str:
    """Return how many things there are."""
    if things is None:
        return f"{many} unknown"
    return f"{len(things)} {one if len(things) == 1 else many}"
