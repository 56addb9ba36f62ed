"""Scrapers such as Prometheus: each asks at its own moment of every interval; a scrape counts once it is whole."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from dataclasses import dataclass, field

_TIMEOUT = 10.0
"""Seconds; Prometheus' own scrape_timeout."""

_LAST_LINE = b"# EOF\n"


@dataclass
class Figures:
    """What came of all scrapes."""

    latencies: list[float] = field(default_factory=list)
    """Seconds, of those that succeeded."""
    lost: list[str] = field(default_factory=list)
    """Why, of the others."""
    resident_mib: float = 0.0
    """Of the monitor, at the end."""

    @property
    def scrapes(self) -> int:
        """How many there were."""
        return len(self.latencies) + len(self.lost)

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that this share of the scrapes did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def scrape_all(
    address: tuple[str, int],
    scrapers: int,
    seconds: float,
    interval: float = 1.0,
    tls: ssl.SSLContext | None = None,
    authorization: str | None = None,
) -> Figures:
    """Scrape for so many seconds; every second scraper keeps its connection, the others make one for each scrape."""
    figures = Figures()
    request = _request(authorization)
    end = time.monotonic() + seconds
    everybody = [_Scraper(address, tls, request, keeps=bool(n % 2), figures=figures) for n in range(scrapers)]
    await asyncio.gather(*(scraper.run(end, interval) for scraper in everybody))
    return figures


def _request(authorization: str | None) -> bytes:
    more = f"Authorization: {authorization}\r\n" if authorization else ""
    return (
        "GET /metrics HTTP/1.1\r\nHost: gpu.example.org:8000\r\nUser-Agent: load\r\n"
        f"Accept: application/openmetrics-text;version=1.0.0\r\n{more}\r\n"
    ).encode()


@dataclass
class _Scraper:
    address: tuple[str, int]
    tls: ssl.SSLContext | None
    request: bytes
    keeps: bool
    figures: Figures
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, end: float, interval: float) -> None:
        moment = time.monotonic() + random.random() * interval
        while moment < end:
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            await self._scrape()
            moment += interval
        self._hang_up()

    async def _scrape(self) -> None:
        started = time.monotonic()
        try:
            await asyncio.wait_for(self._ask(), _TIMEOUT)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.figures.lost.append(repr(error))
            self._hang_up()
        else:
            self.figures.latencies.append(time.monotonic() - started)
            if not self.keeps:
                self._hang_up()

    async def _ask(self) -> None:
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address, ssl=self.tls)
        reader, writer = self.streams
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if not head.startswith("http/1.1 200 "):
            raise ValueError(head.splitlines()[0])
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        if not body.endswith(_LAST_LINE):
            raise ValueError("the body is not whole")
        if "\r\nconnection: close\r\n" in head:
            self._hang_up()

    def _hang_up(self) -> None:
        if self.streams:
            self.streams[1].transport.abort()
            self.streams = None
