"""What is wrong, in words: which device file is named."""

from __future__ import annotations

import re

import pytest

from genvd.model.device import Board, Device
from genvd.model.snapshot import CertificateValidity, ServiceStatus, Snapshot
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
    assert [word for one in found.problems for word in re.findall(r"/dev/nvidia(\d+)", one.action)] == files
    assert len(found.problems) == len(minors)


@pytest.mark.parametrize(("now", "wrong"), [(5.0, "is not valid before"), (15.0, None), (20.0, "expired on 1970")])
def test_a_certificate_is_a_problem_before_and_after_its_time(now: float, wrong: str | None) -> None:
    certificates = (CertificateValidity("server", 20.0, 5.0, 10.0), CertificateValidity("client_ca", 20.0, 5.0, 10.0))
    service = ServiceStatus("1", "live", "3", "13", certificate_ends=certificates)
    found = [one.summary for one in overview(Snapshot(now, service, devices=(), processes=())).problems]
    assert [one for one in found if "certificate" in one] == [one for one in found if wrong and wrong in one]
    assert len([one for one in found if "certificate" in one]) == (2 if wrong else 0)
