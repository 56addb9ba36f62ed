"""What the driver says it is."""

from __future__ import annotations

from typing import Any

import pynvml

from genvd.model import DriverVersions
from genvd.sources.nvml.asked import text


def driver_versions() -> DriverVersions:
    """Return the versions that NVML tells; it has to be initialised."""
    cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2) or _ask(pynvml.nvmlSystemGetCudaDriverVersion)
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
