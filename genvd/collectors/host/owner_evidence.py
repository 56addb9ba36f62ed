"""Finds evidence for the owner of an environment if the pids in its record do not confirm it.

- A container activated the environment: genv recorded a pid of the container's pid namespace, such as 1, which is
  another process outside. /proc/PID/status has both pids (``NSpid`` of proc_pid_status(5)), and the processes of the
  container name the environment.
- The user became root with su or sudo: the login uid and the ancestors of root's shell lead to the user.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.host import process_table, procfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from genvd.collectors.host.process_table import ProcessTable
    from genvd.model.facts import EnvironmentRecord

OwnerClaim = tuple[str, int]
"""The ID of an environment, and the uid in its record."""

_MAX_SEARCH_SECONDS = 0.02
"""Time limit of one search; the next one continues from there. Any user can write records that nothing confirms."""

_MAX_LAUNCHER_LOOKUPS = 256
"""Maximum processes of root whose ancestors are looked up in one collection. The others follow in the next ones."""


def unconfirmed_claims(
    environments: Iterable[EnvironmentRecord],
    uids: Mapping[int, int],
    launchers: Mapping[int, int],
    kernel_uids: Mapping[str, frozenset[int]],
) -> dict[OwnerClaim, frozenset[int]]:
    """Return the claims of active environments that no process in their record confirms, with the recorded pids.

    Args:
        environments: the records.
        uids: real uids of the live processes in the records, by pid.
        launchers: uids of the users who became root, by pid.
        kernel_uids: real uids of the processes of each Jupyter kernel.
    """
    found: dict[OwnerClaim, frozenset[int]] = {}
    for record in environments:
        if record.uid is None or not record.pids:
            continue
        live = [pid for pid in record.pids if pid in uids]
        user_ids = {uids[pid] for pid in live}.union(*(kernel_uids.get(kernel, ()) for kernel in record.kernel_ids))
        if user_ids and record.uid not in user_ids and record.uid not in (launchers.get(pid) for pid in live):
            found[record.eid, record.uid] = frozenset(record.pids)
    return found


class OwnerSearch:
    """Searches the processes of the machine for those that confirm claims."""

    def __init__(self, table: ProcessTable, eid_of: Callable[[int], str | None]) -> None:
        """Create a search without results.

        Args:
            table: the live processes.
            eid_of: returns the environment ID that the process with this pid names, or None.
        """
        self._table = table
        self._eid_of = eid_of
        self._confirmed_by: dict[OwnerClaim, int] = {}
        self._last_pid = 0

    def confirm(self, claims: Mapping[OwnerClaim, frozenset[int]]) -> frozenset[OwnerClaim]:
        """Return the claims that a live process confirms.

        The process has the claimed uid as its real uid. It names the environment, or it has one of the recorded pids in
        a pid namespace of its own.

        Args:
            claims: the claims, each with the recorded pids.
        """
        witnesses: dict[int, _Witness | None] = {}
        confirmed_by = {}
        for claim, pid in self._confirmed_by.items():
            if pid not in witnesses:
                witnesses[pid] = self._witness(pid)
            witness = witnesses[pid]
            if claim in claims and witness and witness.confirms(claim, claims[claim]):
                confirmed_by[claim] = pid
        self._confirmed_by = confirmed_by  # at the end: a collection may be given up before
        missing = {claim: pids for claim, pids in claims.items() if claim not in self._confirmed_by}
        if missing:
            self._search(missing)
        return frozenset(self._confirmed_by)

    def _search(self, claims: dict[OwnerClaim, frozenset[int]]) -> None:
        deadline = time.monotonic() + _MAX_SEARCH_SECONDS
        uids = {uid for _, uid in claims}
        pids = sorted(process_table.pids())
        for pid in (*(pid for pid in pids if pid > self._last_pid), *(pid for pid in pids if pid <= self._last_pid)):
            directory = procfs.stat_directory(pid)
            if directory and directory.st_uid in uids and (witness := self._witness(pid)):
                for claim in [claim for claim in claims if witness.confirms(claim, claims[claim])]:
                    self._confirmed_by[claim] = pid
                    del claims[claim]
            self._last_pid = pid
            if not claims or time.monotonic() >= deadline:
                return

    def _witness(self, pid: int) -> _Witness | None:
        uid = self._table.uid(pid)
        return None if uid is None else _Witness(uid, frozenset(procfs.inner_pids(pid)), self._eid_of(pid))


class _Witness(NamedTuple):
    """A live process that may confirm claims."""

    uid: int
    inner_pids: frozenset[int]
    """Its pids in pid namespaces of its own; see :func:`procfs.inner_pids`."""
    eid: str | None
    """The environment ID that it names."""

    def confirms(self, claim: OwnerClaim, pids: frozenset[int]) -> bool:
        """Return whether this process confirms the owner of an environment with these recorded pids."""
        eid, uid = claim
        return uid == self.uid and (eid == self.eid or not pids.isdisjoint(self.inner_pids))


class RootLaunchers:
    """Finds the users who became root: the login uid of a process of root, else the uid of its nearest ancestor."""

    def __init__(self, table: ProcessTable) -> None:
        """Create it with an empty cache.

        Args:
            table: the live processes.
        """
        self._table = table
        self._launchers: dict[int, tuple[float, int | None]] = {}

    def find(self, pids: Iterable[int]) -> dict[int, int]:
        """Return the uid of the user behind each of these processes of root, by pid. Unknown ones are missing."""
        launchers: dict[int, tuple[float, int | None]] = {}
        found, looked_up = {}, 0
        for pid in pids:
            uid = procfs.login_uid(pid)
            process = self._table.get(pid) if uid is None else None
            if process is not None:
                known = self._launchers.get(pid)
                if (known is None or known[0] != process.since_boot) and looked_up < _MAX_LAUNCHER_LOOKUPS:
                    looked_up += 1
                    known = process.since_boot, self._table.launcher_uid(pid)
                if known and known[0] == process.since_boot:
                    launchers[pid] = known
                    uid = known[1]
            if uid is not None:
                found[pid] = uid
        self._launchers = launchers
        return found
