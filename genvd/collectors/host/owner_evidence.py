"""What confirms whose an environment is where the pids in its record do not.

- A process in a pid namespace of its own, as in a container, that activates an environment: genv writes the pid that
  the process has there, such as 1, which is another process outside. Its status has both pids (``NSpid`` of
  proc_pid_status(5)), and what it starts names the environment.
- A shell of root that su or sudo made of somebody's: who logged in, and whose process started it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.host import process_table, procfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from genvd.collectors.host.process_table import ProcessTable
    from genvd.model.facts import EnvironmentRecord

Claim = tuple[str, int]
"""The identifier of an environment, and the uid that its record names."""

_MOST_SECONDS = 0.02
"""For one search; the next one goes on where it ended. Everybody can write records that cannot be confirmed."""

_MOST_LAUNCHERS = 256
"""Processes of root whose ancestors are looked up in one reading; the others have to wait for the next ones."""


def unconfirmed(
    environments: Iterable[EnvironmentRecord],
    uids: Mapping[int, int],
    launchers: Mapping[int, int],
    kernel_uids: Mapping[str, frozenset[int]],
) -> dict[Claim, frozenset[int]]:
    """Return the claims of active environments that no process in their records confirms, with the pids there.

    Args:
        environments: the records.
        uids: real uids by pid, of the live processes in the records.
        launchers: who became root, by pid.
        kernel_uids: real uids of those who run the Jupyter kernels.
    """
    found: dict[Claim, frozenset[int]] = {}
    for record in environments:
        if record.uid is None or not record.pids:
            continue
        live = [pid for pid in record.pids if pid in uids]
        people = {uids[pid] for pid in live}.union(*(kernel_uids.get(kernel, ()) for kernel in record.kernel_ids))
        if people and record.uid not in people and record.uid not in (launchers.get(pid) for pid in live):
            found[record.eid, record.uid] = frozenset(record.pids)
    return found


class OwnerSearch:
    """Looks through the processes of the machine for those that confirm claims."""

    def __init__(self, table: ProcessTable, named_by: Callable[[int], str | None]) -> None:
        """Search for nothing yet.

        Args:
            table: the processes that live.
            named_by: returns by pid the identifier of the environment that a process names; None if it names none.
        """
        self._table = table
        self._named_by = named_by
        self._confirmed_by: dict[Claim, int] = {}
        self._last = 0

    def confirmed(self, claims: Mapping[Claim, frozenset[int]]) -> frozenset[Claim]:
        """Return those claims for which there is a live process, of the real uid that is claimed, that confirms them.

        It names the environment, or has one of the pids of the record in a pid namespace of its own.

        Args:
            claims: each with the pids of its record.
        """
        witnesses: dict[int, _Witness | None] = {}
        before, self._confirmed_by = self._confirmed_by, {}
        for claim, pid in before.items():
            if pid not in witnesses:
                witnesses[pid] = self._witness(pid)
            witness = witnesses[pid]
            if claim in claims and witness and witness.confirms(claim, claims[claim]):
                self._confirmed_by[claim] = pid
        missing = {claim: pids for claim, pids in claims.items() if claim not in self._confirmed_by}
        if missing:
            self._search(missing)
        return frozenset(self._confirmed_by)

    def _search(self, claims: dict[Claim, frozenset[int]]) -> None:
        deadline = time.monotonic() + _MOST_SECONDS
        uids = {uid for _, uid in claims}
        pids = sorted(process_table.pids())
        for pid in (*(pid for pid in pids if pid > self._last), *(pid for pid in pids if pid <= self._last)):
            directory = procfs.directory(pid)
            if directory and directory.st_uid in uids and (witness := self._witness(pid)):
                for claim in [claim for claim in claims if witness.confirms(claim, claims[claim])]:
                    self._confirmed_by[claim] = pid
                    del claims[claim]
            self._last = pid
            if not claims or time.monotonic() >= deadline:
                return

    def _witness(self, pid: int) -> _Witness | None:
        uid = self._table.uid(pid)
        return None if uid is None else _Witness(uid, frozenset(procfs.inner_pids(pid)), self._named_by(pid))


class _Witness(NamedTuple):
    """A live process."""

    uid: int
    inner_pids: frozenset[int]
    eid: str | None

    def confirms(self, claim: Claim, pids: frozenset[int]) -> bool:
        """Tell whether it confirms that an environment with these pids in its record is of whom the record says."""
        eid, uid = claim
        return uid == self.uid and (eid == self.eid or not pids.isdisjoint(self.inner_pids))


class RootLaunchers:
    """Finds out who became root: who logged in, else whose process started one of root's."""

    def __init__(self, table: ProcessTable) -> None:
        """Know of nobody yet.

        Args:
            table: the processes that live.
        """
        self._table = table
        self._started_by: dict[int, tuple[float, int | None]] = {}

    def read(self, pids: Iterable[int]) -> dict[int, int]:
        """Return it by pid, of those processes of root for which there is somebody."""
        before, self._started_by = self._started_by, {}
        found, looked_up = {}, 0
        for pid in pids:
            uid = procfs.login_uid(pid)
            process = self._table.get(pid) if uid is None else None
            if process is not None:
                known = before.get(pid)
                if (known is None or known[0] != process.since_boot) and looked_up < _MOST_LAUNCHERS:
                    looked_up += 1
                    known = process.since_boot, self._table.launcher(pid)
                if known and known[0] == process.since_boot:
                    self._started_by[pid] = known
                    uid = known[1]
            if uid is not None:
                found[pid] = uid
        return found
