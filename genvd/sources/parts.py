"""The parts of a device's reading: a defect of ours, or of the bindings, in one of them costs that part only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

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
        self._failed: set[tuple[str, type[Exception]]] = set()

    def read(self, part: str, read: Callable[[], T], nothing: T) -> T:
        """Return what is read, or ``nothing`` if that fails as nobody expects; this is logged once.

        Args:
            part: what is read, for the log.
            read: reads it.
            nothing: stands for a part of which nothing is known.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        try:
            return read()
        except DeviceLostError:
            raise
        except Exception as error:
            kind = part, type(error)
            if kind not in self._failed:
                self._failed.add(kind)
                log.exception(
                    "%s: its %s failed unexpectedly and is left out; please report this as a defect", self._name, part
                )
            return nothing
