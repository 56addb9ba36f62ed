"""Any facts of the collectors, through the join, to what Prometheus reads and what people see."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric as FamilyOfClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genvd.collectors.registry import Collectors
from genvd.common.error_log import ErrorLog
from genvd.common.text import RESERVED as OTHER
from genvd.common.text import clean, escape_unprintable
from genvd.config.schema import Config
from genvd.metrics.exposition import OPENMETRICS, TEXT, Exposition, Format, render
from genvd.metrics.limits import Limits
from genvd.metrics.registry import Registry
from genvd.metrics.samples import Family
from genvd.model import snapshot_json
from genvd.model.device import Device
from genvd.model.facts import (
    AccountFacts,
    Attachment,
    Context,
    EnvironmentRecord,
    GenvFacts,
    GpuFacts,
    ProcessFacts,
    ProcessOwner,
)
from genvd.model.snapshot import DeviceUse, Process, ServiceStatus, Snapshot, User
from genvd.service.monitor import Monitor
from genvd.terminal.client import TimedSnapshot
from genvd.terminal.controls import Controls
from genvd.terminal.curves import parse_curves
from genvd.terminal.layout import screen_lines
from genvd.terminal.machine import machine_of
from genvd.terminal.style import render_line
from genvd.terminal.view import Frame
from genvd.web import json_documents
from tests.support import debian

ERRORS = ErrorLog(logging.getLogger(__name__))


HOSTILE = st.sampled_from(
    ['"', "\\", "\n", '"} 1\n# EOF', "{}", "\\n", '\\"', "\ud800", "\x85", "\u2028", "é", "=,", "'"]
)
TEXT_OUTSIDE = (st.lists(HOSTILE | st.text(max_size=3), min_size=1, max_size=4).map("".join)).map(clean)
LABEL = TEXT_OUTSIDE.filter(bool) | st.sampled_from(["1", "2", "alice"])
SMALL = st.integers(0, 4)
PID = st.integers(1, 6) | st.integers(1, 2**22)
AMOUNT = st.none() | st.integers(0, 2**63)

# Of a bare named tuple, builds() would also fill the fields that have defaults.
DEVICES = st.lists(
    st.builds(
        partial(Device), index=SMALL, uuid=LABEL, name=LABEL, temperature_celsius=AMOUNT, utilization_percent=AMOUNT
    ),
    max_size=4,
    unique_by=lambda device: device.index,
).map(tuple)
CONTEXTS = st.lists(st.builds(partial(Context), PID, SMALL, AMOUNT), max_size=8).map(tuple)
GPU = st.builds(partial(GpuFacts), DEVICES, st.none() | CONTEXTS)
RECORD = st.builds(
    partial(EnvironmentRecord),
    eid=LABEL,
    uid=st.none() | SMALL,
    username=st.none() | LABEL,
    name=st.none() | LABEL,
    gpu_memory_bytes=AMOUNT,
    gpus=st.none() | SMALL,
    created=st.none() | st.floats(0, 1e10),
    pids=st.lists(PID, max_size=3).map(tuple),
    kernel_ids=st.lists(LABEL, max_size=2).map(tuple),
)
GENV = st.builds(
    partial(GenvFacts),
    st.lists(RECORD, max_size=6).map(tuple),
    st.lists(st.builds(partial(Attachment), eid=LABEL, device_index=SMALL), max_size=6).map(tuple),
)
OWNER = st.builds(partial(ProcessOwner), uid=st.none() | SMALL, eid=st.none() | LABEL, namespace_uid=st.none() | SMALL)
UIDS = st.dictionaries(PID, SMALL, max_size=6)
PROCESSES = st.builds(
    lambda owners, uids, logins, kernels: ProcessFacts(owners, frozenset(uids), uids, logins, kernels),
    st.dictionaries(PID, OWNER, max_size=8),
    UIDS,
    UIDS,
    st.dictionaries(LABEL, st.frozensets(SMALL, min_size=1, max_size=2), max_size=3),
)
ACCOUNTS = st.builds(
    AccountFacts,
    st.dictionaries(SMALL, st.none() | LABEL, max_size=4),
    st.dictionaries(LABEL, st.none() | SMALL, max_size=3),
)


@dataclass(frozen=True)
class Machine:
    """What all collectors tell."""

    gpu: GpuFacts
    genv: GenvFacts
    processes: ProcessFacts
    accounts: AccountFacts


MACHINE = st.builds(Machine, GPU, GENV, PROCESSES, ACCOUNTS)


@dataclass
class Told:
    """A collector that gives what it was told to."""

    name: str
    facts: Any = None

    def collect(self, request: Any) -> Any:
        return self.facts


NVML, GENV_STATE, GENV_COMMAND, PROC, PASSWD = map(Told, ("nvml", "genv", "genv_command", "processes", "accounts"))
COLLECTORS = Collectors("live", NVML, GENV_STATE, GENV_COMMAND, PROC, PASSWD)
PATIENT = Config(collect_interval=60.0, collect_timeout=20.0)
MONITOR = Monitor(PATIENT, COLLECTORS)
CROWDED = Monitor(replace(PATIENT, limits_environments=1, limits_users=1, limits_processes=1), COLLECTORS)


def exposed(machine: Machine, format_: Format, monitor: Monitor = MONITOR) -> str:
    """Return what is served of such a machine."""
    NVML.facts, GENV_STATE.facts, GENV_COMMAND.facts = machine.gpu, machine.genv, True
    PROC.facts, PASSWD.facts = machine.processes, machine.accounts
    before = monitor.site.latest
    monitor.tick(0)
    latest = monitor.site.latest
    assert latest is not None and latest is not before
    assert all(collector.success for collector in latest.snapshot.collectors)
    return latest.exposition.body((format_, False)).decode()


@pytest.mark.parametrize("monitor", [MONITOR, CROWDED], ids=["usual", "crowded"])
@given(machine=MACHINE)
def test_any_machine_can_be_read(monitor: Monitor, machine: Machine) -> None:
    owners = machine.processes.owners.values()
    known = {record.eid for record in machine.genv.environments} | {owner.eid or "" for owner in owners}
    for format_, parse in ((TEXT, parse_text), (OPENMETRICS, parse_openmetrics)):
        samples = [sample for family in parse(exposed(machine, format_, monitor)) for sample in family.samples]
        series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
        assert len(set(series)) == len(series), "the same series twice"
        assert {sample.labels["eid"] for sample in samples if "eid" in sample.labels} <= known | {"", OTHER}
        assert all(sample.value == sample.value for sample in samples), "not a number"


@given(machine=MACHINE, columns=st.integers(1, 200), lines=st.integers(1, 60))
def test_any_machine_can_be_shown(machine: Machine, columns: int, lines: int) -> None:
    exposed(machine, TEXT)
    latest = MONITOR.site.latest
    assert latest is not None
    assert snapshot_json.load(snapshot_json.dump(latest.snapshot)) == latest.snapshot
    shown = json.loads(json_documents.page_document(latest.snapshot, latest.history), parse_constant=pytest.fail)
    assert len(shown["history"]["devices"]) == len(shown["devices"] or ())
    timed = TimedSnapshot(latest.snapshot, latest.snapshot.timestamp, parse_curves(shown))
    frame, controls = Frame(latest.snapshot.timestamp, columns, lines), Controls()
    for key in ("", "j", "\n", "\x1b", "\t", "\n"):
        controls.press(key)
        drawn = screen_lines(machine_of(timed), frame, controls, columns, lines)
    assert len(drawn) <= lines
    sent = [render_line(line, columns, colors=False) for line in drawn]
    assert sent == list(map(escape_unprintable, sent))


@given(eids=st.sets(LABEL, max_size=5), usernames=st.sets(LABEL, max_size=5))
def test_labels_arrive_as_they_are(eids: set[str], usernames: set[str]) -> None:
    snapshot = Snapshot(
        0.0,
        ServiceStatus("1", "live", "3", "13"),
        processes=tuple(Process(pid, (DeviceUse(0, 1),), eid) for pid, eid in enumerate(sorted(eids))),
        users=tuple(User(username, (), (), ()) for username in sorted(usernames)),
    )
    for format_, parse in ((TEXT, parse_text), (OPENMETRICS, parse_openmetrics)):
        text = render(format_, Registry(ERRORS, Limits(9, 9, 9)).collect_snapshot(snapshot)).decode()
        samples = [sample for family in parse(text) for sample in family.samples]
        of_processes = {sample.labels["eid"] for sample in samples if sample.name == "genv_process_devices_total"}
        of_users = {sample.labels["username"] for sample in samples if sample.name == "genv_user_processes_total"}
        assert (of_processes, of_users) == (eids, usernames)


CHARACTERS = st.characters(codec="utf-8")
LABELS = st.tuples(st.integers(0, 9), st.text(CHARACTERS, max_size=5))
VALUES: dict[Literal["gauge", "counter"], st.SearchStrategy[float]] = {
    "gauge": st.floats() | st.integers(-(2**70), 2**70) | st.booleans(),
    "counter": st.floats(min_value=0) | st.integers(0, 2**70),
}


def made(kind: Literal["gauge", "counter"], values: Mapping[tuple[object, ...], float]) -> Family:
    """Return a metric with these series."""
    return Family("genv_a_total" if kind == "counter" else "genv_a", 'Of "it" \\ all.', kind, ("pid", "a"), values)


def read(text: str, parse: Callable[[str], Iterable[FamilyOfClient]]) -> dict[tuple[str, ...], float]:
    """Return the values of all series, by their names and labels."""
    samples = [sample for family in parse(text) for sample in family.samples]
    found = {(sample.name, *(sample.labels[name] for name in ("pid", "a"))): sample.value for sample in samples}
    assert len(found) == len(samples), "the same series twice"
    return found


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_what_is_read_is_what_there_is_whatever_was_there_before(
    kind: Literal["gauge", "counter"], data: st.DataObject
) -> None:
    """The text that is kept from one tick to the next never shows: neither old values nor series that have gone."""
    exposition = None
    for labels in data.draw(st.lists(st.lists(LABELS, min_size=1, max_size=4, unique=True), min_size=1, max_size=3)):
        states = st.lists(VALUES[kind], min_size=len(labels), max_size=len(labels))
        for state in data.draw(st.lists(states, min_size=1, max_size=3)):
            values: dict[tuple[object, ...], float] = dict(zip(labels, state, strict=True))
            family = made(kind, values)
            exposition = Exposition([family, Family("genv_empty", "", "gauge", (), {})], exposition)
            expected = {
                (f"genv_a{'_total' * (kind == 'counter')}", *map(str, key)): float(v) for key, v in values.items()
            }
            for format_, parse in ((TEXT, parse_text), (OPENMETRICS, parse_openmetrics)):
                text = exposition.body((format_, False)).decode()
                assert read(text, parse) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
                assert text.count("# EOF\n") == (format_ is OPENMETRICS)


@settings(max_examples=20)
@given(machine=MACHINE)
def test_promtool_can_read_it_too(machine: Machine) -> None:
    command = (debian.promtool(), "check", "metrics")
    done = subprocess.run(command, input=exposed(machine, TEXT), capture_output=True, text=True, check=False)
    # 3: it can be read, but the names are not to promtool's taste: the sixteen are not.
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "error while linting" not in done.stderr
