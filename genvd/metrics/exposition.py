"""The bytes that scrapes get: written by prometheus-client, at most once per tick and format."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from genvd.common.error_log import ErrorLog
from genvd.metrics.samples import Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as MetricFamily

log = logging.getLogger(__name__)

_WARM_TICKS = 12
"""For so many ticks after it was last asked for, a format is rendered by the tick, so that no scrape waits."""

GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A form in which metrics are sent."""

    content_type: str
    encode: Callable[[Collector], bytes]
    """Of prometheus-client: returns all metrics of a collector or registry as text."""
    end: bytes = b""
    """What the text of every registry ends in."""

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0]


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", choose_encoder("text/plain")[0])
OPENMETRICS = Format(
    # Some versions of prometheus-client call it 0.0.1; of gauges and counters without a time both are the same.
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    # None of the names has to be escaped. With this way of doing so, the client finds that out in half the time.
    choose_encoder("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8")[0],
    b"# EOF\n",
)

Variant = tuple[Format, bool]
"""A format, and whether it is compressed with gzip."""

_Texts = list[tuple["MetricFamily", bytes]]
"""Each metric with its text, without the end of the format."""


class Exposition:
    """The metrics of one tick."""

    def __init__(self, families: Iterable[MetricFamily], previous: Exposition | None = None) -> None:
        """Render what scrapers have asked for lately.

        Args:
            families: the metrics. One that is the same object as in the previous exposition keeps its text.
            previous: the exposition that this one replaces; it knows who asked for what.
        """
        self._families = list(families)
        self._lock = threading.Lock()  # held by scrapes only: the tick is done when they get to see this
        self._bodies: dict[Variant, bytes] = {}
        self._texts: dict[Format, _Texts] = {}
        self._errors: _RenderingErrors = previous._errors if previous else _RenderingErrors()
        self._unasked_ticks: dict[Variant, int] = previous.still_warm() if previous else {}
        for variant in self._unasked_ticks:
            self._rendered(variant, previous._texts if previous else {})

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
                body = self._rendered(variant, {})
        return body

    def still_warm(self) -> dict[Variant, int]:
        """Return the formats worth rendering before anybody asks, with the ticks since somebody did."""
        asked = list(self._unasked_ticks.items())
        return {variant: ticks + 1 for variant, ticks in asked if ticks < _WARM_TICKS}

    def _rendered(self, variant: Variant, before: dict[Format, _Texts]) -> bytes:
        if variant not in self._bodies:
            format_, compressed = variant
            if compressed:
                plain = self._rendered((format_, False), before)
                self._bodies[variant] = gzip.compress(plain, GZIP_LEVEL, mtime=0)
            else:
                texts = self._texts[format_] = self._written(format_, before.get(format_, []))
                self._bodies[variant] = b"".join([*(text for _, text in texts), format_.end])
        return self._bodies[variant]

    def _written(self, format_: Format, before: _Texts) -> _Texts:
        by_name = {family.name: (family, text) for family, text in before}
        return [
            (family, self._text(format_, family, *by_name.get(family.name, (None, b"")))) for family in self._families
        ]

    def _text(self, format_: Format, family: MetricFamily, old: MetricFamily | None, old_text: bytes) -> bytes:
        """Return the text of a metric, made from the one before where possible; none if it cannot be written."""
        if family is old:
            return old_text
        try:
            if isinstance(family, Family) and isinstance(old, Family) and family.has_labels_of(old) and old_text:
                text = _with_values(old_text, old, family)
            else:
                text = format_.encode(_One(family)).removesuffix(format_.end)
        except Exception as error:  # a defect in one metric must not cost the scrape
            self._errors.failed(family.name, error)
            return b""
        self._errors.succeeded(family.name)
        return text


def render(format_: Format, families: Iterable[MetricFamily]) -> bytes:
    """Return the metrics in a format."""
    return Exposition(families).body((format_, False))


def _with_values(text: bytes, old: Family, new: Family) -> bytes:
    """Return the text of a metric with other values of the same series.

    The client library takes about 10 µs to write a series, nearly all of it for the labels. So of a series that was
    there already only the number is written again: what follows the last space of its line, as no series has a time.
    """
    *lines, end = text.split(b"\n")
    first = len(lines) - len(new.values)  # after HELP and TYPE
    for place, (before, after) in enumerate(zip(old.values.values(), new.values.values(), strict=True), first):
        if before != after:
            number: str = floatToGoString(after)  # type: ignore[no-untyped-call]
            lines[place] = lines[place].rpartition(b" ")[0] + f" {number}".encode()
    return b"\n".join((*lines, end))


class _One(Collector):
    """Gives one metric."""

    def __init__(self, family: MetricFamily) -> None:
        self._family = family

    def collect(self) -> Iterable[MetricFamily]:
        return (self._family,)


class _RenderingErrors:
    """Logs the metrics that cannot be written, which ticks and scrapes find out."""

    def __init__(self) -> None:
        self._errors = ErrorLog(log)
        self._lock = threading.Lock()

    def failed(self, name: str, error: Exception) -> None:
        with self._lock:
            self._errors.defect(name, f"writing the metric {name}", error, ", which is left out")

    def succeeded(self, name: str) -> None:
        if name in self._errors.active:
            with self._lock:
                self._errors.clear(name, f"the metric {name} is written again")
