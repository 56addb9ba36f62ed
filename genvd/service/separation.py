"""Separates privileges where no service manager does: root starts a monitor in a terminal.

A helper that may read the processes of all users is started before anything is read. This process then gives up its
capabilities, and its user if it can work as the user of the service.
"""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import genvd
from genvd.collectors.host.helper_client import ADDRESS_VARIABLE
from genvd.common.output import CommandError
from genvd.config.paths import SERVICE_METRICS, SERVICE_STATE
from genvd.publish.service_directory import service_owner

if TYPE_CHECKING:
    from genvd.config.schema import Config

log = logging.getLogger(__name__)

SERVICE_USER = "genv-monitor"

_PRIVILEGED_PORTS = 1024
"""Ports below this one need a capability."""

HELPER_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "262144"}
"""Variables for the memory of the helper, as in its unit. Without them it takes 0.4 MiB more (the row ``resident memory
of the helper`` of ``make bench``), and it keeps the memory for variables of megabytes."""

_HELPER = "import sys; sys.path[:] = {path!r}; from genvd.helper.__main__ import main; main()"
"""The same modules as in this process, without regard to the current directory and PYTHONPATH."""


class Separation:
    """The helper of this process, if it has started one."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[bytes] | None = None

    def start_helper(self) -> None:
        """Start the helper, if this process is root in a terminal.

        Root in a container may lack the capabilities, and then reads best what it can itself.
        """
        if os.geteuid() != 0 or ADDRESS_VARIABLE in os.environ or "NOTIFY_SOCKET" in os.environ:
            return
        from genvd.common.capabilities import READ_PROCESSES, has

        if not has(READ_PROCESSES):
            return
        name = f"genv-monitor-{os.getpid()}-{secrets.token_hex(8)}"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"\0{name}")
        listening.listen()
        code = _HELPER.format(path=[entry for entry in sys.path if entry])
        try:
            self._helper = subprocess.Popen(
                [sys.executable, "-I", "-c", code, str(listening.fileno()), str(os.getpid())],
                pass_fds=[listening.fileno()],
                env={**os.environ, **HELPER_MEMORY},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        except OSError as error:
            log.warning("no program to read processes could be started: %s; this one keeps its privileges", error)
            return
        finally:
            listening.close()
        os.environ[ADDRESS_VARIABLE] = f"@{name}"  # also for a monitor that executes itself again

    def give_up_privileges(self, config: Config, file: Path | None) -> None:
        """Give up the capabilities, and the user where that is possible. Call it before threads start.

        Args:
            config: the configuration, which says which files this process needs.
            file: the file of the configuration.
        """
        if self._helper is None:
            return
        from genvd.common.capabilities import CAP_NET_BIND_SERVICE, give_up

        privileged_port = 0 < config.listen_port < _PRIVILEGED_PORTS
        account = None if privileged_port else _usable_account(config, file)
        try:
            give_up(keep=(CAP_NET_BIND_SERVICE,) if privileged_port else (), account=account)
        except OSError as error:
            log.warning("privileges could not be given up: %s; the monitor keeps those of root", error.strerror)


def become_service_user(command: str) -> None:
    """Become the user to whom the state directory of the service belongs, to write there what the service can replace.

    Args:
        command: what wants to write there, for the message.

    Raises:
        CommandError: this process may not do that, or there is no such directory.
    """
    from genvd.common.capabilities import give_up

    owner = service_owner()
    if owner is None:
        raise CommandError(f"{SERVICE_STATE}: does not exist; start the service once, or use --config-dir DIRECTORY")
    if owner == os.geteuid():
        return
    if os.geteuid() != 0:
        raise CommandError(
            f"cannot write to {SERVICE_METRICS}: it belongs to the service; use 'sudo genv-monitor {command}',"
            " or choose another directory with --config-dir"
        )
    try:
        give_up(account=pwd.getpwuid(owner))
    except (OSError, KeyError) as error:
        raise CommandError(f"cannot become the owner of {SERVICE_STATE}: {error}; use --config-dir DIRECTORY") from None


def _usable_account(config: Config, file: Path | None) -> pwd.struct_passwd | None:
    """Return the account of the service, if it exists and can use all files that this process needs."""
    try:
        account = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    code = (Path(genvd.__file__), Path(sys.executable), Path(os.__file__))
    read = (*code, file, config.listen_web_config_file)
    written = (config.ledger_directory, config.publish_directory)
    usable = can_use(account, [one for one in read if one], [one for one in written if one])
    return account if usable and _has_no_private_keys(config) else None


def can_use(account: pwd.struct_passwd, read: Iterable[Path], written: Iterable[Path]) -> bool:
    """Return whether a user can read these files, and write to these directories. Only root may call this.

    Args:
        account: the user, with no other groups than its own.
        read: the files.
        written: the directories.
    """
    with _effective_user(account):
        return all(os.access(path, os.R_OK, effective_ids=True) for path in read) and all(
            os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True) for path in written
        )


def _has_no_private_keys(config: Config) -> bool:
    """Return whether the web configuration names no further files, which only root may be able to read."""
    from genvd.config.web import read_web_config

    if config.listen_web_config_file is None:
        return True
    found = read_web_config(config.listen_web_config_file)
    return not found.problems and not found.config.tls


@contextmanager
def _effective_user(account: pwd.struct_passwd) -> Iterator[None]:
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups([account.pw_gid])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)
