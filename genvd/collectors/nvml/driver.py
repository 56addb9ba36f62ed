"""The NVIDIA driver: its versions, its kernel module and library, and the reason why NVML fails."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pynvml

from genvd.collectors.base import CollectorError
from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.query import call_or_none, decode_text
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
        " it is detected automatically once it is installed ('genv-monitor --demo' shows a simulated machine)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "not_loaded",
        "the NVIDIA driver is not loaded: run 'modprobe nvidia'; it is detected automatically",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no_permission",
        "this user has no permission for the NVIDIA driver: see who may open its device files, 'ls -l /dev/nvidia*'",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        "failed",
        "the NVIDIA driver lacks a function that nvidia-ml-py needs: install a newer driver",
    ),
}


def driver_error(error: pynvml.NVMLError) -> CollectorError:
    """Return the reason why NVML fails, with the driver state (:data:`genvd.model.facts.DRIVER_STATES`)."""
    if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return CollectorError(_mismatch(), "mismatch")
    reason, problem = _DRIVER_ERRORS.get(error.value, ("failed", f"NVML does not answer: {error}; see 'dmesg'"))
    return CollectorError(problem, reason)


def driver_gpus() -> frozenset[str]:
    """Return the PCI addresses of the GPUs of the kernel module; empty if they cannot be read."""
    try:
        return frozenset(path.name for path in _GPUS.iterdir())
    except OSError:
        return frozenset()


def library_identity() -> tuple[int, ...] | None:
    """Return the file identity of the NVML library that a new process would load; None if none is loaded now."""
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
        " reload the kernel module, or restart the machine"
    )


def _module_version() -> str | None:
    try:
        return _MODULE_VERSION.read_text().strip()[:32] or None
    except OSError:
        return None


_MAX_CUDA = 999_999
"""CUDA 999.99, as the call returns it."""


def read_driver_versions() -> DriverVersions:
    """Return the versions that NVML reports. NVML must be initialised."""
    version = call_or_none(pynvml.nvmlSystemGetCudaDriverVersion_v2) or call_or_none(
        pynvml.nvmlSystemGetCudaDriverVersion
    )
    cuda = within(version, 1, _MAX_CUDA)
    return DriverVersions(
        driver=decode_text(call_or_none(pynvml.nvmlSystemGetDriverVersion)),
        # nvml.h: NVML_CUDA_DRIVER_VERSION_MAJOR and _MINOR
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        nvml=decode_text(call_or_none(pynvml.nvmlSystemGetNVMLVersion)),
    )


def bindings_version() -> str:
    """Return the version of nvidia-ml-py by its dist-info directory; importlib.metadata would take a megabyte."""
    found = list(Path(pynvml.__file__).parent.glob("nvidia_ml_py-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if len(found) == 1 else "unknown"
