"""The table of metrics, and what renders it."""

from __future__ import annotations

import gzip
import logging
import re
import threading
from collections import Counter

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from genvd.common.error_log import ErrorLog
from genvd.metrics import ALL
from genvd.metrics.collector import SnapshotCollector
from genvd.metrics.contract import CONTRACT
from genvd.metrics.device import DEVICE
from genvd.metrics.environments import ENVIRONMENTS
from genvd.metrics.exposition import OPENMETRICS, TEXT, Exposition, Format, render
from genvd.metrics.limits import Limits
from genvd.metrics.metric import Metric
from genvd.metrics.registry import Registry
from genvd.metrics.samples import Collector, Family
from genvd.model.device import Device
from genvd.model.snapshot import DeviceUse, Environment, Holding, Process, ServiceStatus, Snapshot
from tests.support.shown import device, holding, machine

ERRORS = ErrorLog(logging.getLogger(__name__))


# Restated, because others rely on exactly these: name and labels.
THE_SIXTEEN = {
    "genv_is_installed": (),
    "genv_device_temperature": ("index",),
    "genv_device_utilization": ("index",),
    "genv_device_memory_used_bytes": ("index",),
    "genv_device_memory_total_bytes": ("index",),
    "genv_environments_total": (),
    "genv_processes_total": (),
    "genv_attached_devices_total": (),
    "genv_users_total": (),
    "genv_environment_processes_total": ("eid",),
    "genv_environment_attached_devices_total": ("eid",),
    "genv_process_devices_total": ("pid", "eid"),
    "genv_process_used_gpu_memory_bytes": ("pid", "eid", "device"),
    "genv_user_environments_total": ("username",),
    "genv_user_processes_total": ("username",),
    "genv_user_attached_devices_total": ("username",),
}

NOTHING_KNOWN = Snapshot(0.0, ServiceStatus("1", "live", "3", "13"))


def gauge(name: str, value: float) -> Family:
    return Family(f"genv_{name}", "It is.", "gauge", (), {(): value})


def rendered(snapshot: Snapshot, table: tuple[Metric, ...] = ALL) -> str:
    collector = SnapshotCollector(ERRORS, table)
    collector.snapshot = snapshot
    return render(TEXT, collector.collect()).decode()


def test_the_sixteen_are_exactly_as_agreed() -> None:
    assert {metric.name: metric.labels for metric in CONTRACT} == THE_SIXTEEN
    assert {metric.type for metric in CONTRACT} == {"gauge"}


