"""The NVML stand-in, met by the genuine nvidia-ml-py in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

from tests.standin import BuildError, Gpu, Mig, NvLink, Process, Sample, Scenario, build
from tests.support.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StartProbe = Callable[[dict[str, str]], "Probe"]

DEADLINE = 30.0
GIB = 1 << 30
NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE, LOST = 3, 6, 7, 15

# Answers lines [tag, expression, in the background?] with [tag, value] or [tag, {"code": nvmlReturn_t}].
PROBE = """
import ctypes, json, sys, threading, time
from pynvml import *
import pynvml

gpu = nvmlDeviceGetHandleByIndex
mig = lambda parent, index: nvmlDeviceGetMigDeviceHandleByIndex(gpu(parent), index)
raw = lambda name, *arguments: getattr(pynvml.nvmlLib, name)(*arguments)
listed = lambda processes: [
    [p.pid, p.usedGpuMemory, p.gpuInstanceId, p.computeInstanceId] for p in processes
]

def bare(function, handle, form, count):
    "One call with room for so many: its return value, the count, the entries."
    number, entries = ctypes.c_uint(count), (form * max(count, 1))()
    code = raw(function, handle, ctypes.byref(number), entries)
    return [code, number.value, [[getattr(e, f[0]) for f in form._fields_] for e in entries[:number.value]]]

class V1(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("usedGpuMemory", ctypes.c_ulonglong)]

def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started

def answer(tag, expression):
    try:
        value = eval(expression, globals())
    except NVMLError as error:
        value = {"code": error.value}
    except NameError as error:
        value = {"absent": error.name}
    print(json.dumps([tag, value]), flush=True)

for line in sys.stdin:
    tag, expression, background = json.loads(line)
    if background:
        threading.Thread(target=answer, args=(tag, expression), daemon=True).start()
    else:
        answer(tag, expression)
