"""The one place that knows what an NVML error means for a device.

Return codes are those of ``nvmlReturn_t`` in nvml.h.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import pynvml

from genvd.collectors.device_set import DeviceLostError
from genvd.common.error_log import ErrorLog

NOT_SUPPORTED = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""The device or the driver does not have it, for now: what it has changes with its MIG mode, for one."""

PART_NOT_SUPPORTED = NOT_SUPPORTED | {pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""What is said of a part or a field that the device or the driver does not have, as long as it is the same one."""

_RETRY_AFTER_READINGS = 30
"""For so many readings a call that the device does not support is not made again; drivers may change their mind."""

_EMPTY_ANSWER = frozenset({pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA})
"""A plain answer: there is nothing just now."""

_DEVICE_LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})

NOT_AVAILABLE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
"""``NVML_VALUENOT_AVAILABLE, as the unsigned integers of both sizes read it."""

Number = TypeVar("Number", int, float)

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of nvidia-ml-py and its arguments."""


class NvmlCalls:
    """Asks NVML about one device and its parts, and turns errors into absent values."""

    def __init__(self, errors: ErrorLog) -> None:
        """Create it; errors of calls are logged to ``errors``."""
        self._errors = errors
        self._refused: dict[tuple[str, str], int] = {}
        self._readings = 0
        self._logged: set[str] = set()
        self._answered = False
        self._failed = False

    def start_reading(self) -> None:
        """Begin a new reading of the device."""
        self._readings += 1
        self._answered = self._failed = False
        self._logged.clear()

    def retry_unsupported(self) -> None:
        """Ask for everything again: the device is another one, or in another mode."""
        self._refused.clear()

    def ignore_so_far(self) -> None:
        """Take what was asked so far in this reading for no sign of life: NVML may know it without the device."""
        self._answered = self._failed = False

    @property
    def device_answers(self) -> bool:
        """Whether the device, in this reading, answered anything or at least failed nothing."""
        return self._answered or not self._failed

    @property
    def has_failures(self) -> bool:
        """Whether one of the calls has failed lately."""
        return bool(self._errors.active)

    def is_unsupported(self, subject: str, call: Callable[..., Any]) -> bool:
        """Tell whether a call is one that was said not to be supported."""
        return (subject, call.__name__) in self._refused

    def call(self, subject: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the call gives, or None where it gives nothing.

        Args:
            subject: what the call is about, for the log.
            call: a function of nvidia-ml-py.
            arguments: passed to it.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        return self.call_first(subject, (call, arguments))

    def call_first(self, subject: str, *calls: Call, also: Collection[int] = ()) -> Any:
        """Return what the first call gives that the device supports, or None where it gives nothing.

        Errors, but for that of a call that is not supported, are logged when they first occur, and of several calls
        that begin to fail alike in one reading the first: that is the device, or the driver.

        Args:
            subject: what the calls are about, for the log.
            calls: the functions with their arguments, the best one first.
            also: further errors that say that a call will not do, and the next one may.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        for number, (call, arguments) in enumerate(calls, start=1):
            key = (subject, call.__name__)
            if self._refused.get(key, 0) > self._readings:
                continue
            try:
                value = call(*arguments)
            except pynvml.NVMLError as error:
                if error.value in NOT_SUPPORTED:
                    self._refused[key] = self._readings + _RETRY_AFTER_READINGS
                    continue
                if error.value in also and number < len(calls):
                    continue
                self._handle_error(key, error)
            except (ValueError, OSError) as error:  # a name that is not UTF-8, a library torn down under us
                self._report(key, str(error))
            else:
                self._answered = True
                if key in self._errors.active:
                    self._errors.clear(key, f"{subject}: {call.__name__}: answers again")
                return value
            return None
        return None

    def _handle_error(self, key: tuple[str, str], error: pynvml.NVMLError) -> None:
        if error.value in _DEVICE_LOST:
            raise DeviceLostError(str(error), error.value) from None
        if error.value in _EMPTY_ANSWER:
            self._answered = True
        else:
            self._report(key, str(error))

    def _report(self, key: tuple[str, str], problem: str) -> None:
        self._failed = True
        subject, call = key
        level = logging.DEBUG if problem in self._logged else logging.WARNING
        text = f"{subject}: {call}: {problem}; its value is left out, as are others that fail so; see 'dmesg' for more"
        if self._errors.report(key, text, kind=problem, level=level):
            self._logged.add(problem)


def value_or_none(value: Number | None) -> Number | None:
    """Return the number, or None where it is NVML's way to say that there is none."""
    return None if value is None or value in NOT_AVAILABLE else value
