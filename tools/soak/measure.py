"""What a process holds, and whether that grows."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psutil

MIB = 2**20

WARM_UP = 0.2
"""Share of the samples that do not count: caches fill, modules are imported, the allocator takes its arenas."""

TOLERATED_BYTES = 3 * MIB
"""In 100,000 ticks this is 31 bytes a tick, less than the smallest object that could be left behind by each."""

TOLERATED_THREADS = 4
"""Pools keep their workers, and start one more when more calls than ever before go on at the same time. On a busy
machine that happens late, but hardly more often than there are collectors and devices. In 100,000 ticks this is one
thread in 15,000 ticks."""

EARLY_TICKS = 100
"""After which the first of everything has happened."""

MOST_GROWTH = 1.5
"""Times as much resident memory as then there may be at any time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds at one moment."""

    resident_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that the process holds, at the start (after the warm-up) and at the end."""

    name: str
    start: float
    end: float
    grows: bool


def take(process: psutil.Process) -> Sample:
    """Return what the process holds now."""
    return Sample(process.memory_info().rss, process.num_threads(), process.num_fds())


def judge(samples: Sequence[Sample]) -> list[Finding]:
    """Compare the first quarter of the samples after the warm-up with the last.

    Memory is compared by the median, with some tolerance. Threads and descriptors are compared by what is left in the
    quietest moment of each quarter, as connections come and go; a few threads more are tolerated, and no descriptor.

    Args:
        samples: in their order, at least eight.
    """
    counted = samples[int(len(samples) * WARM_UP) :]
    quarter = len(counted) // 4
    first, last = counted[:quarter], counted[-quarter:]

    def finding(name: str, of: Callable[[Sample], int], typical: Callable[[list[int]], float], most: int) -> Finding:
        start, end = typical([of(sample) for sample in first]), typical([of(sample) for sample in last])
        return Finding(name, start, end, grows=end - start > most)

    return [
        finding("resident memory", lambda sample: sample.resident_bytes, median, TOLERATED_BYTES),
        finding("threads", lambda sample: sample.threads, min, TOLERATED_THREADS),
        finding("descriptors", lambda sample: sample.descriptors, min, 0),
    ]


def highest(early: Sample, samples: Sequence[Sample]) -> Finding:
    """Compare the most memory that there was with what there was after the first :data:`EARLY_TICKS`.

    Memory that never grows for long may still be much more than what is in use, if freed memory is left in gaps.
    """
    most = max(sample.resident_bytes for sample in samples)
    return Finding("most memory", early.resident_bytes, most, grows=most > MOST_GROWTH * early.resident_bytes)