"""


class CallError(Exception):
    """A call failed with this nvmlReturn_t."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Probe:
    """A process with pynvml that evaluates expressions."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROBE],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answers: queue.Queue[tuple[str | None, Any]] = queue.Queue()
        self._kept: dict[str | None, Any] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            tag, value = json.loads(line)
            self._answers.put((tag, value))
        self._answers.put((None, None))

    def send(self, tag: str, expression: str, *, background: bool = True) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([tag, expression, background]) + "\n")

    def receive(self, tag: str) -> Any:
        while tag not in self._kept:
            assert None not in self._kept, "the probe has ended"
            got, value = self._answers.get(timeout=DEADLINE)
            self._kept[got] = value
        value = self._kept.pop(tag)
        if isinstance(value, dict):
            need("code" in value, f"needs a newer nvidia-ml-py: {value.get('absent')}")
            raise CallError(value["code"])
        return value

    def ask(self, expression: str) -> Any:
        self.send("ask", expression, background=False)
        return self.receive("ask")

    def code(self, expression: str) -> int:
        with pytest.raises(CallError) as failure:
            self.ask(expression)
        return failure.value.code

    def answered(self, tag: str) -> bool:
        while not self._answers.empty():
            got, value = self._answers.get()
            self._kept[got] = value
        return tag in self._kept


@pytest.fixture(scope="session")
def libdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """Two GPUs, the second with MIG devices 0 and 2."""
    parts = {
        0: Mig("MIG-0", gpu_instance=7, compute_instance=0, processes=[Process(70, GIB, 7, 0)]),
        2: Mig("MIG-2", gpu_instance=9, compute_instance=1, memory_used=3 * GIB),
    }
    first = Gpu(
        "GPU-0",
        temperature=41,
        utilization=77,
        memory_total=80 * GIB,
        memory_used=10 * GIB,
        memory_reserved=GIB,
        processes=[Process(4242, GIB), Process(4243, None)],
        memory_utilization=12,
        power=123456,
        pci_bus_id="00000000:65:00.0",
        graphics_processes=[Process(1, 5)],
        mps_processes=[Process(2, 6)],
        extra={"serial": "12345", "performance_state": "2", "pci_device_id": "0x233510de"},
    )
    scenario = Scenario(tmp_path / "nvml", [first, Gpu("GPU-1", name="NVIDIA A100", migs=parts)])
    scenario.write()
    return scenario


@pytest.fixture
def start() -> Iterator[StartProbe]:
    probes: list[Probe] = []

    def start_one(environment: dict[str, str]) -> Probe:
        probes.append(Probe(environment))
        return probes[-1]

    yield start_one
    for probe in probes:
        probe.close()


@pytest.fixture
def probe(libdir: Path, scenario: Scenario, start: StartProbe) -> Probe:
    """A probe that has initialised NVML."""
    probe = start(scenario.environment(libdir))
    probe.ask("nvmlInit()")
    return probe


def test_machine(probe: Probe) -> None:
    assert probe.ask("nvmlSystemGetDriverVersion()") == "570.86.15"
    assert probe.ask("nvmlSystemGetNVMLVersion()") == "12.570.86.15"
    assert probe.ask("nvmlSystemGetCudaDriverVersion()") == 12080
    assert probe.ask("nvmlSystemGetCudaDriverVersion_v2()") == 12080
    assert probe.ask("nvmlErrorString(15)") == "GPU is lost"


def test_devices(probe: Probe) -> None:
    assert probe.ask("nvmlDeviceGetCount()") == 2
    assert probe.ask("[nvmlDeviceGetUUID(gpu(i)) for i in (0, 1)]") == ["GPU-0", "GPU-1"]
    assert probe.ask("[nvmlDeviceGetName(gpu(i)) for i in (0, 1)]") == ["NVIDIA H200", "NVIDIA A100"]
    assert probe.ask("nvmlDeviceGetIndex(nvmlDeviceGetHandleByUUID('GPU-1'))") == 1
    assert probe.ask("nvmlDeviceGetUUID(nvmlDeviceGetHandleByUUID('MIG-2'))") == "MIG-2"
    assert probe.code("nvmlDeviceGetHandleByUUID('GPU-2')") == 6
    assert probe.code("gpu(2)") == 2
    assert probe.code("gpu(1000)") == 2
    assert probe.code("nvmlDeviceGetUUID(None)") == 2
    assert probe.code("nvmlDeviceGetUUID(ctypes.c_void_p(4096))") == 2


def test_pci(probe: Probe) -> None:
    fields = "[p.busId, p.busIdLegacy, p.domain, p.bus, p.device, p.pciDeviceId]"
    expected = ["00000000:65:00.0", "0000:65:00.0", 0, 0x65, 0, 0x233510DE]
    assert probe.ask(f"(p := nvmlDeviceGetPciInfo(gpu(0))) and {fields}") == expected
    assert probe.code("nvmlDeviceGetPciInfo(gpu(1))") == NOT_SUPPORTED


def test_values(probe: Probe) -> None:
    assert probe.ask("nvmlDeviceGetTemperature(gpu(0), NVML_TEMPERATURE_GPU)") == 41
    assert probe.ask("nvmlDeviceGetTemperatureV(gpu(0), NVML_TEMPERATURE_GPU)") == 41
    assert probe.code("nvmlDeviceGetTemperature(gpu(0), 1)") == 2
    assert probe.ask("(u := nvmlDeviceGetUtilizationRates(gpu(0))) and [u.gpu, u.memory]") == [77, 12]
    assert probe.ask("nvmlDeviceGetPowerUsage(gpu(0))") == 123456
    assert probe.ask("nvmlDeviceGetSerial(gpu(0))") == "12345"
    assert probe.ask("nvmlDeviceGetPerformanceState(gpu(0))") == 2


ONE_VALUE = {
    "vbios_version": "nvmlDeviceGetVbiosVersion(gpu(0))",
    "architecture": "nvmlDeviceGetArchitecture(gpu(0))",
    "power_limit": "nvmlDeviceGetEnforcedPowerLimit(gpu(0))",
    "energy": "nvmlDeviceGetTotalEnergyConsumption(gpu(0))",
    "clock_graphics": "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_GRAPHICS)",
    "clock_sm": "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_SM)",
    "clock_memory": "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_MEM)",
    "clock_video": "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_VIDEO)",
    "max_clock_graphics": "nvmlDeviceGetMaxClockInfo(gpu(0), NVML_CLOCK_GRAPHICS)",
    "max_clock_video": "nvmlDeviceGetMaxClockInfo(gpu(0), NVML_CLOCK_VIDEO)",
    "throttle_reasons": "nvmlDeviceGetCurrentClocksEventReasons(gpu(0))",
    "supported_throttle_reasons": "nvmlDeviceGetSupportedClocksThrottleReasons(gpu(0))",
    "fan_speed": "nvmlDeviceGetFanSpeed(gpu(0))",
    "encoder_utilization": "nvmlDeviceGetEncoderUtilization(gpu(0))[0]",
    "decoder_utilization": "nvmlDeviceGetDecoderUtilization(gpu(0))[0]",
    "pcie_generation": "nvmlDeviceGetCurrPcieLinkGeneration(gpu(0))",
    "pcie_width": "nvmlDeviceGetCurrPcieLinkWidth(gpu(0))",
    "max_pcie_generation": "nvmlDeviceGetMaxPcieLinkGeneration(gpu(0))",
    "max_pcie_width": "nvmlDeviceGetMaxPcieLinkWidth(gpu(0))",
    "pcie_replays": "nvmlDeviceGetPcieReplayCounter(gpu(0))",
    "pcie_receive": "nvmlDeviceGetPcieThroughput(gpu(0), NVML_PCIE_UTIL_RX_BYTES)",
    "pcie_transmit": "nvmlDeviceGetPcieThroughput(gpu(0), NVML_PCIE_UTIL_TX_BYTES)",
    "ecc_corrected_volatile": "nvmlDeviceGetTotalEccErrors(gpu(0), 0, 0)",
    "ecc_corrected_aggregate": "nvmlDeviceGetTotalEccErrors(gpu(0), 0, 1)",
    "ecc_uncorrected_volatile": "nvmlDeviceGetTotalEccErrors(gpu(0), 1, 0)",
    "ecc_uncorrected_aggregate": "nvmlDeviceGetTotalEccErrors(gpu(0), 1, 1)",
    "retired_pages_single_bit": "len(nvmlDeviceGetRetiredPages(gpu(0), 0))",
    "retired_pages_double_bit": "len(nvmlDeviceGetRetiredPages(gpu(0), 1))",
    "event_types": "nvmlDeviceGetSupportedEventTypes(gpu(0))",
    "default_power_limit": "nvmlDeviceGetPowerManagementDefaultLimit(gpu(0))",
    "max_power_limit": "nvmlDeviceGetPowerManagementLimitConstraints(gpu(0))[1]",
    "shutdown_temperature": "nvmlDeviceGetTemperatureThreshold(gpu(0), 0)",
    "bar1_total": "nvmlDeviceGetBAR1MemoryInfo(gpu(0)).bar1Total",
    "jpeg_utilization": "nvmlDeviceGetJpgUtilization(gpu(0))[0]",
    "ofa_utilization": "nvmlDeviceGetOfaUtilization(gpu(0))[0]",
    "ecc_mode": "nvmlDeviceGetEccMode(gpu(0))[0]",
    "retirement_pending": "nvmlDeviceGetRetiredPagesPendingStatus(gpu(0))",
}


def test_one_value_of_a_key(scenario: Scenario, probe: Probe) -> None:
    for number, (key, expression) in enumerate(ONE_VALUE.items(), start=1):
        assert probe.code(expression) == NOT_SUPPORTED, key
        value = str(number) if key == "vbios_version" else number
        extra = {key: str(value), "min_power_limit": "1"} if key == "max_power_limit" else {key: str(value)}
        scenario.gpus[0].extra = extra
        scenario.write()
        assert probe.ask(expression) == value, key
        scenario.gpus[0].extra = {}
        scenario.write()


def test_values_of_several(scenario: Scenario, probe: Probe) -> None:
    for expression in ("nvmlDeviceGetNumFans(gpu(0))", "nvmlDeviceGetRemappedRows(gpu(0))"):
        assert probe.code(expression) == NOT_SUPPORTED
    assert probe.code("nvmlDeviceGetFanSpeed_v2(gpu(0), 0)") == 2
    scenario.gpus[0].fan_speeds = [30, 140]
    scenario.gpus[0].remapped_rows = (1, 2, 1, 0)
    scenario.gpus[1].migs[0].gpu_instance_slices = 3
    scenario.write()
    assert probe.ask("[nvmlDeviceGetFanSpeed_v2(gpu(0), n) for n in range(nvmlDeviceGetNumFans(gpu(0)))]") == [30, 140]
    assert probe.code("nvmlDeviceGetFanSpeed_v2(gpu(0), 2)") == 2
    assert probe.ask("nvmlDeviceGetRemappedRows(gpu(0))") == [1, 2, 1, 0]
    assert probe.ask("nvmlDeviceGetAttributes(mig(1, 0)).gpuInstanceSliceCount") == 3
    assert probe.code("nvmlDeviceGetAttributes(mig(1, 2))") == NOT_SUPPORTED


def test_values_that_move(scenario: Scenario, probe: Probe) -> None:
    """Each reading is another value; in all places where a number may be written so."""
    gpu = scenario.gpus[0]
    gpu.extra = {"energy": "100+", "clock_sm": "50+3"}
    gpu.fields, gpu.samples = {138: "7+"}, [Sample(5, "10+7", None, "20+7")]
    gpu.processes = [Process(5, "1048576+2")]
    scenario.write()
    read = "[nvmlDeviceGet{}(gpu(0)) for _ in range(4)]"
    assert probe.ask(read.format("TotalEnergyConsumption")) == [100, 101, 102, 103]
    assert probe.ask("[nvmlDeviceGetClockInfo(gpu(0), 1) for _ in range(4)]") == [50, 51, 52, 50]
    memory = "[nvmlDeviceGetComputeRunningProcesses(gpu(0))[0].usedGpuMemory >> 20 for _ in range(3)]"
    assert sorted(set(probe.ask(memory))) == [1, 2]
    assert probe.ask("[nvmlDeviceGetFieldValues(gpu(0), [138])[0].value.ullVal for _ in range(2)]") == [7, 8]
    shares = "(s := nvmlDeviceGetProcessUtilization(gpu(0), 0)[0]) and [s.smUtil, s.memUtil]"
    first, second = probe.ask(shares), probe.ask(shares)
    assert all(before != after and 10 <= after < 27 for before, after in zip(first, second, strict=True))


def test_throughput_takes_its_time_and_holds_nobody_up(scenario: Scenario, probe: Probe) -> None:
    scenario.gpus[0].extra = {"pcie_receive": "5", "pcie_throughput_takes": "60000"}
    scenario.gpus[1].pcie_receive = 7
    scenario.write()
    probe.send("slow", "nvmlDeviceGetPcieThroughput(gpu(0), NVML_PCIE_UTIL_RX_BYTES)")
    assert probe.ask("timed(lambda: nvmlDeviceGetPcieThroughput(gpu(1), NVML_PCIE_UTIL_RX_BYTES))") >= 0.0195
    assert not probe.answered("slow")


def test_nvlinks(scenario: Scenario, probe: Probe) -> None:
    assert probe.code("nvmlDeviceGetNvLinkState(gpu(0), 0)") == NOT_SUPPORTED
    scenario.gpus[0].nvlinks = {0: NvLink(errors={0: 5, 3: 6}), 1: NvLink(active=False)}
    scenario.write()
    assert probe.ask("[nvmlDeviceGetNvLinkState(gpu(0), n) for n in (0, 1)]") == [1, 0]
    assert probe.code("nvmlDeviceGetNvLinkState(gpu(0), 2)") == 2
    assert probe.ask("[nvmlDeviceGetNvLinkErrorCounter(gpu(0), 0, n) for n in (0, 3)]") == [5, 6]
    assert probe.code("nvmlDeviceGetNvLinkErrorCounter(gpu(0), 0, 1)") == NOT_SUPPORTED


def test_field_values(scenario: Scenario, probe: Probe) -> None:
    scenario.gpus[0].fields = {82: "61 1", (138, 3): 2**40, 84: "-4 5", 85: "1.5 0"}
    scenario.write()
    values = "[[v.nvmlReturn, v.valueType, v.value.{}] for v in nvmlDeviceGetFieldValues(gpu(0), [82, (138, 3), 138])]"
    assert [v[:2] for v in probe.ask(values.format("ullVal"))][:2] == [[0, 1], [0, 3]]
    assert probe.ask(values.format("ullVal"))[1][2] == 2**40
    assert probe.ask(values.format("uiVal"))[0][2] == 61
    assert probe.ask(values.format("uiVal"))[2][0] == NOT_SUPPORTED
    others = "(v := nvmlDeviceGetFieldValues(gpu(0), [84, 85])) and [v[0].value.siVal, v[1].value.dVal]"
    assert probe.ask(others) == [-4, 1.5]


def test_health_and_board(scenario: Scenario, probe: Probe) -> None:
    device = scenario.gpus[0]
    device.ecc_locations = {(1, 0, 7): 5}
    device.extra = {
        "compute_capability": "10.3",
        "encoder_stats": "2 60 4500",
        "fbc_stats": "1 30 2000",
        "fabric": "3 0 4026 0x2AA 7",
        "gsp_version": "570.86.15",
        "margin_temperature": "-2",
        "remap_histogram": "1 2 3 4 5",
        "sram_errors": "1 2 3 4 5 1",
    }
    scenario.write()
    assert probe.ask("nvmlDeviceGetMemoryErrorCounter(gpu(0), 1, 0, 7)") == 5
    assert probe.code("nvmlDeviceGetMemoryErrorCounter(gpu(0), 1, 1, 7)") == NOT_SUPPORTED
    assert probe.ask("nvmlDeviceGetCudaComputeCapability(gpu(0))") == [10, 3]
    assert probe.ask("nvmlDeviceGetEncoderStats(gpu(0))") == [2, 60, 4500]
    assert probe.ask("(s := nvmlDeviceGetFBCStats(gpu(0))) and [s.sessionsCount, s.averageLatency]") == [1, 2000]
    assert probe.ask("nvmlDeviceGetMarginTemperature(gpu(0))") == -2
    assert probe.ask("nvmlDeviceGetGspFirmwareVersion(gpu(0)).decode()") == "570.86.15"
    assert probe.ask("(h := nvmlDeviceGetRowRemapperHistogram(gpu(0))) and [h.max, h.high, h.none]") == [1, 2, 5]
    sram = "(e := c_nvmlEccSramErrorStatus_v1_t()), nvmlDeviceGetSramEccErrorStatus(gpu(0), ctypes.byref(e))"
    assert probe.ask(f"[{sram}] and [e.aggregateUncBucketL2, e.aggregateUncBucketOther, e.bThresholdExceeded]") == [
        1,
        5,
        1,
    ]
    fabric = "(f := c_nvmlGpuFabricInfo_v2_t()), nvmlDeviceGetGpuFabricInfoV(gpu(0), ctypes.byref(f))"
    assert probe.ask(f"[{fabric}] and [f.state, f.cliqueId, f.healthMask, f.clusterUuid[0]]") == [3, 4026, 0x2AA, 7]
    assert probe.code("nvmlDeviceGetEncoderStats(gpu(1))") == NOT_SUPPORTED


COMPARED = """(m := c_nvmlGpmMetricsGet_t()), setattr(m, 'version', 1), setattr(m, 'numMetrics', 2),
setattr(m, 'sample1', a), setattr(m, 'sample2', b), setattr(m.metrics[0], 'metricId', 2),
setattr(m.metrics[1], 'metricId', 3), nvmlGpmMetricsGet(m)"""


def test_gpm(scenario: Scenario, probe: Probe) -> None:
    scenario.gpm_samples = 2
    scenario.gpus[0].gpm = {2: 12.5}
    scenario.write()
    supported = "nvmlGpmQueryDeviceSupport(gpu({})).isSupportedDevice"
    assert [probe.ask(supported.format(number)) for number in (0, 1)] == [1, 0]
    probe.ask("globals().update(a=nvmlGpmSampleAlloc(), b=nvmlGpmSampleAlloc())")
    assert probe.code("nvmlGpmSampleAlloc()") == 20
    compared = f"[{COMPARED}] and [[e.nvmlReturn, e.value] for e in m.metrics[:2]]".replace("\n", " ")
    assert probe.code(compared) == 2  # there is nothing in the samples yet
    probe.ask("[nvmlGpmSampleGet(gpu(0), s) and 1 for s in (a, b)]")
    assert probe.ask(compared) == [[0, 12.5], [NOT_SUPPORTED, 4242]]
    scenario.gpus[0].gpm = {2: "12.5+"}
    scenario.write()
    assert [probe.ask(compared)[0][1] for _ in range(2)] == [12.5, 13.5]
    assert probe.code("nvmlGpmSampleGet(gpu(1), a)") == NOT_SUPPORTED
    assert probe.ask("nvmlGpmSampleFree(a)") is None
    assert probe.code("nvmlGpmSampleFree(a)") == 2


EVENT = "(e := nvmlEventSetWait_v2(events, {})) and [e.eventData, nvmlDeviceGetIndex(e.device)]"


def test_xids_are_events(scenario: Scenario, probe: Probe) -> None:
    probe.ask("(events := nvmlEventSetCreate()) and None")
    assert probe.code("nvmlDeviceRegisterEvents(gpu(0), 8, events)") == NOT_SUPPORTED
    for device in scenario.gpus:
        device.event_types = 0x1F
        device.xids = [13]
    scenario.write()
    probe.ask("[nvmlDeviceRegisterEvents(gpu(n), 8, events) for n in (0, 1)]")
    assert probe.code("nvmlDeviceRegisterEvents(gpu(0), 32, events)") == NOT_SUPPORTED
    assert probe.code(EVENT.format(0)) == 10
    probe.send("event", EVENT.format(60_000))
    assert probe.ask("1 + 1") == 2
    scenario.gpus[1].xids += [79, 31]
    scenario.gpus[0].xids += [31]
    scenario.write()
    first = probe.receive("event")
    assert sorted([first, probe.ask(EVENT.format(0)), probe.ask(EVENT.format(0))]) == [[31, 0], [31, 1], [79, 1]]
    assert probe.code(EVENT.format(0)) == 10

    scenario.errors = {"nvmlEventSetWait_v2": LOST}
    scenario.write()
    assert probe.code(EVENT.format(0)) == LOST
    scenario.errors = {}
    scenario.write()
    probe.ask("nvmlEventSetFree(events)")
    assert probe.code(EVENT.format(0)) == 2


def test_event_sets_are_few_and_gone_after_the_end(scenario: Scenario, probe: Probe) -> None:
    assert probe.ask("len([nvmlEventSetCreate() for _ in range(8)])") == 8
    assert probe.code("nvmlEventSetCreate()") == 23
    probe.ask("[nvmlShutdown(), nvmlInit()]")
    assert probe.ask("len([nvmlEventSetCreate() for _ in range(8)])") == 8


def test_memory(probe: Probe) -> None:
    v1 = "(m := nvmlDeviceGetMemoryInfo(gpu(0))) and [m.total, m.free, m.used]"
    assert probe.ask(v1) == [80 * GIB, 69 * GIB, 11 * GIB]
    v2 = "(m := nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2)) and [m.total, m.reserved, m.free, m.used]"
    assert probe.ask(v2) == [80 * GIB, GIB, 69 * GIB, 10 * GIB]
    assert probe.code("nvmlDeviceGetMemoryInfo(gpu(0), 7)") == 25


def test_strings_do_not_overrun(probe: Probe) -> None:
    probe.ask("(text := ctypes.create_string_buffer(6)) and None")
    assert probe.ask("raw('nvmlDeviceGetUUID', gpu(0), text, 5)") == INSUFFICIENT_SIZE
    assert probe.ask("raw('nvmlDeviceGetUUID', gpu(0), text, 6)") == 0
    assert probe.ask("raw('nvmlDeviceGetUUID', gpu(0), None, 6)") == 2


def test_none_is_not_supported(scenario: Scenario, probe: Probe) -> None:
    blank = Gpu("GPU-0", name=None, temperature=None, utilization=None, memory_total=None, memory_used=None)
    scenario.gpus = [blank]
    scenario.driver_version = None
    scenario.write()
    for expression in (
        "nvmlSystemGetDriverVersion()",
        "nvmlDeviceGetName(gpu(0))",
        "nvmlDeviceGetTemperature(gpu(0), 0)",
        "nvmlDeviceGetTemperatureV(gpu(0), 0)",
        "nvmlDeviceGetUtilizationRates(gpu(0))",
        "nvmlDeviceGetMemoryInfo(gpu(0))",
        "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2)",
        "nvmlDeviceGetMigMode(gpu(0))",
        "mig(0, 0)",
        "nvmlDeviceGetGpuInstanceId(gpu(0))",
        "nvmlDeviceGetPowerUsage(gpu(0))",
    ):
        assert probe.code(expression) == NOT_SUPPORTED, expression
    assert probe.ask("nvmlDeviceGetMaxMigDeviceCount(gpu(0))") == 0
    assert probe.ask("nvmlDeviceGetComputeRunningProcesses(gpu(0))") == []


def test_mig(scenario: Scenario, probe: Probe) -> None:
    assert probe.code("nvmlDeviceGetMigMode(gpu(0))") == NOT_SUPPORTED
    assert probe.ask("nvmlDeviceGetMigMode(gpu(1))") == [1, 1]
    assert probe.ask("nvmlDeviceGetMaxMigDeviceCount(gpu(1))") == 7
    assert probe.code("mig(1, 1)") == 6
    assert probe.code("mig(1, 99)") == 6
    assert probe.code("nvmlDeviceGetMigDeviceHandleByIndex(mig(1, 0), 0)") == 2
    assert probe.ask("nvmlDeviceGetUUID(mig(1, 2))") == "MIG-2"
    assert probe.ask("[nvmlDeviceGetGpuInstanceId(mig(1, i)) for i in (0, 2)]") == [7, 9]
    assert probe.ask("[nvmlDeviceGetComputeInstanceId(mig(1, i)) for i in (0, 2)]") == [0, 1]
    assert probe.ask("nvmlDeviceGetMemoryInfo(mig(1, 2), nvmlMemory_v2).used") == 3 * GIB
    assert probe.ask("listed(nvmlDeviceGetComputeRunningProcesses(mig(1, 0)))") == [[70, GIB, 7, 0]]
    assert probe.ask("nvmlDeviceGetIndex(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig(1, 2)))") == 1
    assert probe.code("nvmlDeviceGetDeviceHandleFromMigDeviceHandle(gpu(1))") == 2
    assert probe.code("nvmlDeviceGetUtilizationRates(gpu(1))") == NOT_SUPPORTED

    probe.ask("(instance := mig(1, 2)) and None")
    scenario.gpus[1].migs = {}
    scenario.gpus[1].mig = False
    scenario.write()
    assert probe.code("nvmlDeviceGetUUID(instance)") == 2
    assert probe.ask("nvmlDeviceGetMigMode(gpu(1))") == [0, 0]
    assert probe.code("mig(1, 0)") == 6
    assert probe.ask("nvmlDeviceGetUtilizationRates(gpu(1)).gpu") == 0


def test_processes(probe: Probe) -> None:
    entry = ctypes.sizeof(pynvml.c_nvmlProcessInfo_t)
    need(entry == 24, "needs a newer nvidia-ml-py: this one has the process list of a beta of driver 535")
    none = 0xFFFFFFFF
    expected = [[4242, GIB, none, none], [4243, None, none, none]]
    assert probe.ask("listed(nvmlDeviceGetComputeRunningProcesses(gpu(0)))") == expected
    assert probe.ask("listed(nvmlDeviceGetComputeRunningProcesses_v2(gpu(0)))") == expected
    assert probe.ask("listed(nvmlDeviceGetGraphicsRunningProcesses(gpu(0)))") == [[1, 5, none, none]]
    assert probe.ask("listed(nvmlDeviceGetMPSComputeRunningProcesses(gpu(0)))") == [[2, 6, none, none]]
    v1 = probe.ask("bare('nvmlDeviceGetComputeRunningProcesses', gpu(0), V1, 2)")
    assert v1 == [0, 2, [[4242, GIB], [4243, (1 << 64) - 1]]]
    assert probe.ask("bare('nvmlDeviceGetComputeRunningProcesses', gpu(0), V1, 1)")[:2] == [
        INSUFFICIENT_SIZE,
        2,
    ]


def test_process_list_grows(scenario: Scenario, probe: Probe) -> None:
    scenario.list_grows = 3
    scenario.write()
    listing = "len(nvmlDeviceGetComputeRunningProcesses(gpu(0)))"
    again = "bare('nvmlDeviceGetComputeRunningProcesses_v2', gpu(0), c_nvmlProcessInfo_v2_t, {})"
    for _ in range(2):
        # Asking for the size and then once for the list, as pynvml does, however generously.
        assert [probe.code(listing) for _ in range(3)] == [INSUFFICIENT_SIZE] * 3
        assert probe.ask(listing) == 2
        # Offering what the last call asked for.
        room, answers = 1, list[int]()
        while not answers or answers[-1] != 0:
            code, room, _ = probe.ask(again.format(room))
            answers.append(code)
        assert answers == [INSUFFICIENT_SIZE] * 3 + [0]
    assert probe.ask("nvmlDeviceGetComputeRunningProcesses(gpu(1))") == []


def test_samples_of_processes(scenario: Scenario, probe: Probe) -> None:
    since = "sorted([s.pid, s.smUtil] for s in nvmlDeviceGetProcessUtilization(gpu(0), {}))"
    assert probe.code(since.format(0)) == NOT_SUPPORTED
    scenario.gpus[0].samples = []
    scenario.write()
    assert probe.code(since.format(0)) == NOT_FOUND
    scenario.gpus[0].samples = [Sample(5, 10, 1000), Sample(5, 20, 2000), Sample(6, 30), Sample(7, 40, 0)]
    scenario.list_grows = 1
    scenario.write()
    assert probe.code(since.format(1000)) == INSUFFICIENT_SIZE
    assert probe.ask(since.format(1000)) == [[5, 20], [6, 30], [7, 40]]
    scenario.list_grows = 0
    scenario.write()
    assert len(probe.ask(since.format(0))) == 4
    assert len(probe.ask(since.format(10**15))) == 2
    scenario.gpus[0].mig = True
    scenario.write()
    assert probe.code(since.format(0)) == NOT_SUPPORTED


def test_process_struct(scenario: Scenario, probe: Probe) -> None:
    scenario.process_struct = 32
    scenario.gpus[0].processes = [Process(11, 12, 13, 14), Process(21, 22, 23, 24)]
    scenario.write()
    v3 = "bare('nvmlDeviceGetComputeRunningProcesses_v3', gpu(0), c_nvmlProcessDetail_v1_t, 4)"
    assert probe.ask(v3) == [0, 2, [[11, 12, 13, 14, 0], [21, 22, 23, 24, 0]]]
    # Read with the usual form, the second entry comes out of the first one's end.
    expected = [[11, 12, 13, 14], [0, 21, 22, 0]]
    assert probe.ask("listed(nvmlDeviceGetComputeRunningProcesses_v3(gpu(0)))") == expected
    v2 = "listed(nvmlDeviceGetComputeRunningProcesses_v2(gpu(0)))"
    assert probe.ask(v2) == [[11, 12, 13, 14], [21, 22, 23, 24]]
    scenario.process_struct = 24
    scenario.write()
    v3 = "listed(nvmlDeviceGetComputeRunningProcesses_v3(gpu(0)))"
    assert probe.ask(v3) == [[11, 12, 13, 14], [21, 22, 23, 24]]


def test_errors(scenario: Scenario, probe: Probe) -> None:
    probe.ask("(cached := gpu(0)) and None")
    scenario.errors = {"nvmlDeviceGetTemperature": 4, "nvmlDeviceGet*RunningProcesses_v3": 999}
    scenario.gpus[0].errors = {"nvmlDeviceGetName": 17}
    scenario.gpus[1].migs[0].errors = {"nvmlDeviceGetMemoryInfo*": 999, "nvmlDeviceGetUUID": 2}
    scenario.write()
    for number in (0, 1):
        assert probe.code(f"nvmlDeviceGetTemperature(gpu({number}), 0)") == 4
        assert probe.code(f"nvmlDeviceGetGraphicsRunningProcesses(gpu({number}))") == 999
    assert probe.ask("nvmlDeviceGetTemperatureV(gpu(0), 0)") == 41
    assert probe.code("nvmlDeviceGetName(gpu(0))") == 17
    assert probe.ask("nvmlDeviceGetName(gpu(1))") == "NVIDIA A100"
    assert probe.code("nvmlDeviceGetMemoryInfo(mig(1, 0), nvmlMemory_v2)") == 999
    assert probe.ask("nvmlDeviceGetMemoryInfo(mig(1, 2), nvmlMemory_v2).used") == 3 * GIB

    scenario.errors = {}
    scenario.gpus[0].errors = {"*": LOST}
    scenario.write()
    for expression in (
        "gpu(0)",
        "nvmlDeviceGetHandleByUUID('GPU-0')",
        "nvmlDeviceGetTemperature(cached, 0)",
        "nvmlDeviceGetComputeRunningProcesses(cached)",
    ):
        assert probe.code(expression) == LOST, expression
    assert probe.ask("nvmlDeviceGetCount()") == 2
    assert probe.ask("nvmlDeviceGetTemperature(gpu(1), 0)") == 30

    scenario.gpus[0].errors = {}
    scenario.write()
    assert probe.ask("nvmlDeviceGetTemperature(cached, 0)") == 41


def test_vanished_device(scenario: Scenario, probe: Probe) -> None:
    probe.ask("(cached := gpu(1)) and None")
    del scenario.gpus[1]
    scenario.write()
    assert probe.ask("nvmlDeviceGetCount()") == 1
    assert probe.code("nvmlDeviceGetName(cached)") == LOST


def test_devices_are_enumerated_at_initialisation(libdir: Path, scenario: Scenario, start: StartProbe) -> None:
    scenario.enumerates_at_init = True
    scenario.write()
    probe = start(scenario.environment(libdir))
    probe.ask("nvmlInit()")
    scenario.gpus.append(Gpu("GPU-2"))
    scenario.gpus[0].errors = {"nvmlDeviceGetName": LOST}
    scenario.write()
    assert probe.ask("nvmlDeviceGetCount()") == 2
    assert probe.code("nvmlDeviceGetName(gpu(0))") == LOST
    scenario.gpus[0].errors = {}
    scenario.write()
    assert probe.code("nvmlDeviceGetName(gpu(0))") == LOST
    assert probe.ask("nvmlDeviceGetName(gpu(1))") == "NVIDIA A100"
    probe.ask("[nvmlShutdown(), nvmlInit()]")
    assert probe.ask("nvmlDeviceGetCount()") == 3
    assert probe.ask("nvmlDeviceGetName(gpu(0))") == "NVIDIA H200"


@pytest.mark.parametrize("where", ["machine", "device"])
def test_hang_is_released(scenario: Scenario, probe: Probe, where: str) -> None:
    hangs = scenario.hangs if where == "machine" else scenario.gpus[0].hangs
    hangs["nvmlDeviceGetUtilizationRates"] = 600_000
    scenario.write()
    probe.send("hung", "nvmlDeviceGetUtilizationRates(gpu(0)).gpu")
    # Meanwhile others go on, and see changes.
    for temperature in range(50, 60):
        scenario.gpus[0].temperature = temperature
        scenario.write()
        assert probe.ask("nvmlDeviceGetTemperature(gpu(0), 0)") == temperature
    assert not probe.answered("hung")
    hangs.clear()
    scenario.gpus[0].utilization = 5
    scenario.write()
    assert probe.receive("hung") == 5


def test_hang_ends_and_then_fails(scenario: Scenario, probe: Probe) -> None:
    scenario.gpus[0].hangs["nvmlDeviceGetName"] = 60
    scenario.write()
    assert probe.ask("timed(lambda: nvmlDeviceGetName(gpu(0)))") >= 0.059
    scenario.gpus[0].errors["nvmlDeviceGetName"] = LOST
    scenario.write()
    assert probe.code("nvmlDeviceGetName(gpu(0))") == LOST
    assert probe.ask("nvmlDeviceGetName(gpu(1))") == "NVIDIA A100"


def test_hang_while_initialising(libdir: Path, scenario: Scenario, start: StartProbe) -> None:
    scenario.hangs = {"nvmlInit*": 600_000}
    scenario.write()
    probe = start(scenario.environment(libdir))
    probe.send("init", "nvmlInit()")
    assert probe.ask("1 + 1") == 2
    scenario.hangs = {}
    scenario.errors = {"nvmlInit*": 18}
    scenario.write()
    with pytest.raises(CallError) as failure:
        probe.receive("init")
    assert failure.value.code == 18


def test_every_write_is_seen(scenario: Scenario, probe: Probe) -> None:
    for step in range(300):
        scenario.gpus[0].temperature = 10 + step % 80
        scenario.write()
        assert probe.ask("nvmlDeviceGetTemperature(gpu(0), 0)") == 10 + step % 80


def test_initialisation_is_counted(libdir: Path, scenario: Scenario, start: StartProbe) -> None:
    probe = start(scenario.environment(libdir))
    probe.ask("pynvml._LoadNvmlLibrary()")
    assert probe.code("nvmlDeviceGetCount()") == 1
    probe.ask("[nvmlInit(), nvmlInit(), nvmlShutdown()]")
    assert probe.ask("nvmlDeviceGetCount()") == 2
    assert probe.ask("raw('nvmlInit_v2')") == 0
    probe.ask("[nvmlShutdown(), nvmlShutdown()]")
    assert probe.code("nvmlDeviceGetCount()") == 1
    assert probe.code("nvmlShutdown()") == 1
    scenario.errors = {"nvmlInitWithFlags": 9}
    scenario.write()
    assert probe.code("nvmlInit()") == 9
    assert probe.code("nvmlDeviceGetCount()") == 1


def test_no_driver(libdir: Path, scenario: Scenario, start: StartProbe) -> None:
    scenario.remove()
    probe = start(scenario.environment(libdir))
    assert probe.code("nvmlInit()") == 9
    scenario.write()
    probe.ask("nvmlInit()")
    scenario.remove()
    assert probe.code("nvmlDeviceGetCount()") == 9
    probe.ask("nvmlShutdown()")
    assert probe.code("nvmlInit()") == 9


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("", 0),
        ("# nothing\n\n", 0),
        ("device 3 name A B\n", 4),
        ("device 0\n", None),
        ("device x name y\n", None),
        ("device 64 name y\n", None),
        ("mig 0 16 name y\n", None),
        ("device 0 process 12\n", None),
        ("device 0 process 12 13 14\n", None),
        ("device 0 process_sample 12 13\n", None),
        ("device 0 process_sample 12 then 14\n", None),
        ("error nvmlInitWithFlags nine\n", None),
        ("process_struct 1\n", None),
        ("device 0 field 82 0\n", None),
        ("device 0 nvlink 1\n", None),
        ("device 0 nvlink_error 1 2\n", None),
        ("device 0 remapped_rows 1 2 3\n", None),
    ],
)
def test_files_written_by_hand(
    libdir: Path, scenario: Scenario, start: StartProbe, text: str, devices: int | None
) -> None:
    scenario.path.write_text(text)
    probe = start(scenario.environment(libdir))
    if devices is None:
        assert probe.code("nvmlInit()") == 999
        return
    probe.ask("nvmlInit()")
    assert probe.ask("nvmlDeviceGetCount()") == devices
    if devices:
        assert probe.ask("nvmlDeviceGetName(gpu(3))") == "A B"
        assert probe.code("gpu(0)") == LOST


def test_unwritable_values(scenario: Scenario) -> None:
    before = scenario.path.read_text()
    scenario.gpus[0].name = "two\nlines"
    with pytest.raises(ValueError, match="two"):
        scenario.write()
    assert scenario.path.read_text() == before


def test_without(tmp_path: Path, scenario: Scenario, start: StartProbe) -> None:
    left_out = {
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetPowerUsage",
        "nvmlErrorString",
    }
    libdir = build(tmp_path / "old", without=left_out)
    probe = start(scenario.environment(libdir))
    probe.ask("nvmlInit()")
    assert probe.code("nvmlDeviceGetTemperatureV(gpu(0), 0)") == 13
    assert probe.code("nvmlDeviceGetComputeRunningProcesses_v3(gpu(0))") == 13
    assert probe.code("nvmlDeviceGetPowerUsage(gpu(0))") == 13
    assert probe.code("nvmlErrorString(1)") == 13
    assert probe.ask("nvmlDeviceGetTemperature(gpu(0), 0)") == 41
    assert probe.ask("len(nvmlDeviceGetComputeRunningProcesses_v2(gpu(0)))") == 2
    with pytest.raises(BuildError, match="nvmlDeviceGetTempratureV"):
        build(tmp_path / "old", without={"nvmlDeviceGetTempratureV"})


def test_build_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildError, match="C compiler"):
        build(tmp_path)


def test_files_are_for_everybody(libdir: Path, scenario: Scenario) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert [mode(libdir / name) for name in (".", "libnvidia-ml.so.1", "nvidia-smi")] == [0o755] * 3
    assert mode(scenario.path) == 0o644


class TestNvidiaSmi:
    GPUS = "--query-gpu=index,utilization.gpu,temperature.gpu,memory.used,memory.total"
    APPS = "--query-compute-apps=gpu_uuid,pid,used_gpu_memory"

    @pytest.fixture(autouse=True)
    def _prepare(self, libdir: Path, scenario: Scenario) -> None:
        self.libdir, self.scenario = libdir, scenario

    def run(self, *arguments: str, libdir: Path | None = None) -> tuple[int, list[str]]:
        environment = self.scenario.environment(libdir or self.libdir)
        result = subprocess.run(
            [str(self.libdir / "nvidia-smi"), *arguments, "--format=csv,noheader,nounits"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return result.returncode, result.stdout.splitlines()

    def test_gpus(self) -> None:
        assert self.run("--query-gpu=memory.total") == (0, ["81920", "143771"])
        assert self.run("--query-gpu=uuid,index") == (0, ["GPU-0, 0", "GPU-1, 1"])
        assert self.run("--query-gpu=name, driver_version") == (
            0,
            ["NVIDIA H200, 570.86.15", "NVIDIA A100, 570.86.15"],
        )
        assert self.run(self.GPUS) == (0, ["0, 77, 41, 10240, 81920", "1, [N/A], 30, 0, 143771"])

    def test_memory_is_rounded_down(self) -> None:
        self.scenario.gpus = [Gpu("GPU-0", memory_used=(2 << 20) - 1, memory_reserved=GIB)]
        self.scenario.write()
        assert self.run("--query-gpu=memory.used") == (0, ["1"])

    def test_apps(self) -> None:
        expected = (0, ["GPU-0, 4242, 1024", "GPU-0, 4243, [N/A]"])
        assert self.run(self.APPS) == expected
        self.scenario.process_struct = 32
        self.scenario.list_grows = 2
        self.scenario.write()
        assert self.run(self.APPS) == expected

    def test_unknown_field(self) -> None:
        status, output = self.run("--query-gpu=index,pid")
        assert (status, output) == (2, ['Field "pid" is not a valid field to query.'])
        assert self.run("--list-gpus")[0] == 2

    def test_failures(self, tmp_path: Path) -> None:
        self.scenario.errors = {"nvmlDeviceGetTemperature": LOST}
        self.scenario.write()
        assert self.run("--query-gpu=index,temperature.gpu") == (0, ["0, [GPU is lost]", "1, [GPU is lost]"])
        self.scenario.errors = {}
        self.scenario.gpus[1].errors = {"*": LOST}
        self.scenario.write()
        status, output = self.run("--query-gpu=index")
        assert (status, output[0]) == (LOST, "0")
        assert "GPU1: GPU is lost" in output[1]
        self.scenario.remove()
        status, output = self.run("--query-gpu=index")
        assert status == 9
        assert "couldn't communicate with the NVIDIA driver" in output[0]

    def test_old_driver(self, tmp_path: Path) -> None:
        old = build(tmp_path / "old", without={"nvmlDeviceGetTemperature"})
        expected = (0, ["[Function Not Found]", "[Function Not Found]"])
        assert self.run("--query-gpu=temperature.gpu", libdir=old) == expected
