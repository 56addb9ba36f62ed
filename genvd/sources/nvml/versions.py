"""What the driver says it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pynvml

from genvd.model.device import DriverVersions
from genvd.sources.nvml.asked import text
from genvd.sources.nvml.sane import within

_MOST_CUDA = 999_999
"""CUDA 999.99, as the call counts."""


def driver_versions() -> DriverVersions:
    """Return the versions that NVML tells; it has to be initialised."""
    told = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2) or _ask(pynvml.nvmlSystemGetCudaDriverVersion)
    cuda = within(told, 1, _MOST_CUDA)
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
