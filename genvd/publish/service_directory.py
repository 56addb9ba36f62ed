"""The directory into which the service publishes, and what is in the place of the link that its package makes to it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from genvd.common.safe_tree import user_name
from genvd.config.paths import GENV_STATE, SERVICE_METRICS, SERVICE_STATE, publish_directory

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.config.schema import Config


def is_package_link(path: Path) -> bool:
    """Return whether this is a link to the directory of the service, as the package makes it."""
    try:
        return path.readlink() == SERVICE_METRICS
    except OSError:
        return False


def service_owner() -> int | None:
    """Return the uid to which the state directory of the service belongs; None if there is no service here."""
    try:
        return SERVICE_STATE.stat().st_uid
    except OSError:
        return None


def is_for_service(config: Config) -> bool:
    """Return whether the files of this configuration belong to those that the service publishes.

    They do behind the link of the package. If something else is in its place, only root can write them.
    """
    directory = publish_directory(config)
    if is_package_link(directory):
        return True
    return os.geteuid() == 0 and directory == GENV_STATE / "metrics" and service_owner() is not None


def find_obstacle(config: Config) -> str | None:
    """Return what keeps the published files from where they are expected, in one line; None if there is nothing.

    A monitor in a terminal, such as that of ``make run``, leaves its directory behind.
    """
    if not config.publish_enabled:
        return None
    owner = service_owner()
    if owner is None:
        return _find_other_owner(publish_directory(config), os.geteuid())
    return find_leftover(config) or _find_other_owner(config.publish_directory or SERVICE_METRICS, owner)


def find_leftover(config: Config) -> str | None:
    """Return what is in the place of the link of the package, in one line; None if nothing else than the link is."""
    link = GENV_STATE / "metrics"
    if not config.publish_enabled or config.publish_directory or is_package_link(link):
        return None
    try:
        status = link.lstat()
    except OSError:
        return None
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "link" if stat.S_ISLNK(status.st_mode) else "file"
    return (
        f"{link}: is a {kind} of {user_name(status.st_uid)}, such as a monitor in a terminal leaves behind, and not the"
        f" link of the package to {SERVICE_METRICS}, so who uses this path gets old files; move it away, then run:"
        f" sudo ln -s {SERVICE_METRICS} {link}"
    )


def _find_other_owner(directory: Path, expected: int) -> str | None:
    try:
        owner = directory.lstat().st_uid
    except OSError:
        return None
    if owner == expected:
        return None
    return (
        f"{directory}: belongs to {user_name(owner)} and not to {user_name(expected)}, so nothing is published there;"
        " move it away, or choose another directory with publish.directory"
    )
