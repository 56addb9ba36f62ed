"""What genv leaves on disk: environments and attachments. Nothing is ever written there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from genvd.model import GenvFacts
from genvd.sources import SourceError, genv_format
from genvd.sources.state_files import read_json, shared_lock

DEFAULT_DIRECTORY = Path("/var/tmp/genv")

_LOCK_SECONDS = 0.04
_READ_SECONDS = 0.04


def default_directory() -> Path:
    """Return the directory in which genv keeps its state: ``$GENV_TMPDIR``, else /var/tmp/genv."""
    return Path(os.environ.get("GENV_TMPDIR") or DEFAULT_DIRECTORY)


class GenvStateSource:
    """The state directory of genv on this machine.

    A directory or file that is not there means that no environment was ever activated: no failure, but no
    environments. A file that is there and cannot be made sense of is a failure.
    """

    name = "genv"

    directory: Path
    """Where the state is; may be changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, question: None = None) -> GenvFacts:
        """Return the environments and attachments on disk, active or not.

        Raises:
            SourceError: a state file is there but cannot be read or is no JSON.
        """
        with shared_lock(self.directory / "genv.lock", time.monotonic() + _LOCK_SECONDS):
            deadline = time.monotonic() + _READ_SECONDS
            environments = self._document("envs.json", "envs", deadline)
            devices = self._document("devices.json", "devices", deadline)
        return GenvFacts(
            environments=genv_format.environments(environments),
            attachments=genv_format.attachments(devices),
        )

    def _document(self, name: str, key: str, deadline: float) -> object:
        path = self.directory / name
        document = read_json(path, deadline)
        if document is not None and not (isinstance(document, dict) and isinstance(document.get(key), dict | list)):
            raise SourceError(f"{path}: has no list of {key}; remove it, genv makes it anew")
        return document
