"""Process lists in each layout that drivers use."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from genvd.collectors.nvml.process_list import RunningProcess, _decode
from genvd.model.facts import MigInstanceId

# nvmlProcessInfo_v1_t and nvmlProcessInfo_v2_t of nvml.h; the last one as in the nvml.h of driver 535.43.
SHORT, NORMAL, LONG = struct.Struct("=I4xQ"), struct.Struct("=I4xQII"), struct.Struct("=I4xQIIQ")
UNTOUCHED = b"\xa5"
NOT_AVAILABLE = 2**64 - 1
NO_INSTANCE = 2**32 - 1

ENTRY = st.tuples(st.integers(1, 2**22), st.integers(0, 2**40) | st.just(NOT_AVAILABLE))
ENTRIES = st.lists(ENTRY, max_size=40)
INSTANCE = st.integers(0, 13) | st.just(NO_INSTANCE)
SPARE = st.integers(0, 64)


def buffer(written: bytes, spare: int) -> bytes:
    """Return the buffer after the call. It is large enough for the longest entries, and some more."""
    return written + UNTOUCHED * (len(written) + (1 + spare) * LONG.size)


def expected(entries: list[tuple[int, int]], instance: int = NO_INSTANCE) -> list[RunningProcess]:
    place = None if instance == NO_INSTANCE else MigInstanceId(instance, instance)
    return [RunningProcess(pid, None if memory == NOT_AVAILABLE else memory, place) for pid, memory in entries]


@given(entries=ENTRIES, instance=INSTANCE, spare=SPARE)
def test_the_layout_of_nvml_h(entries: list[tuple[int, int]], instance: int, spare: int) -> None:
    written = b"".join(NORMAL.pack(*entry, instance, instance) for entry in entries)
    for version in ("_v2", "_v3"):
        assert _decode(buffer(written, spare), len(entries), version) == expected(entries, instance)


@given(entries=ENTRIES, instance=INSTANCE, spare=SPARE)
def test_the_layout_of_early_535_drivers(entries: list[tuple[int, int]], instance: int, spare: int) -> None:
    written = b"".join(LONG.pack(*entry, instance, instance, 0) for entry in entries)
    assert _decode(buffer(written, spare), len(entries), "_v3") == expected(entries, instance)


@given(entries=ENTRIES, spare=SPARE)
def test_the_layout_of_old_drivers(entries: list[tuple[int, int]], spare: int) -> None:
    written = b"".join(SHORT.pack(*entry) for entry in entries)
    assert _decode(buffer(written, spare), len(entries), "") == expected(entries)


@given(raw=st.binary(max_size=400), count=st.integers(0, 12), version=st.sampled_from(["", "_v2", "_v3"]))
def test_any_bytes(raw: bytes, count: int, version: str) -> None:
    processes = _decode(raw.ljust((count + 1) * LONG.size, UNTOUCHED), count, version)
    assert len(processes) == count
    assert all(0 <= process.pid < 2**32 for process in processes)
