"""Stand-ins for NVML and nvidia-smi, for machines without a GPU (README.md says what they do)."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SOURCES = Path(__file__).resolve().parent
LIBRARY = "libnvidia-ml.so.1"
NVIDIA_SMI = "nvidia-smi"

_LIBRARY_SOURCES = ("nvml.c", "details.c", "events.c", "gpm.c", "health.c", "call.c", "state.c")
_HEADER_PACKAGES = ("nvidia-nvml-dev", "nvidia-nvml-dev-cu13", "nvidia-nvml-dev-cu12")
_FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
_SHARED = ("-shared", "-fPIC", "-fvisibility=hidden", "-pthread", f"-Wl,-soname,{LIBRARY}", "-Wl,-z,defs")


class BuildError(RuntimeError):
    """The stand-ins cannot be built here, and why."""


def build(directory: Path, *, without: Collection[str] = ()) -> Path:
    """Compile both into the directory, the library without these functions, and return the directory.

    The results are for everybody; that the directories above are is the caller's business.
    """
    compiler, include = _compiler(), _header().parent
    source = "".join((SOURCES / name).read_text() for name in _LIBRARY_SOURCES)
    for function in without:
        if not re.search(rf"[A-Z]\({re.escape(function)}\b", source):
            raise BuildError(f"the stand-in has no function {function} that could be left out")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    defines = [f"-DWITHOUT_{function}" for function in without]
    library = [*_LIBRARY_SOURCES, *_SHARED, *defines]
    for name, arguments in ((LIBRARY, library), (NVIDIA_SMI, ["nvidia_smi.c", "-ldl"])):
        command = [compiler, *_FLAGS, "-I", str(include), "-o", str(directory / name), *arguments]
        result = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BuildError(f"{' '.join(command)}:\n{result.stderr}")
        (directory / name).chmod(0o755)
    return directory


def _compiler() -> str:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise BuildError("the NVML stand-in needs a C compiler (cc, or the environment variable CC)")
    return compiler


def _header() -> Path:
    for package in _HEADER_PACKAGES:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "nvml.h":
                return Path(str(file.locate())).resolve()
    raise BuildError("the NVML stand-in needs nvml.h: install the package nvidia-nvml-dev")


@dataclass
class Process:
    """A process on a device; memory in bytes, as text a value that moves, None: the driver does not say."""

    pid: int
    memory: int | str | None = 0
    gpu_instance: int | None = None
    compute_instance: int | None = None


@dataclass
class Sample:
    """What a process did, in percent of time; at in microseconds since the epoch, None: whenever it is asked."""

    pid: int
    sm: int | str
    at: int | None = None
    memory: int | str = 0
    encoder: int | str = 0
    decoder: int | str = 0


@dataclass
class NvLink:
    """An NVLink of a GPU, for the calls about one link; errors are by counter, of nvmlNvLinkErrorCounter_t."""

    active: bool = True
    errors: dict[int, int] = field(default_factory=dict)


@dataclass
class Mig:
    """A MIG device. None everywhere: the call is not supported."""

    uuid: str | None
    name: str | None = "NVIDIA H200 MIG 1g.18gb"
    gpu_instance: int | None = None
    compute_instance: int | None = None
    temperature: int | None = None
    utilization: int | None = None
    memory_total: int | None = 16384 << 20
    memory_used: int | None = 0
    memory_reserved: int | None = 0
    processes: list[Process] = field(default_factory=list)
    graphics_processes: list[Process] = field(default_factory=list)
    mps_processes: list[Process] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    hangs: dict[str, int] = field(default_factory=dict)
    gpu_instance_slices: int | None = None
    compute_instance_slices: int | None = None
    gpm: dict[int, float | str] = field(default_factory=dict)
    ecc_locations: dict[tuple[int, int, int], int] = field(default_factory=dict)


@dataclass
class Gpu:
    """A GPU. None everywhere: the call is not supported.

    errors and hangs map a function (a shell pattern, "*" for all) to an nvmlReturn_t and to milliseconds.
    migs has the MIG devices by number; mig is the mode, None: on if there are any, otherwise no MIG at all.
    fields has field values by their id, or by id and scope; as text "VALUE TYPE" one of another nvmlValueType_t.
    xids has the XIDs that have ever occurred: one that is appended is an event. gpm has values by nvmlGpmMetricId_t,
    ecc_locations counts by severity, scope and location. extra has further keys.
    """

    uuid: str | None
    name: str | None = "NVIDIA H200"
    temperature: int | None = 30
    utilization: int | None = 0
    memory_total: int | None = 143771 << 20
    memory_used: int | None = 0
    memory_reserved: int | None = 0
    processes: list[Process] = field(default_factory=list)
    migs: dict[int, Mig] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    hangs: dict[str, int] = field(default_factory=dict)
    mig: bool | None = None
    memory_utilization: int | None = 0
    power: int | None = None
    pci_bus_id: str | None = None
    graphics_processes: list[Process] = field(default_factory=list)
    mps_processes: list[Process] = field(default_factory=list)
    samples: list[Sample] | None = None
    vbios_version: str | None = None
    architecture: int | None = None
    power_limit: int | None = None
    energy: int | None = None
    performance_state: int | None = None
    clock_graphics: int | None = None
    clock_sm: int | None = None
    clock_memory: int | None = None
    clock_video: int | None = None
    max_clock_graphics: int | None = None
    max_clock_sm: int | None = None
    max_clock_memory: int | None = None
    max_clock_video: int | None = None
    throttle_reasons: int | None = None
    supported_throttle_reasons: int | None = None
    fan_speed: int | None = None
    fan_speeds: list[int] | None = None
    fan_rpms: list[int] = field(default_factory=list)
    encoder_utilization: int | None = None
    decoder_utilization: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    max_pcie_generation: int | None = None
    max_pcie_width: int | None = None
    pcie_replays: int | None = None
    pcie_receive: int | None = None
    pcie_transmit: int | None = None
    ecc_corrected_volatile: int | None = None
    ecc_corrected_aggregate: int | None = None
    ecc_uncorrected_volatile: int | None = None
    ecc_uncorrected_aggregate: int | None = None
    remapped_rows: tuple[int, int, int, int] | None = None
    retired_pages_single_bit: int | None = None
    retired_pages_double_bit: int | None = None
    event_types: int | None = None
    xids: list[int] = field(default_factory=list)
    nvlinks: dict[int, NvLink] = field(default_factory=dict)
    fields: dict[int | tuple[int, int], int | str] = field(default_factory=dict)
    gpm: dict[int, float | str] = field(default_factory=dict)
    ecc_locations: dict[tuple[int, int, int], int] = field(default_factory=dict)


@dataclass
class Scenario:
    """What the stand-ins find: change it, then write() it, while the program under test runs."""

    path: Path
    gpus: list[Gpu] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    hangs: dict[str, int] = field(default_factory=dict)
    driver_version: str | None = "570.86.15"
    nvml_version: str | None = "12.570.86.15"
    cuda_driver_version: int | None = 12080
    device_count: int | None = None
    gpm_samples: int | None = None
    process_struct: int = 24
    list_grows: int = 0
    enumerates_at_init: bool = False

    def write(self) -> None:
        """Let every call from now on see this state."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.{threading.get_ident()}")
        temporary.write_text("".join(f"{line}\n" for line in self._lines()))
        temporary.chmod(0o644)
        # An inode may come back; a time that the kernel gives may, too, as its clock ticks slowly.
        now = time.time_ns()
        os.utime(temporary, ns=(now, now))
        temporary.replace(self.path)

    def remove(self) -> None:
        """Unload the driver."""
        self.path.unlink(missing_ok=True)

    def environment(self, libdir: Path) -> dict[str, str]:
        """What the environment of a program needs, in addition, to meet the stand-ins."""
        others = os.environ.get("LD_LIBRARY_PATH")
        return {
            "LD_LIBRARY_PATH": f"{libdir}:{others}" if others else str(libdir),
            "NVML_STANDIN": str(self.path),
        }

    def _lines(self) -> Iterator[str]:
        for number, gpu in enumerate(self.gpus):
            mig = bool(gpu.migs) or None if gpu.mig is None else gpu.mig
            yield from _device(f"device {number}", gpu, mig=mig)
            for index, instance in sorted(gpu.migs.items()):
                yield from _device(f"mig {number} {index}", instance, mig=None)
        for key in (
            "driver_version",
            "nvml_version",
            "cuda_driver_version",
            "device_count",
            "process_struct",
            "gpm_samples",
        ):
            yield from _value(key, getattr(self, key))
        yield f"process_list_grows {self.list_grows}"
        yield f"enumerates_at_init {int(self.enumerates_at_init)}"
        yield from _rules("", self)


