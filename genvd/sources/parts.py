"""The parts of a device's reading: a defect of ours, or of the bindings, in one of them costs that part only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from genvd.collector import STEADY_TICKS
from genvd.common.error_log import ErrorLog
from genvd.sources.devices import DeviceLostError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

T = TypeVar("T")


class Parts:
    """Reads the parts of one device."""

    def __init__(self, name: str) -> None:
        """Make it ready to read.

        Args:
            name: of the device, for the log.
        """
        self._name = name
        self._errors = ErrorLog(log, STEADY_TICKS)

    def read(self, part: str, read: Callable[[], T], nothing: T) -> T:
        """Return what is read, or ``nothing`` if that fails as nobody expects.

        Args:
            part: what is read, for the log.
            read: reads it.
            nothing: stands for a part of which nothing is known.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        try:
            value = read()
        except DeviceLostError:
            raise
        except Exception as error:
            self._errors.defect(part, f"{self._name}: its {part}", error, " and is left out")
            return nothing
        if part in self._errors.active:
            self._errors.clear(part, f"{self._name}: its {part} can be read again")
        return value
