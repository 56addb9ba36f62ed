"""The state of genv, as its commands leave it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.parity import device_entry, environment_entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_state(directory: Path, environments: Mapping[str, tuple[int, str]], devices: Mapping[int, list[str]]) -> None:
    """Write the state files into a directory.

    Args:
        directory: made if it is not there.
        environments: one process of each, and its user, by identifier.
        devices: the identifiers of those that hold a device, by its index.
    """
    directory.mkdir(exist_ok=True)
    envs = [environment_entry(eid, [pid], user) for eid, (pid, user) in environments.items()]
    (directory / "envs.json").write_text(json.dumps({"envs": envs}))
    held = [device_entry(index, *eids) for index, eids in devices.items()]
    (directory / "devices.json").write_text(json.dumps({"devices": held}))
