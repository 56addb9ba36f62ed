"""The simulated machine."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from genvd.analysis.policy import violations
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import DeviceGroups, GpuRequest
from genvd.collectors.demo.machine import DemoAccounts, DemoGenv, DemoGenvCommand, DemoGpus, DemoMachine, DemoProcesses
from genvd.collectors.registry import Collectors, make_collectors
from genvd.config.schema import Config
from genvd.metrics import GROUPS
from genvd.model.device import DeviceDetails, MemoryHealth
from genvd.model.snapshot import ServiceStatus, Snapshot
from genvd.service.monitor import Monitor
from tests.support.exported import exported

SERVICE = ServiceStatus("1", "demo", "3", "13")
TICKS = 300


EVERYTHING = DeviceGroups(pcie_throughput=True)


def looks(devices: int = 8, seed: int = 0, ticks: int = TICKS) -> list[Snapshot]:
    demo = DemoMachine(devices=devices, seed=seed)
    builder = SnapshotBuilder(
        Collectors("demo", DemoGpus(demo), DemoGenv(demo), DemoGenvCommand(), DemoProcesses(demo), DemoAccounts()),
        timeout=30,
        groups=EVERYTHING,
    )
    return [builder.build(SERVICE) for _ in range(ticks)]


@pytest.fixture(scope="module")
def history() -> list[Snapshot]:
    return looks()


def facts(snapshot: Snapshot) -> tuple[object, ...]:
    """Return all but for how long environments are idle, which is of the clock."""
    environments = [environment._replace(idle_seconds=None) for environment in snapshot.environments or ()]
    holdings = [holding._replace(idle_seconds=None) for holding in snapshot.holdings or ()]
    return snapshot.devices, snapshot.processes, environments, snapshot.users, holdings


def test_it_depends_only_on_the_seed(history: list[Snapshot]) -> None:
    assert [facts(snapshot) for snapshot in looks()] == [facts(snapshot) for snapshot in history]
    assert [facts(snapshot) for snapshot in looks(seed=1)] != [facts(snapshot) for snapshot in history]


def test_it_is_plausible(history: list[Snapshot]) -> None:
    for snapshot in history:
        assert snapshot.devices is not None
        assert snapshot.processes is not None
        held = dict.fromkeys(range(8), 0)
        for process in snapshot.processes:
            for use in process.uses:
                held[use.device_index] += use.memory_bytes or 0
        for device in snapshot.devices:
            assert 20 < (device.temperature_celsius or 0) < 100
            assert 0 <= (device.utilization_percent or 0) <= 100
            for slow in device.details.throttling:
                assert not slow.active or (slow.seconds_total or 0) > 0, slow
                assert not slow.active or "thermal" not in slow.reason, "none gets that hot"
            assert held[device.index] <= (device.memory_used_bytes or 0) <= (device.memory_total_bytes or 0)


def test_devices_follow_their_load(history: list[Snapshot]) -> None:
    """Ten seconds pass from one look to the next, unless the machine is told otherwise."""
    for before, after in pairwise(history):
        for old, new in zip(before.devices or (), after.devices or (), strict=True):
            took = (new.details.energy_joules or 0) - (old.details.energy_joules or 0)
            assert took == pytest.approx(10 * (new.details.power_watts or 0), abs=0.1)
            assert (new.details.power_watts or 0) <= (new.details.power_limit_watts or 0)
            for clock in new.details.clocks:
                assert 0 < (clock.hertz or 0) <= (clock.max_hertz or 0)
            assert all(x.count >= y.count for x, y in zip(new.xids, old.xids, strict=True))
            assert (new.memory_used_bytes or 0) + (new.memory_free_bytes or 0) + (new.memory_reserved_bytes or 0) == (
                new.memory_total_bytes
            )
    devices = [device for snapshot in history for device in snapshot.devices or ()]
    assert {t.active for d in devices for t in d.details.throttling if t.reason == "power_cap"} == {True, False}
    last = history[-1].devices or ()
    assert any(e.count for d in last for e in d.health.ecc_errors)
    assert any(x.last_seen for d in last for x in d.xids)
    assert [d.index for d in last if d.mig_instances] == [7]
    for device in last:
        assert sum(m.memory_used_bytes or 0 for m in device.mig_instances) in (0, device.memory_used_bytes)


def test_disabled_groups_are_absent() -> None:
    off = DeviceGroups(False, False, False, False, False, False, False)
    (first, *_) = DemoGpus(DemoMachine(devices=8)).collect(GpuRequest(0.0, off)).devices
    assert (first.details, first.health, first.nvlinks, first.xids) == (DeviceDetails(), MemoryHealth(), (), ())
    assert first.temperature_celsius


def test_environments_and_jobs_come_and_go(history: list[Snapshot]) -> None:
    eids = [{environment.eid for environment in snapshot.environments or ()} for snapshot in history]
    assert len(set.union(*eids)) > 5
    assert len(set.intersection(*eids)) == 1, "somebody has forgotten that they hold a device"
    assert len({user.username for snapshot in history for user in snapshot.users or ()}) > 3
    processes = [process for snapshot in history for process in snapshot.processes or ()]
    assert {process.eid is None for process in processes} == {True, False}
    idle = [e for snapshot in history for e in snapshot.environments or () if e.device_indices and not e.pids]
    assert idle, "somebody holds devices and does nothing"
    load = [device.utilization_percent for snapshot in history for device in (snapshot.devices or ())[:1]]
    assert len(set(load)) > 10


@pytest.mark.parametrize("devices", [0, 1, 2, 64])
def test_any_number_of_devices(devices: int) -> None:
    last = looks(devices, ticks=3)[-1]
    assert last.devices is not None
    assert [device.index for device in last.devices] == list(range(devices))
    assert all(status.success for status in last.collectors)


def values(snapshot: Snapshot, name: str) -> list[float]:
    return [value for _, value in exported(snapshot).get(name, ())]


@pytest.mark.parametrize("group", GROUPS)
def test_every_metric_has_series(history: list[Snapshot], group: str) -> None:
    for metric in GROUPS[group]:
        assert any(values(snapshot, metric.name) for snapshot in history[::10]), metric.name


def test_some_problems_occur(history: list[Snapshot]) -> None:
    for name, most in {
        "genv_environment_violation": 1,
        "genv_unmanaged_processes": 8,
        "genv_device_orphan_memory_bytes": 4 * 2**30,
        "genv_environment_used_gpu_memory_bytes": 80 * 2**30,
        "genv_environment_utilization_ratio": 1,
    }.items():
        found = [values(snapshot, name) for snapshot in history]
        assert len({sum(each) for each in found}) > 1, name
        assert 0 < max(max(each, default=0.0) for each in found) <= most, name
    broken = {
        rule
        for snapshot in history
        for environment in snapshot.environments or ()
        for rule, is_broken in violations(environment, len(environment.device_indices))
        if is_broken
    }
    assert broken == {"memory_limit", "device_limit"}
    idle = [e for s in history for e in s.environments or () if e.pids and e.idle_seconds]
    assert idle, "somebody holds memory and does nothing"


def test_a_reload_changes_the_interval_and_keeps_the_past() -> None:
    config = Config(collect_interval=10, publish_enabled=False)
    monitor = Monitor(config, make_collectors(config, 4))
    before = [monitor.collect() for _ in range(3)]
    monitor.reconfigure(replace(config, collect_interval=1))
    after = [before[-1], *(monitor.collect() for _ in range(3))]
    assert [_seconds(*pair) for pair in pairwise(before)] == [pytest.approx(10, abs=0.01)] * 2
    assert [_seconds(*pair) for pair in pairwise(after)] == [pytest.approx(1, abs=0.01)] * 3
    created = {environment.eid: environment.created for environment in before[-1].environments or ()}
    assert created
    for environment in after[-1].environments or ():
        assert environment.created == created.get(environment.eid, environment.created)


def _seconds(earlier: Snapshot, later: Snapshot) -> float:
    """Return for how long the first device has drawn its power between two looks."""
    (one, *_), (other, *_) = earlier.devices or (), later.devices or ()
    used, before, watts = other.details.energy_joules, one.details.energy_joules, other.details.power_watts
    assert used is not None
    assert before is not None
    assert watts is not None
    return (used - before) / watts
