"""What genv leaves on disk: environments and attachments. Nothing is ever written there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from genvd.collectors.genv import format
from genvd.collectors.genv.directory import open_directory
from genvd.collectors.genv.files import StateFile, shared_lock
from genvd.model.facts import GenvFacts

if TYPE_CHECKING:
    from pathlib import Path

_LOCK_SECONDS = 0.04
_READ_SECONDS = 0.04


class GenvStateCollector:
    """The state directory of genv on this machine.

    A directory or file that is not there means that no environment was ever activated: no failure, but no
    environments. A file that is there and cannot be made sense of is a failure. So is a directory to which a symbolic
    link of somebody else leads.
    """

    name = "genv"

    directory: Path
    """Where the state is; may be changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environments = StateFile(_environments)
        self._devices = StateFile(_devices)

    def collect(self, request: None = None) -> GenvFacts:
        """Return the environments and attachments on disk, active or not.

        Raises:
            CollectorError: the directory or a state file is there but cannot be read, or a file is no JSON.
        """
        try:
            with open_directory(self.directory) as directory:
                return self._read(self.directory, directory)
        except FileNotFoundError:
            return GenvFacts()

    def _read(self, path: Path, directory: int) -> GenvFacts:
        with shared_lock(path / "genv.lock", time.monotonic() + _LOCK_SECONDS, directory):
            deadline = time.monotonic() + _READ_SECONDS
            environments = self._environments.read(path / "envs.json", deadline, directory) or GenvFacts()
            devices = self._devices.read(path / "devices.json", deadline, directory) or GenvFacts()
        return GenvFacts(
            environments=environments.environments,
            attachments=devices.attachments,
            malformed=environments.malformed + devices.malformed,
            impossible_devices=devices.impossible_devices,
        )


def _environments(document: Any) -> GenvFacts:
    _expect(document, "envs")
    oddities = format.Oddities()
    found = format.environments(document, oddities)
    return GenvFacts(environments=found, malformed=oddities.malformed)


def _devices(document: Any) -> GenvFacts:
    _expect(document, "devices")
    oddities = format.Oddities()
    found = format.attachments(document, oddities)
    return GenvFacts(attachments=found, malformed=oddities.malformed, impossible_devices=oddities.devices)


def _expect(document: Any, key: str) -> None:
    if not (isinstance(document, dict) and isinstance(document.get(key), dict | list)):
        raise ValueError(f"has no list of {key}")
