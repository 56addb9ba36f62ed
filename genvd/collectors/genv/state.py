"""The collector of genv's state on disk: environments and attached GPUs. It never writes there.

``state_directory.py`` opens the directory, ``state_files.py`` reads and locks the files, ``state_parser.py`` parses
them into records.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from genvd.collectors.genv.state_directory import open_state_directory
from genvd.collectors.genv.state_files import StateFile, shared_lock
from genvd.collectors.genv.state_parser import Skipped, parse_attachments, parse_environments
from genvd.model.facts import GenvFacts

if TYPE_CHECKING:
    from pathlib import Path

_LOCK_SECONDS = 0.04
"""How long to wait for the lock of genv; then the files are read without it."""

_READ_SECONDS = 0.04
"""How long to read an invalid file again, because genv may be writing it."""


class GenvStateCollector:
    """Collects the environments and attachments in genv's state directory.

    A missing directory or file means that no environment was ever activated, which is not an error. An existing file
    that cannot be read or parsed is an error, and so is a path that leads through another user's symbolic link.
    """

    name = "genv"

    directory: Path
    """The state directory. A reload of the configuration may change it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environments = StateFile(_parse_environments)
        self._devices = StateFile(_parse_devices)

    def collect(self, request: None = None) -> GenvFacts:
        """Return all environments and attachments on disk, active or not.

        Raises:
            CollectorError: the directory or a file exists but cannot be read, or a file is not valid JSON.
        """
        path = self.directory
        try:
            with (
                open_state_directory(path) as directory,
                shared_lock(path / "genv.lock", time.monotonic() + _LOCK_SECONDS, directory),
            ):
                deadline = time.monotonic() + _READ_SECONDS
                environments = self._environments.read(path / "envs.json", deadline, directory) or GenvFacts()
                devices = self._devices.read(path / "devices.json", deadline, directory) or GenvFacts()
        except FileNotFoundError:
            return GenvFacts()
        return GenvFacts(
            environments=environments.environments,
            attachments=devices.attachments,
            malformed=environments.malformed + devices.malformed,
            impossible_devices=devices.impossible_devices,
            unknown_members=environments.unknown_members,
            unknown_holders=devices.unknown_holders,
        )


def _parse_environments(document: Any) -> GenvFacts:
    _require_list(document, "envs")
    skipped = Skipped()
    environments = parse_environments(document, skipped)
    return GenvFacts(environments=environments, malformed=skipped.malformed, unknown_members=frozenset(skipped.members))


def _parse_devices(document: Any) -> GenvFacts:
    _require_list(document, "devices")
    skipped = Skipped()
    attachments = parse_attachments(document, skipped)
    return GenvFacts(
        attachments=attachments,
        malformed=skipped.malformed,
        impossible_devices=skipped.impossible_devices,
        unknown_holders=frozenset(skipped.holders),
    )


def _require_list(document: Any, key: str) -> None:
    if not (isinstance(document, dict) and isinstance(document.get(key), dict | list)):
        raise ValueError(f"has no list of {key}")