_PROCESSES = {
    "processes": "process",
    "graphics_processes": "graphics_process",
    "mps_processes": "mps_process",
}
_OF_GPUS = {"samples", "fan_speeds", "fan_rpms", "remapped_rows", "xids", "nvlinks", "fields"}
_STRUCTURED = {*_PROCESSES, *_OF_GPUS, "ecc_locations", "gpm", "migs", "mig", "extra", "errors", "hangs"}


def _device(prefix: str, device: Gpu | Mig, *, mig: bool | None) -> Iterator[str]:
    for attribute in fields(device):
        if attribute.name not in _STRUCTURED:
            yield from _value(f"{prefix} {attribute.name}", getattr(device, attribute.name))
    yield from _value(f"{prefix} mig", None if mig is None else int(mig))
    for key, value in device.extra.items():
        yield from _value(f"{prefix} {key}", value)
    for attribute_name, key in _PROCESSES.items():
        processes: list[Process] = getattr(device, attribute_name)
        for process in processes:
            yield f"{prefix} {key} {_process(process)}"
    yield from (f"{prefix} gpm {metric} {value}" for metric, value in device.gpm.items())
    for place, count in device.ecc_locations.items():
        yield f"{prefix} ecc_location {' '.join(map(str, place))} {count}"
    if isinstance(device, Gpu):
        yield from (f"{prefix} {line}" for line in _details(device))
    yield from _rules(f"{prefix} ", device)


