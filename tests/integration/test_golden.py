"""The whole of /metrics for a fixed machine, compared with a file.

``python -m pytest tests/integration/test_golden.py --update-golden`` writes the file anew: read the difference.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.standin import Gpu, Mig, NvLink, Process, Sample, Scenario
from tests.support.monitor import Monitor

GOLDEN = Path(__file__).parent.parent / "golden" / "metrics.txt"
GIB = 2**30

# What differs from run to run: the values of these, the pids, and what started the tests.
_CHANGING = re.compile(
    r"^((?:process_|genv_monitor_|genv_process_start_|genv_environment_(?:idle|created|device_(?:idle|attached_timestamp))_"
    r"|genv_user_(?:allocated|active|idle|energy)_)[a-z_]+(?:\{.*\})?) \S+$",
    re.MULTILINE,
)
_CGROUP = re.compile(r'(cgroup(?:_kind)?)="[^"]*"')
_VERSIONS = re.compile(r'((?:nvml_bindings_|python_)?version)="[^"]+"')
_EXPONENT = re.compile(r"e\+0(\d\d)$", re.MULTILINE)
"""prometheus-client 0.9 writes 1e+010."""
_KEEP = re.compile(r"^(genv_monitor_(collector_success|build_info|rejected_claims_total|series_dropped))")


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """Three processes in the order of their pids; the first two are in environments."""
    with ExitStack() as stack:

        def start(eid: str | None) -> int:
            environment = {**os.environ, **({"GENV_ENVIRONMENT_ID": eid} if eid else {})}
            process = stack.enter_context(subprocess.Popen(["sleep", "600"], env=environment))
            stack.callback(process.kill)
            return process.pid

        pids = [start("4711"), start("4712"), start(None)]
        while pids != sorted(pids):  # the pids of the machine began anew in between
            pids = [start("4711"), start("4712"), start(None)]
        yield pids


def machine(scenario: Scenario, state_directory: Path, pids: list[int]) -> None:
    first, second, outside = pids
    scenario.gpus = [
        Gpu(
            "GPU-a",
            temperature=61,
            utilization=87,
            memory_total=80 * GIB,
            memory_used=30 * GIB,
            memory_reserved=GIB // 2,
            processes=[Process(first, 20 * GIB), Process(outside, 9 * GIB)],
            graphics_processes=[Process(outside, 9 * GIB)],
            samples=[Sample(first, 80)],
            memory_utilization=41,
            vbios_version="96.00.30.00.01",
            architecture=9,
            pci_bus_id="00000000:65:00.0",
            power=412_345,
            power_limit=700_000,
            energy=987_654_321,
            performance_state=0,
            clock_sm=1755,
            max_clock_sm=1980,
            throttle_reasons=0x4,
            supported_throttle_reasons=0x1FF,
            encoder_utilization=0,
            decoder_utilization=12,
            pcie_generation=5,
            pcie_width=16,
            max_pcie_generation=5,
            max_pcie_width=16,
            pcie_replays=3,
            ecc_corrected_volatile=1,
            ecc_uncorrected_aggregate=0,
            remapped_rows=(1, 0, 0, 0),
            nvlinks={0: NvLink(), 1: NvLink(active=False)},
            fields={82: "66 1", (138, 0): 2048, (139, 0): 1024, (161, 0): 0, (164, 0): 26_562, 186: 411_000, 230: 0},
            ecc_locations={(0, 0, 2): 1, (0, 0, 7): 0},
            extra={
                "ecc_mode": "1",
                "encoder_stats": "1 30 4500",
                "fabric": "3 0 4026 0x2AA 7",
                "margin_temperature": "26",
                "remap_histogram": "1279 1 0 0 0",
                "serial": "1320123456789",
                "sram_errors": "0 0 0 0 0 0",
            },
        ),
        Gpu(
            "GPU-b",
            temperature=44,
            utilization=3,
            memory_total=80 * GIB,
            memory_used=GIB,
            processes=[Process(first, GIB), Process(second, None)],
        ),
        Gpu(
            "GPU-c",
            temperature=31,
            utilization=None,
            memory_total=24 * GIB,
            fan_speeds=[30],
            retired_pages_single_bit=0,
            processes=[Process(outside, GIB, 1, 0)],
            migs={0: Mig("MIG-c", "GPU MIG 1g.12gb", 1, 0, memory_total=12 * GIB)},
        ),
    ]
    scenario.write()

    def environment(eid: str, pid: int, username: str | None) -> dict[str, object]:
        config = {"name": "train", "gpu_memory": "16gi", "gpus": 1}
        common = {"uid": os.getuid(), "creation": "23/11/2026 17:36:19", "config": config, "kernel_ids": []}
        return {"eid": eid, "username": username, "pids": [pid], **common}

    def device(index: int, *eids: str) -> dict[str, object]:
        attachments = [{"eid": eid, "gpu_memory": None, "time": "23/11/2026 17:36:19"} for eid in eids]
        return {"index": index, "total_memory": "81920mi", "attachments": attachments}

    gone = 2**22
    environments = [
        environment("4711", first, pwd.getpwuid(os.getuid()).pw_name),
        environment("4712", second, None),
        environment("4713", outside, "(other)"),  # nobody may be called that
        environment("4714", gone, "carol"),
    ]
    devices = [device(0, "4711", "4713"), device(1, "4711", "4712"), device(2, "4714")]
    (state_directory / "envs.json").write_text(json.dumps({"envs": environments}))
    (state_directory / "devices.json").write_text(json.dumps({"devices": devices}))


def masked(text: str, pids: list[int]) -> str:
    for number, pid in enumerate(pids, start=1):
        text = text.replace(f'pid="{pid}"', f'pid="<pid {number}>"')
    text = text.replace(f'username="{pwd.getpwuid(os.getuid()).pw_name}"', 'username="<me>"')
    text = _CGROUP.sub(r'\1="<cgroup>"', text)
    text = _VERSIONS.sub(r'\1="<version>"', text)
    text = _EXPONENT.sub(r"e+\1", text)
    return _CHANGING.sub(lambda match: match[0] if _KEEP.match(match[0]) else f"{match[1]} <value>", text)


def test_the_whole_exposition(
    scenario: Scenario,
    nvml_library: Path,
    state_directory: Path,
    pids: list[int],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    machine(scenario, state_directory, pids)
    with Monitor(
        ["-a", "127.0.0.1", "--config-dir", tmp_path / "out"], environment=scenario.environment(nvml_library)
    ) as monitor:
        text = masked(monitor.get("/metrics").body.decode(), pids)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