def test_names_follow_the_rules() -> None:
    # A format leaves out the end of a counter's name.
    assert len({metric.name.removesuffix("_total") for metric in ALL}) == len(ALL)
    for metric in set(ALL) - set(CONTRACT):
        assert re.fullmatch(r"genv_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.help.endswith(".")


def test_what_is_not_known_is_absent() -> None:
    names = {family.name for family in text_string_to_metric_families(rendered(NOTHING_KNOWN))}
    assert not names & set(THE_SIXTEEN)
    partly = NOTHING_KNOWN._replace(devices=(Device(0, temperature_celsius=40), Device(1, utilization_percent=0)))
    lines = [line for line in rendered(partly, CONTRACT).splitlines() if not line.startswith("#")]
    assert lines == ['genv_device_temperature{index="0"} 40.0', 'genv_device_utilization{index="1"} 0.0']


def test_what_is_known_to_be_nothing_is_zero() -> None:
    nothing = NOTHING_KNOWN._replace(genv_installed=False, processes=(), environments=(), users=())
    lines = [line for line in rendered(nothing, CONTRACT).splitlines() if not line.startswith("#")]
    assert lines == [
        "genv_is_installed 0.0",
        "genv_environments_total 0.0",
        "genv_processes_total 0.0",
        "genv_users_total 0.0",
    ]


def test_processes_that_are_not_known_take_no_environment_away() -> None:
    environment = Environment("1", None, "alice", None, None, None, None, (0,), None)
    text = rendered(NOTHING_KNOWN._replace(environments=(environment,)), CONTRACT)
    assert 'genv_environment_attached_devices_total{eid="1"} 1.0' in text
    assert "genv_environment_processes_total" not in text


def test_only_what_is_known_to_be_free_is_free() -> None:
    devices = (device(0), device(1), device(2), device(3, up=False), device(4, processes_listed=False))
    outside = Process(7, (DeviceUse(1, 1 << 30),))
    shown = machine(devices=devices, holdings=(holding("e", 2),), processes=(outside,))
    lines = rendered(shown, DEVICE).splitlines()
    assert [line for line in lines if line.startswith("genv_device_free{")] == [
        'genv_device_free{index="0"} 1.0',
        'genv_device_free{index="1"} 0.0',
        'genv_device_free{index="2"} 0.0',
        'genv_device_free{index="3"} 0.0',
    ]
    unknown = rendered(shown._replace(processes=None, holdings=None), DEVICE)
    assert re.findall(r"genv_device_free\{.*", unknown) == ['genv_device_free{index="3"} 0.0']


def test_since_when_a_device_is_attached() -> None:
    held = [Holding("1", None, None, index, None, None, None, attached) for index, attached in ((0, 7.5), (1, None))]
    lines = rendered(NOTHING_KNOWN._replace(holdings=tuple(held)), ENVIRONMENTS).splitlines()
    of_attachment = [line for line in lines if line.startswith("genv_environment_device_attached_timestamp_seconds")]
    assert of_attachment == ['genv_environment_device_attached_timestamp_seconds{eid="1",index="0"} 7.5']


@pytest.mark.parametrize("eid", ['a"b', "a\\b", "a\nb", "ünï", "\\ud800", "{}", "", "x" * 256])
def test_any_text_is_a_label(eid: str) -> None:
    process = Process(1, (DeviceUse(0, 5),), eid)
    for text in (rendered(NOTHING_KNOWN._replace(processes=(process,))),):
        (family,) = (f for f in text_string_to_metric_families(text) if f.name == "genv_process_devices_total")
        assert [sample.labels for sample in family.samples] == [{"pid": "1", "eid": eid}]


def test_a_row_that_fails_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    broken = Metric("genv_broken", "It is.", (), lambda s: [((), 1 / 0)])
    whole = Metric("genv_whole", "It is.", (), lambda s: [((), 1)])
    collector = SnapshotCollector(ErrorLog(logging.getLogger(__name__)), (broken, whole))
    collector.snapshot = NOTHING_KNOWN
    for _ in range(3):
        assert [family.name for family in collector.collect()] == ["genv_whole"]
    assert len(caplog.records) == 1


def test_samples_with_the_same_labels_are_one_series() -> None:
    twice = Metric("genv_twice", "It is.", ("a",), lambda s: [(("1",), 1), (("1",), 2)])
    assert rendered(NOTHING_KNOWN, (twice,)).splitlines()[2:] == ['genv_twice{a="1"} 2.0']


@pytest.mark.parametrize("labels", [("\ud800",), ()])
def test_a_metric_that_cannot_be_written_costs_only_itself(
    labels: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = Family("genv_bad", "It is.", "gauge", ("a",)[: len(labels)], {labels: 10 ** (0 if labels else 400)})
    exposition = None
    for value in (1, 2, 3):
        exposition = Exposition([bad, gauge("good", value)], exposition)
        for format_ in (TEXT, OPENMETRICS):
            text = exposition.body((format_, False)).decode()
            assert "genv_bad" not in text
            assert f"genv_good {float(value)}\n" in text
    assert 1 <= len(caplog.records) <= 2  # each format may fail in its own place
    exposition = Exposition([gauge("bad", 1)], exposition)
    assert b"genv_bad 1.0\n" in exposition.body((TEXT, False))
    assert caplog.records[-1].message.startswith("the metric genv_bad is rendered again")


def test_a_process_that_cannot_be_measured_costs_only_its_own_metrics(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(ERRORS, Limits(1, 1, 1))
    names = {family.name for family in registry.collect(NOTHING_KNOWN)}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"} <= names

    def fail(_: ProcessCollector) -> None:
        raise ValueError("could not convert string to float: b'unlimited'")

    monkeypatch.setattr(ProcessCollector, "collect", fail)
    for _ in range(3):
        without = {family.name for family in registry.collect(NOTHING_KNOWN)}
        assert without == {name for name in names if not name.startswith("process_")}
    assert len(caplog.records) == 1


class Counting:
    """A format that counts how often it writes each metric."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.format = Format("text/x; charset=utf-8", self._encode, b"END")

    def _encode(self, collector: Collector) -> bytes:
        self.written.update(family.name for family in collector.collect())
        return TEXT.encode(collector) + b"END"


def test_a_format_is_rendered_once_however_many_ask() -> None:
    counting = Counting()
    exposition = Exposition([gauge("one", 1), gauge("other", 2)])
    assert not counting.written
    threads = [threading.Thread(target=exposition.body, args=((counting.format, False),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    body = gzip.decompress(exposition.body((counting.format, True)))
    assert body.endswith(b"genv_other 2.0\nEND") and body.count(b"END") == 1
    assert counting.written == {"genv_one": 1, "genv_other": 1}


def test_a_tick_renders_what_was_asked_for_lately_and_nothing_else() -> None:
    wanted, once = Counting(), Counting()
    exposition = Exposition([])
    exposition.body((once.format, False))
    for tick in range(1, 30):
        exposition.body((wanted.format, False))
        exposition = Exposition([gauge("moving", tick), gauge(f"new_{tick}", 1)], exposition)
        assert wanted.written["genv_moving"] == 1
        assert sum(wanted.written.values()) == tick + 1
    assert 1 < sum(once.written.values()) < 20


def test_only_metrics_with_other_series_are_written_again() -> None:
    """Not those of which only the values are others, and by no means those that are the same."""
    counting = Counting()
    collector = SnapshotCollector(ERRORS, (*CONTRACT, *DEVICE))
    exposition = None
    for temperature, indices in ((40, (0, 1)), (41, (0, 1)), (41, (0, 2)), (42, (0,))):
        devices = (Device(index, temperature_celsius=temperature, utilization_percent=5, up=True) for index in indices)
        collector.snapshot = NOTHING_KNOWN._replace(devices=tuple(devices))
        exposition = Exposition(collector.collect(), exposition)
        body = exposition.body((counting.format, False))
        assert body == Exposition(collector.collect()).body((TEXT, False)) + b"END"
    assert set(counting.written.values()) == {3}


@pytest.mark.parametrize("format_", [TEXT, OPENMETRICS])
def test_formats_say_what_they_are(format_: Format) -> None:
    assert format_.content_type.startswith(format_.media_type)
    assert Exposition([]).body((format_, False)) == (b"# EOF\n" if format_ is OPENMETRICS else b"")
