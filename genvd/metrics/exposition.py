"""Renders the metrics of one collection, at most once per format, and caches the bytes for scrapes."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from genvd.common.error_log import ErrorLog
from genvd.metrics.samples import Collector, Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as MetricFamily

log = logging.getLogger(__name__)

_WARM_TICKS = 12
"""A format is rendered in advance until it has not been requested for this many collections."""

GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A text format of metrics."""

    content_type: str
    encode: Callable[[Collector], bytes]
    """The encoder of prometheus-client: returns all metrics of a collector or registry."""
    end: bytes = b""
    """The end of every document in this format."""

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0]


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", choose_encoder("text/plain")[0])
OPENMETRICS = Format(
    # Some versions of prometheus-client say version 0.0.1. For gauges and counters both versions are the same.
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    # No name needs escaping. With allow-utf-8 the client finds this out in half the time.
    choose_encoder("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8")[0],
    b"# EOF\n",
)

Variant = tuple[Format, bool]
"""A format, and whether it is compressed with gzip."""

_Texts = list[tuple["MetricFamily", bytes]]
"""Each metric with its text, without the end of the document."""


class Exposition:
    """The metrics of one collection, rendered on demand."""

    def __init__(self, families: Iterable[MetricFamily], previous: Exposition | None = None) -> None:
        """Render the formats that were requested recently.

        Args:
            families: the metrics. The text of an object that is also in ``previous`` is reused.
            previous: the exposition that this one replaces.
        """
        self._families = list(families)
        self._lock = threading.Lock()  # only scrapes take it; the collection is finished when they see this object
        self._bodies: dict[Variant, bytes] = {}
        self._texts: dict[Format, _Texts] = {}
        self._errors: _RenderingErrors = previous._errors if previous else _RenderingErrors()
        self._ticks_since_request: dict[Variant, int] = previous.warm_variants() if previous else {}
        for variant in self._ticks_since_request:
            self._render(variant, previous._texts if previous else {})

    def cached_body(self, variant: Variant) -> bytes | None:
        """Return the rendered metrics, or None if this variant is not rendered yet. Never blocks."""
        self._ticks_since_request[variant] = 0
        return self._bodies.get(variant)

    def body(self, variant: Variant) -> bytes:
        """Return the rendered metrics. The first caller renders them, others wait for it."""
        self._ticks_since_request[variant] = 0
        body = self._bodies.get(variant)
        if body is None:
            with self._lock:
                body = self._render(variant, {})
        return body

    def warm_variants(self) -> dict[Variant, int]:
        """Return the variants to render in advance, with the number of collections since the last request."""
        requested = list(self._ticks_since_request.items())  # copied at once, as scrapes change it
        return {variant: ticks + 1 for variant, ticks in requested if ticks < _WARM_TICKS}

    def _render(self, variant: Variant, old_texts: dict[Format, _Texts]) -> bytes:
        """Return the body of a variant. It is rendered if it is not cached."""
        if variant not in self._bodies:
            format_, compressed = variant
            if compressed:
                plain = self._render((format_, False), old_texts)
                self._bodies[variant] = gzip.compress(plain, GZIP_LEVEL, mtime=0)
            else:
                texts = self._texts[format_] = self._render_all(format_, old_texts.get(format_, []))
                self._bodies[variant] = b"".join([*(text for _, text in texts), format_.end])
        return self._bodies[variant]

    def _render_all(self, format_: Format, old_texts: _Texts) -> _Texts:
        by_name = {family.name: (family, text) for family, text in old_texts}
        return [
            (family, self._render_family(format_, family, *by_name.get(family.name, (None, b""))))
            for family in self._families
        ]

    def _render_family(self, format_: Format, family: MetricFamily, old: MetricFamily | None, old_text: bytes) -> bytes:
        """Return the text of a metric, updated from the old text if possible; empty if rendering fails."""
        if family is old:
            return old_text
        try:
            if isinstance(family, Family) and isinstance(old, Family) and family.has_same_series(old) and old_text:
                text = _updated_text(old_text, old, family)
            else:
                text = format_.encode(_SingleFamily(family)).removesuffix(format_.end)
        except Exception as error:  # a bug in one metric must not fail the scrape
            self._errors.report(family.name, error)
            return b""
        self._errors.clear(family.name)
        return text


def render(format_: Format, families: Iterable[MetricFamily]) -> bytes:
    """Render metrics without caching."""
    return Exposition(families).body((format_, False))


def _updated_text(text: bytes, old: Family, new: Family) -> bytes:
    """Return the text of a metric with the new values; the series are the same.

    prometheus-client takes about 10 µs per series, nearly all of it for the labels. So only the value is replaced: the
    part after the last space of the line, as no sample has a timestamp.
    """
    *lines, end = text.split(b"\n")
    first = len(lines) - len(new.values)  # after HELP and TYPE
    for number, (before, after) in enumerate(zip(old.values.values(), new.values.values(), strict=True), first):
        if before != after:
            value: str = floatToGoString(after)  # type: ignore[no-untyped-call]
            lines[number] = lines[number].rpartition(b" ")[0] + f" {value}".encode()
    return b"\n".join((*lines, end))


class _SingleFamily(Collector):
    """A collector of one metric."""

    def __init__(self, family: MetricFamily) -> None:
        self._family = family

    def collect(self) -> Iterable[MetricFamily]:
        return (self._family,)


class _RenderingErrors:
    """Logs metrics that cannot be rendered. The timer thread and scrapes both use it."""

    def __init__(self) -> None:
        self._errors = ErrorLog(log)
        self._lock = threading.Lock()

    def report(self, name: str, error: Exception) -> None:
        with self._lock:
            self._errors.defect(name, f"rendering the metric {name}", error, ", which is left out")

    def clear(self, name: str) -> None:
        if name in self._errors.active:
            with self._lock:
                self._errors.clear(name, f"the metric {name} is rendered again")
