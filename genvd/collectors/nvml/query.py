"""A device that is being asked, with what it said before and will not say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import pynvml

from genvd.collectors.nvml.errors import PART_NOT_SUPPORTED, Call, NvmlCalls, value_or_none
from genvd.common.text import clean, decode

T = TypeVar("T")
P = TypeVar("P", bound=tuple[object, ...])

_NOT_PRESENT = -1


class DeviceCache:
    """What does not change while a device is the same one, in one session of NVML. It is asked until it is told."""

    def __init__(self) -> None:
        self._identity: object = None
        self._values: dict[str, Any] = {}

    def clear_on_change(self, *identity: object) -> DeviceCache:
        """Return itself, without anything of another device or session; nothing is kept of one that is not known."""
        if identity != self._identity or None in identity:
            self._identity = identity
            self._values.clear()
        return self

    def get_or_fetch(self, key: str, ask: Callable[[], T | None]) -> T | None:
        """Return what was told before, else what ``ask`` gives; None is asked for again the next time."""
        value: T | None = self._values.get(key)
        if value is None:
            value = ask()
            if value is not None:
                self._values[key] = value
        return value

    def get(self, key: str) -> Any:
        """Return what was told before, or None."""
        return self._values.get(key)

    def set(self, key: str, value: object) -> None:
        """Remember what was told."""
        self._values[key] = value


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """A device, or a MIG device, in one reading."""

    name: str
    handle: Any
    calls: NvmlCalls
    cache: DeviceCache

    def call(self, function: Callable[..., Any], *arguments: Any, about: str = "") -> Any:
        """Return what the call gives for this device, or None.

        Args:
            call: a function of nvidia-ml-py whose first argument is the device.
            arguments: the others.
            about: what tells two uses of the same call apart, for the log.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        return self.calls.call_first(
            f"{self.name} {about}" if about else self.name, (function, (self.handle, *arguments))
        )

    def call_int(self, call: Callable[..., Any], *arguments: Any, about: str = "") -> int | None:
        """Return the number that the call gives for this device, or None; see :meth:`call`."""
        value: int | None = self.call(call, *arguments, about=about)
        return value_or_none(value)

    def call_each(self, call: Callable[..., Any], parts: Mapping[P, tuple[int, ...]], about: str) -> dict[P, int]:
        """Return the number that the call gives for each part of the device that there is.

        Which ones there are is asked once, as soon as each has answered: the others are refused for good.

        Args:
            call: a function of nvidia-ml-py whose first argument is the device.
            parts: the other arguments, by what the part is called.
            about: what the parts are, for the log.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        key = f"{call.__name__} parts"
        there: Mapping[P, tuple[int, ...]] | None = self.cache.get(key)
        if there is not None and not self.calls.has_failures:
            with suppress(pynvml.NVMLError, ValueError, OSError):  # then one by one: that tells which it is
                told = {part: value_or_none(call(self.handle, *arguments)) for part, arguments in there.items()}
                return {part: number for part, number in told.items() if number is not None}
        return self._one_by_one(call, parts if there is None else there, about, key)

    def _one_by_one(
        self, call: Callable[..., Any], parts: Mapping[P, tuple[int, ...]], about: str, key: str
    ) -> dict[P, int]:
        ask = _not_present_if_unsupported(call)
        answers = {part: self.call_int(ask, *parts[part], about=" ".join(map(str, (about, *part)))) for part in parts}
        if None not in answers.values():
            self.cache.set(key, {part: parts[part] for part, number in answers.items() if number != _NOT_PRESENT})
        return {part: number for part, number in answers.items() if number is not None and number != _NOT_PRESENT}

    def call_first(self, *calls: Call, also: Collection[int] = ()) -> Any:
        """Return what the first call gives that the device supports; see :meth:`NvmlCalls.call_first`."""
        return self.calls.call_first(self.name, *calls, also=also)

    def is_unsupported(self, *calls: Callable[..., Any]) -> bool:
        """Tell whether the device does not support any of these, as it said itself and not long ago."""
        return all(self.calls.is_unsupported(self.name, call) for call in calls)

    def call_scaled(self, factor: float, call: Callable[..., Any], *arguments: Any, about: str = "") -> float | None:
        """Return the number that the call gives, in another unit."""
        value = self.call_int(call, *arguments, about=about)
        return None if value is None else value * factor


def _not_present_if_unsupported(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that says of what is refused that it is not there."""

    @wraps(call)
    def ask(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if error.value in PART_NOT_SUPPORTED:
                return _NOT_PRESENT
            raise

    return ask


def text(value: str | bytes | None) -> str | None:
    """Return what NVML calls something, fit for labels; None where it has no name for it."""
    return (decode(value) if isinstance(value, bytes) else clean(value)) if value else None
