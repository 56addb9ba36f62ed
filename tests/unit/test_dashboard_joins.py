"""What the dashboards make of series that do not fit together as one would wish, by promtool's rule tests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import debian

PUBLISHED = Path(__file__).parents[2] / "genvd/publish/files/grafana/dashboards"

Samples = dict[str, float]

SCRAPED_TWICE = {
    'genv_environment_info{%s, eid="1", username="alice", name="train"}': "1",
    'genv_environment_attached_devices_total{%s, eid="1"}': "2",
    'genv_environment_device_attached{%s, eid="1", index="0"}': "1",
    'genv_environment_device_attached{%s, eid="1", index="1"}': "1",
    'genv_environment_idle_seconds{%s, eid="1"}': "4000",
    'genv_environment_device_idle_seconds{%s, eid="1", index="0"}': "4000",
    'genv_environment_device_idle_seconds{%s, eid="1", index="1"}': "4000",
    'genv_environment_used_gpu_memory_bytes{%s, eid="1", device="0"}': "10",
    'genv_environment_used_gpu_memory_bytes{%s, eid="1", device="1"}': "5",
    'genv_user_allocated_device_seconds_total{%s, username="alice"}': "0+120x60",
    'genv_process_info{%s, pid="7", username="alice", eid="1", command="python3", type="compute"}': "1",
    'genv_process_used_gpu_memory_bytes{%s, pid="7", eid="1", device="0"}': "10",
    'genv_process_start_time_seconds{%s, pid="7", eid="1"}': "50",
}

SERIES = {
    # One machine that two jobs scrape.
    **{
        name % f'job="{job}", instance="a"': value for job in ("genv", "again") for name, value in SCRAPED_TWICE.items()
    },
    # The same environment had another name until just now, and Prometheus does not know that it is gone.
    'genv_environment_info{job="genv", instance="a", eid="1", username="alice", name="draft"}': "1",
    # What is over the limits of a machine has sums, but no description.
    'genv_environment_attached_devices_total{job="genv", instance="b", eid="(other)"}': "7",
    'genv_environment_used_gpu_memory_bytes{job="genv", instance="b", eid="(other)", device="0"}': "70",
    'genv_process_used_gpu_memory_bytes{job="genv", instance="b", pid="(other)", eid="(other)", device="0"}': "70",
    'genv_user_allocated_device_seconds_total{job="genv", instance="b", username="(other)"}': "0+60x60",
    # The same environment and another user on another machine; of the process outside only its start is known.
    'genv_environment_info{job="genv", instance="c", eid="1", username="bob"}': "1",
    'genv_environment_attached_devices_total{job="genv", instance="c", eid="1"}': "1",
    'genv_environment_device_attached{job="genv", instance="c", eid="1", index="0"}': "1",
    'genv_environment_idle_seconds{job="genv", instance="c", eid="1"}': "0",
    'genv_environment_device_idle_seconds{job="genv", instance="c", eid="1", index="0"}': "0",
    'genv_user_allocated_device_seconds_total{job="genv", instance="c", username="alice"}': "0+60x60",
    'genv_process_info{job="genv", instance="c", pid="9", command="x", type="compute"}': "1",
    'genv_process_start_time_seconds{job="genv", instance="c", pid="9"}': "60",
    **{f'genv_attached_devices_total{{job="genv", instance="{machine}"}}': "2" for machine in "abc"},
}

DEVICES = {
    # One device says itself how far it may go, the other only where it slows down.
    'genv_device_temperature_margin_celsius{index="0"': "12",
    'genv_device_temperature_threshold_celsius{threshold="slowdown", index="0"': "87",
    'genv_device_temperature_threshold_celsius{threshold="slowdown", index="1"': "87",
    'genv_device_temperature{index="0"': "40",
    'genv_device_temperature{index="1"': "40",
    'genv_device_recovery_action{action="none", index="0"': "1",
    'genv_device_recovery_action{action="drain_and_reset", index="1"': "1",
    # One has joined the fabric, the other not.
    'genv_device_fabric_state{state="completed", index="0"': "1",
    'genv_device_fabric_info{cluster_uuid="x", clique="3", index="0"': "1",
    'genv_device_fabric_state{state="in_progress", index="1"': "1",
}

FLEET = {
    'instance:up:max{job="genv", instance="a"}': "1",
    'instance:up:max{job="genv", instance="b"}': "0",
    'instance:up:max{job="genv", instance="c"}': "1",
    'instance:genv_device_up:sum{job="again", instance="a"}': "8",
    'username:genv_user_allocated_device_seconds:rate5m{job="genv", username="alice"}': "3",
    'username:genv_user_allocated_device_seconds:rate5m{job="again", username="alice"}': "2",
    'instance:genv_device_up:sum{job="genv", instance="a"}': "8",
    'instance:genv_device_up:sum{job="genv", instance="c"}': "2",
    'instance:genv_device_up:count{job="genv", instance="a"}': "9",
    'instance:genv_device_up:count{job="genv", instance="c"}': "2",
    # The monitor of c is older and does not know of GPUs that are no longer listed.
    'instance:genv_devices_missing:sum{job="genv", instance="a"}': "3",
    'instance:genv_device_free:sum{job="genv", instance="a"}': "3",
    'instance:genv_device_free:sum{job="genv", instance="c"}': "2",
    'instance:genv_device_utilization:avg{job="genv", instance="a"}': "50",
    'instance:genv_device_utilization:avg{job="genv", instance="c"}': "100",
    **{
        f'{name}, job="genv", instance="{machine}", index="{index}"}}': value
        for name, value in {
            'ALERTS{alertname="GenvDeviceHot", severity="warning", alertstate="firing"': "1",
            'ALERTS_FOR_STATE{alertname="GenvDeviceHot", severity="warning"': "600",
        }.items()
        for machine, index in ("a0", "a1", "c0")
    },
    'genv_monitor_certificate_not_after_timestamp_seconds{job="genv", instance="a", certificate="server"}': "9000000",
    'ALERTS{alertname="GenvMonitorDown", severity="critical", alertstate="pending", job="genv", instance="b"}': "1",
    'ALERTS_FOR_STATE{alertname="GenvMonitorDown", severity="critical", job="genv", instance="b"}': "60",
}

GPUS = {
    # 0 is free, 1 held by one who is idle, 2 by that one and one who works, 3 used outside genv, 4 down, 5 not known,
    # 6 in MIG mode without MIG devices.
    **{f'genv_device_up{{index="{index}"': "1" for index in "012356"},
    'genv_device_up{index="4"': "0",
    'genv_devices_missing{x="1"': "2",
    'genv_device_free{index="6"': "0",
    'genv_device_mig_devices{index="6"': "0",
    **{f'genv_device_free{{index="{index}"': str(int(index == "0")) for index in "01234"},
    'genv_device_utilization{index="2"': "60",
    'genv_environment_info{eid="1", username="alice", name="train"': "1",
    'genv_environment_info{eid="2", username="bob"': "1",
    'genv_environment_device_attached{eid="1", index="1"': "1",
    'genv_environment_device_attached{eid="1", index="2"': "1",
    'genv_environment_device_attached{eid="2", index="2"': "1",
    'genv_environment_device_attached{eid="2", index="4"': "1",
    'genv_environment_idle_seconds{eid="1"': "4000",
    'genv_environment_idle_seconds{eid="2"': "0",
    'genv_environment_device_idle_seconds{eid="1", index="1"': "9000",
    'genv_environment_device_idle_seconds{eid="1", index="2"': "4000",
    'genv_environment_device_idle_seconds{eid="2", index="2"': "0",
    'genv_attached_devices_total{x="1"': "3",
    'genv_processes_total{x="1"': "2",
    'genv_process_info{pid="7", username="carol", command="x", type="compute"': "1",
    'genv_process_unmanaged{pid="7"': "1",
    'genv_process_used_gpu_memory_bytes{pid="7", device="3"': "10",
    # Who this is nobody knows; it is on the GPU of one who is idle.
    'genv_process_unmanaged{pid="8"': "1",
    'genv_process_used_gpu_memory_bytes{pid="8", device="1"': "10",
}

ON_G = {f'{name}, job="{job}", instance="g"}}': value for name, value in GPUS.items() for job in ("genv", "again")}
ON_M = {f'{name}, job="{job}", instance="m"}}': value for name, value in DEVICES.items() for job in ("genv", "again")}

EVERYTHING = {
    **dict.fromkeys(("username", "eid", "pid", "device"), ".*"),
    "instance": "(a|b|c|d|m)",
    "job": "(again|genv)",
}
ONE_JOB = {**EVERYTHING, "job": "(genv)"}
ONE = {**EVERYTHING, "instance": "m"}
BOB = {**EVERYTHING, "username": "(bob)"}
NOBODY = {**EVERYTHING, "username": "(carol)", "instance": "(a|c)"}
ONLY_C = {**EVERYTHING, "instance": "(c)"}
ONLY_G = {**EVERYTHING, "instance": "(g)"}


def case(place: str, wrap: str, choices: dict[str, str], expected: Samples) -> object:
    """A query by dashboard, panel and letter, what is asked of its answer, and what that is."""
    return pytest.param(
        *place.split("/"), wrap, choices, expected, id=f"{place} {choices['username']} of {choices['instance']}"
    )


CASES = [
    case(
        "people/Environments/A",
        "sum by (instance, eid, username) ({})",
        EVERYTHING,
        {
            '{instance="a", eid="1", username="alice"}': 2,
            '{instance="b", eid="(other)", username="(unknown)"}': 7,
            '{instance="c", eid="1", username="bob"}': 1,
        },
    ),
    case(
        "people/Environments/A",
        "sum by (instance, name) ({})",
        BOB,
        {'{instance="b", name="(unnamed)"}': 7, '{instance="c", name="(unnamed)"}': 1},
    ),
    case(
        "people/Environments/C",
        "sum by (instance, eid, username) ({})",
        EVERYTHING,
        {'{instance="a", eid="1", username="alice"}': 15, '{instance="b", eid="(other)", username="(unknown)"}': 70},
    ),
    case("people/GPUs attached/A", "{}", EVERYTHING, {"{}": 3}),
    case("people/GPUs attached/A", "{}", BOB, {"{}": 1}),
    case("people/GPUs attached/A", "{}", NOBODY, {"{}": 0}),
    case("people/GPUs idle/A", "{}", EVERYTHING, {"{}": 2}),
    case("people/GPUs idle/A", "{}", BOB, {"{}": 0}),
    # Two devices on one machine, which two jobs count, and one on another.
    case("people/GPU-hours by user/A", "{}", EVERYTHING, {'{username="alice"}': 3, '{username="(other)"}': 1}),
    case(
        "processes/Processes/B",
        "sum by (instance, pid, username, device) ({})",
        EVERYTHING,
        {
            '{instance="a", pid="7", username="alice", device="0"}': 10,
            '{instance="b", pid="(other)", username="(unknown)", device="0"}': 70,
        },
    ),
    case(
        "processes/Processes/A",
        "sum by (pid, eid, username, device, command) ({})",
        EVERYTHING,
        {
            '{pid="7", eid="1", username="alice", device="0", command="python3"}': 50_000,
            '{pid="9", eid="(none)", username="(unknown)", device="?", command="x"}': 60_000,
        },
    ),
    case(
        "machine/Degrees below slowdown/A",
        "{}",
        ONE,
        {'{instance="m", index="0"}': 12, '{instance="m", index="1"}': 47},
    ),
    case("machine/Recovery action/A", "{}", ONE, {'{instance="m", index="0"}': 0, '{instance="m", index="1"}': 4}),
    case(
        "machine/Fabric/A",
        "{}",
        ONE,
        {
            '{instance="m", index="0", state="completed", cluster_uuid="x", clique="3"}': 1,
            '{instance="m", index="1", state="in_progress"}': 1,
        },
    ),
    case("fleet/GPUs free/A", "{}", EVERYTHING, {"{}": 5}),
    case("fleet/GPUs down/A", "{}", ONE_JOB, {"{}": 4}),
    case("fleet/GPUs down/A", "{}", ONLY_C, {"{}": 0}),
    # Each machine is weighted by its number of GPUs.
    case("fleet/Utilisation/A", "{}", EVERYTHING, {"{}": 60}),
    case("fleet/GPUs over time/A", "{}", ONE_JOB, {"{}": 10}),
    case("fleet/GPUs attached by user/A", "{}", ONE_JOB, {'{username="alice"}': 3}),
    case("fleet/Machines down/A", "{}", EVERYTHING, {"{}": 1}),
    case("fleet/Machines down/A", "{}", ONLY_C, {"{}": 0}),
    case("fleet/Alerts/A", "{}", EVERYTHING, {"{}": 3}),
    case("fleet/Alerts/A", "{}", {**EVERYTHING, "instance": "(b)"}, {"{}": 0}),
    case(
        "fleet/Alerts firing/A",
        "{}",
        ONLY_C,
        {'{alertname="GenvDeviceHot", instance="c", index="0", page="http://c:8000"}': 1},
    ),
    case(
        "fleet/Alerts firing/B",
        "{}",
        ONLY_C,
        {'{alertname="GenvDeviceHot", instance="c", index="0", page="http://c:8000"}': 600_000},
    ),
    # A machine that two jobs scrape counts once. Idle and in use at a time is in use; what is not known is not free.
    case(
        "overview/GPUs/A",
        "sum by (index, username, name) ({})",
        ONLY_G,
        {
            '{index="4", username="bob", name="(unnamed)"}': 0,
            '{index="0"}': 1,
            '{index="1", username="alice", name="train"}': 2,
            '{index="1", username="(unknown)", name="(outside genv)"}': 2,
            '{index="3", username="carol", name="(outside genv)"}': 3,
            '{index="6"}': 4,
            '{index="2", username="alice", name="train"}': 5,
            '{index="2", username="bob", name="(unnamed)"}': 5,
            '{index="5"}': 6,
        },
    ),
    case("overview/GPUs/B", "count by (index) ({})", ONLY_G, {'{index="2"}': 2}),
    case("overview/GPUs free/A", "{}", ONLY_G, {"{}": 1}),
    case("overview/GPUs down/A", "{}", ONLY_G, {"{}": 3}),
    case("overview/GPUs idle/A", "{}", ONLY_G, {"{}": 1}),
    case("overview/GPUs attached/A", "{}", ONLY_G, {"{}": 3}),
    case("overview/GPUs outside genv/A", "{}", ONLY_G, {"{}": 2}),
    # Where nothing is known there is no number.
    case("overview/GPUs free/A", "count({} >= 0)", {**ONLY_G, "instance": "(b)"}, {}),
    case(
        "overview/Who holds GPUs/B",
        "sum by (username, name) ({})",
        ONLY_G,
        {'{username="alice", name="train"}': 9000, '{username="bob", name="(unnamed)"}': 0},
    ),
    case("overview/Alerts/A", "{}", EVERYTHING, {"{}": 3}),
    case(
        "overview/Alerts firing/A",
        "count by (instance, page) ({})",
        EVERYTHING,
        {'{instance="a", page="https://a:8000"}': 2, '{instance="c", page="http://c:8000"}': 1},
    ),
]


@pytest.mark.parametrize(("dashboard", "title", "letter", "wrap", "choices", "expected"), CASES)
def test_a_query(
    dashboard: str, title: str, letter: str, wrap: str, choices: dict[str, str], expected: Samples, tmp_path: Path
) -> None:
    expression = wrap.replace("{}", interpolated(query(dashboard, title, letter), choices))
    series = [
        {"series": name, "values": value if "x" in value else f"{value}x60"}
        for name, value in (SERIES | FLEET | ON_G | ON_M).items()
    ]
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    asked = [{"expr": expression, "eval_time": "1h", "exp_samples": samples}]
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]
    # JSON is YAML too.
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "tests": tests}), encoding="utf-8")
    promtool = debian.promtool()
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def query(dashboard: str, title: str, letter: str) -> str:
    content = json.loads((PUBLISHED / f"{dashboard}.json").read_text(encoding="utf-8"))
    panels = [inner for panel in content["panels"] for inner in (panel, *panel.get("panels", []))]
    targets = [target for panel in panels if panel["title"] == title for target in panel.get("targets", [])]
    (found,) = [target["expr"] for target in targets if target["refId"] == letter]
    assert isinstance(found, str)
    return found


def interpolated(expression: str, choices: dict[str, str]) -> str:
    values = {**choices, "__range": "1h", "__rate_interval": "5m"}
    return re.sub(r"\$([A-Za-z_]\w*)", lambda match: values[match[1]], expression)
