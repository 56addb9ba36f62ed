"""The NVIDIA driver: its versions, what can be known of it without asking it, and why it cannot be asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pynvml

from genvd.collectors.base import CollectorError
from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.query import text
from genvd.model.device import DriverVersions

_MODULE_VERSION = Path("/sys/module/nvidia/version")
_GPUS = Path("/proc/driver/nvidia/gpus")
_MAPS = Path("/proc/self/maps")
_LIBRARY = "libnvidia-ml.so.1"
_MAPPED_LIBRARY = re.compile(rb" (/[^\n]*/libnvidia-ml\.so[.\d]*)(?: \(deleted\))?$", re.MULTILINE)
_LIBRARY_VERSION = re.compile(r"\.so\.(\d+\.\d[\d.]*)$")

_DRIVER_ERRORS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "missing",
        "no NVIDIA driver: libnvidia-ml.so.1 is not found;"
        " once a driver is installed it is picked up by itself ('genv monitor --demo' shows a simulated machine)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "not_loaded",
        "the NVIDIA driver is not loaded: 'modprobe nvidia' loads it, and then it is picked up by itself",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no_permission",
        "the NVIDIA driver gives this user no permission: see who may open its device files, 'ls -l /dev/nvidia*'",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        "failed",
        "the NVIDIA driver is too old for nvidia-ml-py, which misses a function of it: install a newer driver",
    ),
}


def driver_error(error: pynvml.NVMLError) -> CollectorError:
    """Return why NVML cannot be asked, with the state of the driver (:data:`genvd.model.snapshot.DRIVER_STATES`)."""
    if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return CollectorError(_mismatch(), "mismatch")
    reason, text = _DRIVER_ERRORS.get(error.value, ("failed", f"NVML does not answer: {error}; 'dmesg' may tell more"))
    return CollectorError(text, reason)


def driver_gpus() -> frozenset[str]:
    """Return the PCI addresses of the devices that the kernel module has, as far as it tells."""
    try:
        return frozenset(path.name for path in _GPUS.iterdir())
    except OSError:
        return frozenset()


def library_identity() -> tuple[int, ...] | None:
    """Return the identity of the NVML library that a new process would load; None before this one has loaded any."""
    loaded = _loaded_library()
    if loaded is None:
        return None
    try:
        status = (loaded.parent / _LIBRARY).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _loaded_library() -> Path | None:
    """Return the NVML library that is mapped into this process (proc_pid_maps(5)), if any."""
    try:
        match = _MAPPED_LIBRARY.search(_MAPS.read_bytes())
    except OSError:
        return None
    return Path(os.fsdecode(match[1])) if match else None


def _mismatch() -> str:
    module, library = _module_version(), _loaded_library()
    match = _LIBRARY_VERSION.search(library.name) if library else None
    which = f" (module {module or 'unknown'}, library {match[1] if match else 'unknown'})" if module or match else ""
    return (
        f"the NVIDIA driver was upgraded and its kernel module and library differ{which}:"
        " unload the module and load it anew, or restart the machine"
    )


def _module_version() -> str | None:
    try:
        return _MODULE_VERSION.read_text().strip()[:32] or None
    except OSError:
        return None


_MAX_CUDA = 999_999
"""CUDA 999.99, as the call counts."""


def read_driver_versions() -> DriverVersions:
    """Return the versions that NVML tells; it has to be initialised."""
    told = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2) or _ask(pynvml.nvmlSystemGetCudaDriverVersion)
    cuda = within(told, 1, _MAX_CUDA)
    return DriverVersions(
        driver=text(_ask(pynvml.nvmlSystemGetDriverVersion)),
        # nvml.h: NVML_CUDA_DRIVER_VERSION_MAJOR and _MINOR
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        nvml=text(_ask(pynvml.nvmlSystemGetNVMLVersion)),
    )


def _ask(call: Any) -> Any:
    try:
        return call()
    except (pynvml.NVMLError, ValueError):
        return None


def bindings_version() -> str:
    """Return the version of nvidia-ml-py, which the directory beside it names; importlib.metadata takes a megabyte."""
    found = list(Path(pynvml.__file__).parent.glob("nvidia_ml_py-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if len(found) == 1 else "unknown"
