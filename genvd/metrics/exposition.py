"""The bytes that scrapes get, rendered at most once per tick and format."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from genvd.metrics.family import Family, Value

_WARM_TICKS = 12
"""For so many ticks after it was last asked for, a format is rendered by the tick, so that no scrape waits."""

GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A form in which metrics are sent."""

    content_type: str
    media_type: str
    render: Callable[[Families], bytes]


class Written(NamedTuple):
    """A metric with the lines of its series."""

    name: str
    help: str
    type: Literal["gauge", "counter"]
    lines: bytes


class Families:
    """Metric families. The lines of their series are the same in all formats and made once.

    Then their values are not needed any more. They go one family after the other, as to free a million objects at once
    takes a long time in which nobody is answered.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = deque(families)
        self._written: list[Written] = []

    def written(self) -> list[Written]:
        """Return the families as they are written."""
        numbers: dict[Value, str] = {}
        while self._families:
            family = self._families.popleft()
            self._written.append(Written(family.name, family.help, family.type, family.lines(numbers).encode()))
        return self._written


def _text(families: Families) -> bytes:
    """Write the text format of Prometheus, version 0.0.4."""
    parts = []
    for family in families.written():
        head = f"# HELP {family.name} {_one_line(family.help)}\n# TYPE {family.name} {family.type}\n"
        parts += [head.encode(), family.lines]
    return b"".join(parts)


def _openmetrics(families: Families) -> bytes:
    """Write OpenMetrics, version 1.0, in which the family of a counter is called without its suffix."""
    parts = []
    for family in families.written():
        name = family.name.removesuffix("_total") if family.type == "counter" else family.name
        help_ = _one_line(family.help).replace('"', r"\"")
        parts += [f"# HELP {name} {help_}\n# TYPE {name} {family.type}\n".encode(), family.lines]
    return b"".join((*parts, b"# EOF\n"))


def _one_line(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", "text/plain", _text)
OPENMETRICS = Format(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", "application/openmetrics-text", _openmetrics
)

Variant = tuple[Format, bool]
"""A format, and whether it is compressed with gzip."""


class Exposition:
    """The metrics of one tick."""

    def __init__(self, families: Iterable[Family], previous: Exposition | None = None) -> None:
        """Render what scrapers have asked for lately.

        Args:
            families: the metrics.
            previous: the exposition that this one replaces; it knows who asked for what.
        """
        self._families = Families(families)
        self._lock = threading.Lock()  # held by scrapes only: the tick is done when they get to see this
        self._bodies: dict[Variant, bytes] = {}
        self._unasked_ticks: dict[Variant, int] = previous.still_warm() if previous else {}
        for variant in self._unasked_ticks:
            self._rendered(variant)

    def at_hand(self, variant: Variant) -> bytes | None:
        """Return the metrics in a format if they are rendered already, else None; never takes long."""
        self._unasked_ticks[variant] = 0
        return self._bodies.get(variant)

    def body(self, variant: Variant) -> bytes:
        """Return the metrics in a format. The first one who asks for it renders it, the others wait for that."""
        self._unasked_ticks[variant] = 0
        body = self._bodies.get(variant)
        if body is None:
            with self._lock:
                body = self._rendered(variant)
        return body

    def still_warm(self) -> dict[Variant, int]:
        """Return the formats worth rendering before anybody asks, with the ticks since somebody did."""
        asked = list(self._unasked_ticks.items())
        return {variant: ticks + 1 for variant, ticks in asked if ticks < _WARM_TICKS}

    def _rendered(self, variant: Variant) -> bytes:
        if variant not in self._bodies:
            format_, compressed = variant
            if compressed:
                self._bodies[variant] = gzip.compress(self._rendered((format_, False)), GZIP_LEVEL, mtime=0)
            else:
                self._bodies[variant] = format_.render(self._families)
        return self._bodies[variant]
