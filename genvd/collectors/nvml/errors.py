"""Makes NVML calls for one GPU and handles their errors. Return codes are those of ``nvmlReturn_t`` in nvml.h."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

import pynvml

from genvd.collectors.device_set import DeviceLostError

if TYPE_CHECKING:
    from genvd.common.error_log import ErrorLog

NOT_SUPPORTED = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""The GPU or the driver does not support the call. This can change, for example with the MIG mode."""

PART_NOT_SUPPORTED = NOT_SUPPORTED | {pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""The GPU does not have this part or field."""

_RETRY_AFTER_READINGS = 30
"""A call that is not supported is tried again after this number of readings. Each collection reads a GPU once."""

_EMPTY = frozenset({pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA})
"""A valid answer: there is nothing at the moment."""

_DEVICE_LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})

NOT_AVAILABLE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
"""``NVML_VALUE_NOT_AVAILABLE`` (-1), as unsigned integers of both sizes."""

Number = TypeVar("Number", int, float)

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of nvidia-ml-py and its arguments."""


class NvmlCalls:
    """Makes NVML calls for one GPU and its parts; the result of a call that fails is None.

    Each call raises DeviceLostError if the GPU does not answer any more.
    """

    def __init__(self, errors: ErrorLog) -> None:
        """Create an object that logs the errors of calls to ``errors``."""
        self._errors = errors
        self._unsupported: dict[tuple[str, str], int] = {}
        """The reading in which a call that is not supported is tried again, by its subject and name."""
        self._readings = 0
        self._failing: dict[tuple[str, str], int] = {}
        """The reading in which each failing call was last made, by its subject and name."""
        self._logged: set[str] = set()
        """The problems that were logged in this reading."""
        self._answered = False
        self._failed = False
        self.failures = 0
        """Number of failures so far."""

    def start_reading(self, period: int = 1) -> None:
        """Start a new reading of the GPU.

        If a failing call was not made for some readings, such as one for a removed MIG device, its failure is over.

        Args:
            period: within how many readings each call is made at least once.
        """
        for key, reading in list(self._failing.items()):
            if reading <= self._readings - period:
                self._errors.clear(key, f"{key[0]}: {key[1]}: not called any more")
            if key not in self._errors.active:
                del self._failing[key]
        self._readings += 1
        self._answered = self._failed = False
        self._logged.clear()

    def retry_unsupported(self) -> None:
        """Try all calls again: it is another GPU, or its mode has changed."""
        self._unsupported.clear()

    def ignore_so_far(self) -> None:
        """Ignore the calls so far in :attr:`device_answers`: NVML may answer them from its own memory."""
        self._answered = self._failed = False

    @property
    def device_answers(self) -> bool:
        """Whether a call succeeded, or none failed, in this reading."""
        return self._answered or not self._failed

    @property
    def has_failures(self) -> bool:
        """Whether a call has failed recently."""
        return bool(self._errors.active)

    def is_unsupported(self, subject: str, function: Callable[..., Any]) -> bool:
        """Return whether the GPU or the driver has recently reported this call as not supported."""
        return (subject, function.__name__) in self._unsupported

    def call(self, subject: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a call, or None if it fails; see :meth:`call_first`."""
        return self.call_first(subject, (function, arguments))

    def call_first(self, subject: str, *calls: Call, also: Collection[int] = ()) -> Any:
        """Return the result of the first call that is supported, or None if it fails.

        Errors are logged when they first occur, except that a call is not supported. If several calls begin to fail
        with the same error in one reading, only the first is logged: the GPU or the driver is the cause.

        Args:
            subject: what the calls are about, for the log.
            calls: functions with their arguments, the preferred one first.
            also: further error codes after which the next call is tried.
        """
        for number, (function, arguments) in enumerate(calls, start=1):
            key = (subject, function.__name__)
            if self._unsupported.get(key, 0) > self._readings:
                continue
            try:
                value = function(*arguments)
            except pynvml.NVMLError as error:
                if error.value in NOT_SUPPORTED:
                    self._unsupported[key] = self._readings + _RETRY_AFTER_READINGS
                    continue
                if error.value in also and number < len(calls):
                    continue
                self._handle_error(key, error)
            except (ValueError, OSError) as error:  # a name that is not UTF-8, or the library was unloaded meanwhile
                self._report(key, str(error))
            else:
                self._answered = True
                if key in self._errors.active:
                    self._failing[key] = self._readings
                    self._errors.clear(key, f"{subject}: {function.__name__}: answers again")
                return value
            return None
        return None

    def _handle_error(self, key: tuple[str, str], error: pynvml.NVMLError) -> None:
        if error.value in _DEVICE_LOST:
            raise DeviceLostError(str(error), error.value) from None
        if error.value in _EMPTY:
            self._answered = True
        else:
            self._report(key, str(error))

    def _report(self, key: tuple[str, str], problem: str) -> None:
        self._failed = True
        self.failures += 1
        self._failing[key] = self._readings
        subject, name = key
        level = logging.DEBUG if problem in self._logged else logging.WARNING
        line = f"{subject}: {name}: {problem}; this value and others with the same error are left out; see 'dmesg'"
        if self._errors.report(key, line, kind=problem, level=level):
            self._logged.add(problem)


def value_or_none(value: Number | None) -> Number | None:
    """Return the number, or None if it is NVML's placeholder for *not available*."""
    return None if value is None or value in NOT_AVAILABLE else value
