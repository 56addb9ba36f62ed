"""The sentences about problems of the machine, its GPUs and its certificates."""

from __future__ import annotations

import re
from typing import Any

import pytest

from genvd.model.device import Board, Device, DeviceDetails, MemoryHealth, Throttling, XidErrors
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import (
    CertificateValidity,
    CollectorStatus,
    LedgerStatus,
    ListenAddress,
    MissingDevice,
    ServiceStatus,
    Snapshot,
)
from genvd.overview import overview
from genvd.overview.driver_help import CRITICAL_XIDS, PROGRAM_XIDS, xid_severity
from genvd.overview.problem import Problem
from genvd.overview.problems import problems
from genvd.overview.talks import talks
from tests.support.rules import rules
from tests.support.shown import device as gpu
from tests.support.shown import environment, inhabited, visited

GIB = 2**30


@pytest.mark.parametrize(
    ("minors", "files"), [((4,), ["4"]), ((4, 0), ["4", "0"]), ((None, 0), []), ((None,), [])], ids=str
)
def test_advice_names_the_device_files_only_if_their_numbers_are_known(
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
    (problem,) = found.problems
    assert re.findall(r"/dev/nvidia(\d+)", problem.action) == files
    assert problem.summary.startswith("GPU 0: 1.0 GiB are" if len(minors) == 1 else "GPUs 0 and 1: 1.0 and 1.0 GiB are")


@pytest.mark.parametrize(("mig_devices", "told"), [(0, True), (2, False), (None, False)])
def test_a_gpu_in_mig_mode_without_mig_devices_is_told_with_the_way_out(mig_devices: int | None, told: bool) -> None:
    device = Device(3, up=True, mig_mode="enabled", mig_devices=mig_devices, processes_listed=True)
    found = overview(Snapshot(0.0, ServiceStatus("1", "live", "3", "13"), devices=(device,), processes=())).problems
    assert [problem.summary for problem in found] == (
        ["GPU 3 is in MIG mode and has no MIG devices, so nobody can use it."] if told else []
    )
    assert all("-i 3 -mig 0" in problem.action for problem in found)


@pytest.mark.parametrize(("now", "wrong"), [(5.0, "is not valid before"), (15.0, None), (20.0, "expired on 1970")])
def test_a_certificate_is_a_problem_before_and_after_its_time(now: float, wrong: str | None) -> None:
    certificates = (CertificateValidity("server", 20.0, 5.0, 10.0), CertificateValidity("client_ca", 20.0, 5.0, 10.0))
    service = ServiceStatus("1", "live", "3", "13", certificate_ends=certificates)
    found = [one.summary for one in overview(Snapshot(now, service, devices=(), processes=())).problems]
    assert [one for one in found if "certificate" in one] == [one for one in found if wrong and wrong in one]
    assert len([one for one in found if "certificate" in one]) == (2 if wrong else 0)


def problems_of(**values: object) -> list[Problem]:
    """Return the problems of a machine whose only GPU has these values."""
    device = Device(0, "GPU-0", up=True, **values)  # type: ignore[arg-type]
    snapshot = Snapshot(0.0, ServiceStatus("1", "live", "3", "13"), devices=(device,), environments=(), processes=())
    return [problem for problem in problems(snapshot) if problem.summary.startswith("GPU 0")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"health": MemoryHealth(unrepairable_memory=True)},
            "GPU 0 has defective memory that cannot be repaired.",
        ),
        ({"health": MemoryHealth(tpc_repair_pending=True)}, "GPU 0 needs a reset to finish a repair."),
        ({"health": MemoryHealth(channel_repair_pending=True)}, "GPU 0 needs a reset to finish a repair."),
        ({"details": DeviceDetails(inforom_corrupted=True)}, "GPU 0 has a corrupted InfoROM."),
    ],
    ids=str,
)
def test_a_defect_of_a_gpu_is_a_problem(values: dict[str, object], expected: str) -> None:
    assert [problem.summary for problem in problems_of(**values)] == [expected]


def test_a_healthy_gpu_has_no_problem() -> None:
    health = MemoryHealth(channel_repair_pending=False, tpc_repair_pending=False, unrepairable_memory=False)
    assert problems_of(health=health, details=DeviceDetails(inforom_corrupted=False)) == []


@pytest.mark.parametrize(
    ("xids", "summary", "cause"),
    [
        ((XidErrors(31, 2, -1500.0),), "GPU 0: XID 31 (GPU memory page fault), 25 min ago.", "a bug in the program"),
        (
            (XidErrors(31, 1, -60.0), XidErrors(48, 0), XidErrors(999, 1, -20.0)),
            "GPU 0: XID 31 (GPU memory page fault), 1 min ago; XID 999, just now.",
            "NVIDIA's list of XID errors",
        ),
    ],
)
def test_recent_xid_errors_are_explained(xids: tuple[XidErrors, ...], summary: str, cause: str) -> None:
    (problem,) = problems_of(xids=xids)
    assert problem.summary == summary
    assert cause in problem.action


def test_an_old_xid_error_is_no_problem() -> None:
    assert problems_of(xids=(XidErrors(31, 1, -3601.0),)) == []


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "GPU 0 is oversubscribed: its environments asked for more memory than it has."),
        (2, "GPUs 0 and 1 are oversubscribed: their environments asked for more memory than they have."),
        (3, "GPUs 0, 1 and 2 are oversubscribed: their environments asked for more memory than they have."),
    ],
)
def test_oversubscribed_gpus_are_one_problem(count: int, expected: str) -> None:
    indices = tuple(range(count))
    environments = (environment("1", indices), environment("2", indices))
    snapshot = inhabited(tuple(gpu(index) for index in indices), environments, (), {})
    assert [one.summary for one in problems(snapshot) if "oversubscribed" in one.summary] == [expected]


