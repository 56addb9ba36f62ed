"""Samples the memory, threads and descriptors of a process, and decides whether they grow."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psutil

MIB = 2**20

WARM_UP = 0.2
"""Share of the samples to ignore at the start: caches fill, modules are imported, the allocator reserves arenas."""

TOLERATED_BYTES = 3 * MIB
"""For 100,000 ticks this is 31 bytes a tick, less than the smallest object that a tick could leak."""

TOLERATED_THREADS = 4
"""Worker pools keep their threads, and start another one when more calls than before run at the same time. On a busy
machine that can happen late, but hardly more often than there are collectors and GPUs. For 100,000 ticks this is one
thread in 15,000 ticks."""

EARLY_TICKS = 100
"""Number of ticks after which everything has happened once."""

MOST_GROWTH = 1.5
"""Maximum resident memory, as a multiple of that after :data:`EARLY_TICKS`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The memory, threads and descriptors of the process at one time."""

    resident_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of resource at the start (after the warm-up) and at the end."""

    name: str
    start: float
    end: float
    grows: bool


def take(process: psutil.Process) -> Sample:
    """Return a sample of the process."""
    return Sample(process.memory_info().rss, process.num_threads(), process.num_fds())


def judge(samples: Sequence[Sample]) -> list[Finding]:
    """Compare the first quarter of the samples after the warm-up with the last.

    Memory is compared by the median, with a tolerance. Threads and descriptors are compared by the minimum of each
    quarter, as connections come and go; a few more threads are tolerated, but no descriptor.

    Args:
        samples: at least eight, in order.
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
    """Compare the maximum memory with that after the first :data:`EARLY_TICKS`.

    Memory that does not keep growing may still be much more than what is in use, if freed memory stays in gaps.
    """
    most = max(sample.resident_bytes for sample in samples)
    return Finding("most memory", early.resident_bytes, most, grows=most > MOST_GROWTH * early.resident_bytes)
