"""What is wrong, in words: which device file is named."""

from __future__ import annotations

import re

import pytest

from genvd.device_model import Board, Device
from genvd.model import ServiceStatus, Snapshot
from genvd.overview import overview

GIB = 2**30


@pytest.mark.parametrize(("minors", "files"), [((4, 0), ["4", "0"]), ((None, 0), ["0"]), ((None, None), [])])
def test_advice_names_the_file_of_the_device_and_none_where_it_is_not_known(
    minors: tuple[int | None, ...], files: list[str]
) -> None:
    devices = tuple(
        Device(
            index,
            up=True,
            memory_used_bytes=GIB,
            memory_reserved_bytes=0,
            processes_listed=True,
            board=Board(minor_number=minor),
        )
        for index, minor in enumerate(minors)
    )
    found = overview(Snapshot(0.0, ServiceStatus("1", "live", "3", "13"), devices=devices, processes=()))
    assert [word for one in found.problems for word in re.findall(r"/dev/nvidia(\d+)", one.todo)] == files
    assert len(found.problems) == len(minors)
