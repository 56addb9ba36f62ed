"""The one place that knows what an NVML error means.

Return codes are those of ``nvmlReturn_t`` in nvml.h.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)

T = TypeVar("T")

_ABSENT_FOR_GOOD = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""The device or the driver does not have it, and will not until NVML is initialised anew."""

_NOTHING_THERE = frozenset({pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA})
"""A plain answer: there is nothing just now."""

_SESSION_LOST = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
"""Nothing can be asked any more: NVML has to be initialised anew."""

_DEVICE_LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})

_NOT_AVAILABLE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
"""NVML_VALUE_NOT_AVAILABLE, as the unsigned integers of both sizes read it."""


class DeviceLostError(Exception):
    """The device does not answer any more: it fell off the bus or needs a reset."""


class NvmlCalls:
    """Asks NVML, for as long as one initialisation lasts, and turns its errors into absent values."""

    def __init__(self) -> None:
        self._absent: set[tuple[Hashable, str]] = set()
        self._failing: dict[tuple[Hashable, str], str] = {}

    def ask(self, device: Hashable, call: Callable[..., T], *arguments: Any) -> T | None:
        """Return what the call gives, or None where it gives nothing.

        What the device does not support is not asked again. Any other error is logged when it first occurs.

        Args:
            device: whom the call is about; its support for the call is remembered under this name.
            call: a function of nvidia-ml-py.
            arguments: passed to it.

        Raises:
            DeviceLostError: the device does not answer any more.
            pynvml.NVMLError: NVML itself has to be initialised anew.
        """
        key = (device, call.__name__)
        if key in self._absent:
            return None
        try:
            value = call(*arguments)
        except pynvml.NVMLError as error:
            self._judge(key, error)
            return None
        except (ValueError, OSError) as error:  # a name that is not UTF-8, a library torn down under us
            self._report(key, str(error))
            return None
        self._failing.pop(key, None)
        return value

    def supports(self, device: Hashable, call: Callable[..., Any]) -> bool:
        """Tell whether nothing is known against asking the device this."""
        return (device, call.__name__) not in self._absent

    def _judge(self, key: tuple[Hashable, str], error: pynvml.NVMLError) -> None:
        if error.value in _ABSENT_FOR_GOOD:
            self._absent.add(key)
        elif error.value in _SESSION_LOST:
            raise error
        elif error.value in _DEVICE_LOST:
            raise DeviceLostError(str(error)) from None
        elif error.value not in _NOTHING_THERE:
            self._report(key, str(error))

    def _report(self, key: tuple[Hashable, str], problem: str) -> None:
        if self._failing.get(key) != problem:
            self._failing[key] = problem
            device, call = key
            log.warning("device %s: %s: %s; its value is left out", device, call, problem)


def known(value: int | None) -> int | None:
    """Return the number, or None where it is NVML's way to say that there is none."""
    return None if value is None or value in _NOT_AVAILABLE else value
