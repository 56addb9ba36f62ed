"""Functions of NVML itself, for what nvidia-ml-py does not have or does in a way that will not do here."""

from __future__ import annotations

from typing import Any

import pynvml


def function(name: str) -> Any:
    """Return a function of the library that nvidia-ml-py has loaded.

    Raises:
        pynvml.NVMLError: none is loaded, or it has no such function.
    """
    library = pynvml.nvmlLib
    if library is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
    try:
        return getattr(library, name)
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
