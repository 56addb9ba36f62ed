"""A device that is being asked, with what it said before and will not say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from genvd.sources.nvml_errors import Call, NvmlCalls, known
from genvd.text import clean

T = TypeVar("T")


class Constants:
    """What does not change while a device is the same one, in one session of NVML. It is asked until it is told."""

    def __init__(self) -> None:
        self._identity: object = None
        self._values: dict[str, Any] = {}

    def of(self, *identity: object) -> Constants:
        """Return itself, without anything of another device or session; nothing is kept of one that is not known."""
        if identity != self._identity or None in identity:
            self._identity = identity
            self._values.clear()
        return self

    def get(self, key: str, ask: Callable[[], T | None]) -> T | None:
        """Return what was told before, else what ``ask`` gives; None is asked for again the next time."""
        value: T | None = self._values.get(key)
        if value is None:
            value = ask()
            if value is not None:
                self._values[key] = value
        return value


@dataclass(frozen=True, slots=True)
class Asked:
    """A device, or a MIG device, in one reading."""

    name: str
    handle: Any
    calls: NvmlCalls
    constants: Constants

    def ask(self, call: Callable[..., Any], *arguments: Any, about: str = "") -> Any:
        """Return what the call gives for this device, or None.

        Args:
            call: a function of nvidia-ml-py whose first argument is the device.
            arguments: the others.
            about: what tells two uses of the same call apart, for the log.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        return self.calls.ask(f"{self.name} {about}" if about else self.name, call, self.handle, *arguments)

    def number(self, call: Callable[..., Any], *arguments: Any, about: str = "") -> int | None:
        """Return the number that the call gives for this device, or None; see :meth:`ask`."""
        value: int | None = self.ask(call, *arguments, about=about)
        return known(value)

    def first(self, *calls: Call, also: Collection[int] = ()) -> Any:
        """Return what the first call gives that the device supports; see :meth:`NvmlCalls.first`."""
        return self.calls.first(self.name, *calls, also=also)

    def scaled(self, factor: float, call: Callable[..., Any], *arguments: Any, about: str = "") -> float | None:
        """Return the number that the call gives, in another unit."""
        value = self.number(call, *arguments, about=about)
        return None if value is None else value * factor


def text(value: str | bytes | None) -> str | None:
    """Return what NVML calls something, fit for labels; None where it has no name for it."""
    return clean(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value) if value else None