def severities(alert: str) -> set[str]:
    """Return the severities of an alert, in the words of a problem."""
    named = {"critical": "error"}
    return {named.get(one, one) for one in (r["labels"]["severity"] for r in rules("alert") if r["alert"] == alert)}


def broken() -> Snapshot:
    """Return a machine with a problem of each kind that has an alert."""
    slow = DeviceDetails(throttling=(Throttling("hw_thermal", True),))
    urgent, later = (DeviceDetails(recovery_action=action) for action in ("gpu_reset", "drain_and_reset"))
    ill: tuple[dict[str, Any], ...] = (
        {"up": False, "memory_used_bytes": None},
        {"health": MemoryHealth(remap_failed=True)},
        {"health": MemoryHealth(remap_pending=True)},
        {"health": MemoryHealth(sram_threshold_exceeded=True)},
        {"details": slow},
        {"details": urgent},
        {"details": later},
        {"memory_used_bytes": 8 * GIB},
        *({"xids": (XidErrors(xid, 1, 9e12),)} for xid in (79, 31, 63)),
    )
    environments = (
        environment("1", (4,), gpu_memory_bytes=GIB, gpus=0, idle_seconds=9000.0, pids=(7,)),
        environment("2", (5,)),
    )
    contexts = (Context(7, 4, 2 * GIB), Context(7, 9, 0), Context(8, 9, 0))
    owners = {7: ProcessOwner(1001, "1", "python3"), 8: ProcessOwner(1002, None, "miner")}
    devices = tuple(gpu(index, **values) for index, values in enumerate(ill))
    snapshot = inhabited(devices, environments, contexts, owners)
    service = snapshot.service._replace(
        config_reload_successful=False,
        publish_success=False,
        certificate_ends=(CertificateValidity("server", 0.0),),
        listening=(ListenAddress("127.0.0.1:8000", served=False),),
    )
    return snapshot._replace(
        service=service,
        ledger=LedgerStatus(write_success=False),
        missing_devices=(MissingDevice(11, "GPU-11", None),),
        collectors=tuple(CollectorStatus(name, False, 0.0, "why") for name in ("nvml", "genv")),
        driver_state="hung",
    )


def test_a_problem_is_as_severe_as_its_alert() -> None:
    found = overview(broken())
    told: dict[str, set[str]] = {}
    for alert, severity in (
        *((one.alert, one.severity) for one in found.problems),
        *((one.alert, one.severity) for one in found.talks),
    ):
        if alert:
            told.setdefault(alert, set()).add(severity)
    assert told == {alert: severities(alert) for alert in told}
    unseen = {
        "GenvMonitorDown",
        "GenvMonitorStale",
        "GenvSeriesDropped",
    }  # the page says itself that there is no answer
    over_time = {"GenvDeviceHot", "GenvDeviceMemoryHot", "GenvDeviceUncorrectableEcc", "GenvUserNotReacting"}
    links = {"GenvDeviceNvlinkDown", "GenvDeviceFabricProblem"}
    assert {rule["alert"] for rule in rules("alert")} - told.keys() == unseen | over_time | links


def test_only_the_machine_and_the_monitor_are_red() -> None:
    found = overview(broken())
    assert {one.severity for one in found.talks} == {"warning", "info"}
    assert not [one for one in found.problems if one.people and one.severity == "error"]


@pytest.mark.parametrize("number", sorted(CRITICAL_XIDS | PROGRAM_XIDS | {63, 74, 999}))
def test_an_xid_is_as_severe_as_its_alert(number: int) -> None:
    matching = [
        {"critical": "error"}.get(rule["labels"]["severity"], rule["labels"]["severity"])
        for rule in rules("alert")
        if rule["alert"] == "GenvDeviceXid"
        and all(
            bool(re.fullmatch(pattern, str(number))) is (operator == "=~")
            for operator, pattern in re.findall(r'xid(=~|!~)"([^"]+)"', rule["expr"])
        )
    ]
    assert matching == [xid_severity(number)]


def test_a_gpu_of_somebody_is_not_called_free_because_of_a_process_outside() -> None:
    (problem,) = (one for one in problems(visited(), talks(visited())) if one.alert == "GenvUnmanagedProcesses")
    assert problem.summary == "1 GPU process runs outside genv, so genv does not know of it."
    assert problem.names == ("a.out 200 (bob): runs on GPU 0 outside genv",)


def test_gpus_with_the_same_problem_are_one_problem() -> None:
    environments = (environment("1", (0,), name="train"), environment("2", (0, 2), name="eval", username="bob"))
    down = (gpu(index, up=False, memory_used_bytes=None) for index in (0, 2, 3))
    devices = (gpu(1, xids=(XidErrors(79, 1, 9e12),)), *down)
    owners = {7: ProcessOwner(1002, None, "miner")}
    (lost, xid) = problems(inhabited(devices, environments, (Context(7, 0, 1), Context(7, 3, 1)), owners))[:2]
    assert (lost.summary, lost.names, lost.devices) == (
        "GPUs 0, 2 and 3 do not answer.",
        ("train (alice)", "eval (bob)", "miner 7 (bob)"),
        (0, 2, 3),
    )
    assert "--gpu-reset -i 0,2,3;" in lost.action
    assert xid.devices == (1,)
