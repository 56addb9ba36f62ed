"""Calls NVML functions for one GPU or MIG device, and caches the values that do not change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import pynvml

from genvd.collectors.nvml.errors import PART_NOT_SUPPORTED, Call, NvmlCalls, value_or_none
from genvd.common.text import clean, decode

T = TypeVar("T")
P = TypeVar("P", bound=tuple[object, ...])

NOT_PRESENT = -1
"""Result of a call for a part that the device does not have."""


class DeviceCache:
    """The values of one GPU that do not change within one NVML session."""

    def __init__(self) -> None:
        self._identity: object = None
        self._values: dict[str, Any] = {}

    def clear_on_change(self, *identity: object) -> bool:
        """Clear the cache if it belongs to another identity, or if a part of the identity is unknown (None).

        Returns:
            Whether it was cleared.
        """
        if identity == self._identity and None not in identity:
            return False
        self._identity = identity
        self._values.clear()
        return True

    def get_or_fetch(self, key: str, fetch: Callable[[], T | None]) -> T | None:
        """Return the cached value, else the result of ``fetch``. A result of None is not cached."""
        value: T | None = self._values.get(key)
        if value is None:
            value = fetch()
            if value is not None:
                self._values[key] = value
        return value

    def get(self, key: str) -> Any:
        """Return the cached value, or None."""
        return self._values.get(key)

    def set(self, key: str, value: object) -> None:
        """Cache a value."""
        self._values[key] = value


class DeviceQuery(NamedTuple):
    """A GPU or a MIG device in one reading.

    Each call raises DeviceLostError if the GPU does not answer any more.
    """

    name: str
    handle: Any
    calls: NvmlCalls
    cache: DeviceCache

    def call(self, function: Callable[..., Any], *arguments: Any, about: str = "") -> Any:
        """Return the result of a call for this device, or None if it fails.

        Args:
            function: of nvidia-ml-py; its first argument is the device.
            arguments: its other arguments.
            about: distinguishes several uses of the same function in the log.
        """
        subject = f"{self.name} {about}" if about else self.name
        return self.calls.call_first(subject, (function, (self.handle, *arguments)))

    def call_int(self, function: Callable[..., Any], *arguments: Any, about: str = "") -> int | None:
        """Return the result of a call as an integer, or None if it is not available; see :meth:`call`."""
        value: int | None = self.call(function, *arguments, about=about)
        return value_or_none(value)

    def call_each(self, function: Callable[..., Any], parts: Mapping[P, tuple[int, ...]], about: str) -> dict[P, int]:
        """Return the results of a call for each part of the device, without parts that it does not have.

        Once every part has answered, the parts that the device has are cached.

        Args:
            function: of nvidia-ml-py; its first argument is the device.
            parts: the other arguments, by the name of the part.
            about: what the parts are, for the log.
        """
        key = f"{function.__name__} parts"
        present: Mapping[P, tuple[int, ...]] | None = self.cache.get(key)
        if present is not None and not self.calls.has_failures:
            # If a call fails, they are all made again one by one below, which logs the failing part.
            with suppress(pynvml.NVMLError, ValueError, OSError):
                results = {part: value_or_none(function(self.handle, *args)) for part, args in present.items()}
                return {part: number for part, number in results.items() if number is not None}
        return self._call_one_by_one(function, parts if present is None else present, about, key)

    def _call_one_by_one(
        self, function: Callable[..., Any], parts: Mapping[P, tuple[int, ...]], about: str, key: str
    ) -> dict[P, int]:
        call = not_present_on(PART_NOT_SUPPORTED, function)
        results = {part: self.call_int(call, *parts[part], about=" ".join(map(str, (about, *part)))) for part in parts}
        if None not in results.values():
            self.cache.set(key, {part: parts[part] for part, number in results.items() if number != NOT_PRESENT})
        return {part: number for part, number in results.items() if number is not None and number != NOT_PRESENT}

    def call_first(self, *calls: Call, also: Collection[int] = ()) -> Any:
        """Return the result of the first supported call; see :meth:`NvmlCalls.call_first`."""
        return self.calls.call_first(self.name, *calls, also=also)

    def is_unsupported(self, *functions: Callable[..., Any]) -> bool:
        """Return whether the device has recently reported all these functions as not supported."""
        return all(self.calls.is_unsupported(self.name, function) for function in functions)


def not_present_on(errors: Collection[int], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, changed to return :data:`NOT_PRESENT` instead of raising one of these errors."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except pynvml.NVMLError as error:
            if error.value in errors:
                return NOT_PRESENT
            raise

    return call


def decode_text(value: str | bytes | None) -> str | None:
    """Return a text of NVML as a clean label value; None if it is empty."""
    return (decode(value) if isinstance(value, bytes) else clean(value)) if value else None


def call_or_none(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a call of nvidia-ml-py, or None if it fails. Nothing is logged."""
    try:
        return function(*arguments)
    except (pynvml.NVMLError, ValueError):
        return None