def _details(gpu: Gpu) -> Iterator[str]:
    if gpu.samples is not None:
        yield "process_utilization 1"
        for sample in gpu.samples:
            percents = f"{sample.sm} {sample.memory} {sample.encoder} {sample.decoder}"
            yield f"process_sample {sample.pid} {'now' if sample.at is None else sample.at} {percents}"
    if gpu.fan_speeds is not None:
        yield f"fans {len(gpu.fan_speeds)}"
        yield from (f"fan_speed_{number} {speed}" for number, speed in enumerate(gpu.fan_speeds))
    yield from (f"fan_rpm_{number} {rpm}" for number, rpm in enumerate(gpu.fan_rpms))
    if gpu.remapped_rows is not None:
        yield "remapped_rows " + " ".join(map(str, gpu.remapped_rows))
    for link, state in gpu.nvlinks.items():
        yield f"nvlink {link} {int(state.active)}"
        yield from (f"nvlink_error {link} {counter} {count}" for counter, count in state.errors.items())
    for key, value in gpu.fields.items():
        number, scope = key if isinstance(key, tuple) else (key, 0)
        yield f"field {number} {scope} {value}"
    yield from (f"xid {code}" for code in gpu.xids)


def _process(process: Process) -> str:
    memory = "na" if process.memory is None else process.memory
    instances = (process.gpu_instance, process.compute_instance)
    if instances == (None, None):
        return f"{process.pid} {memory}"
    none = 0xFFFFFFFF  # what the driver writes outside MIG
    return " ".join(map(str, (process.pid, memory, *(none if i is None else i for i in instances))))


def _rules(prefix: str, subject: Gpu | Mig | Scenario) -> Iterator[str]:
    for function, code in subject.errors.items():
        yield f"{prefix}error {function} {int(code)}"
    for function, milliseconds in subject.hangs.items():
        yield f"{prefix}hang {function} {milliseconds}"


def _value(key: str, value: str | int | None) -> Iterator[str]:
    if value is None:
        return
    if not str(value) or "\n" in str(value):
        raise ValueError(f"{key}: {value!r} does not fit in a line")
    yield f"{key} {value}"
