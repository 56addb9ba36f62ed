"""Whose an environment is, as far as that can be checked. docs/trust.md has the rules, their reasons and limits.

Everybody can write genv's files, so a record is a claim. What cannot be written by others are the real uids of
processes, the uid that logged in, and the accounts of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.analysis.claims import DUPLICATE, ENVIRONMENT_OWNER, PROCESS_ENVIRONMENT, RESERVED_NAME, USERNAME, Rejection
from genvd.common.text import RESERVED
from genvd.model.facts import AccountFacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model.facts import EnvironmentRecord, GenvFacts, ProcessFacts, ProcessOwner

ROOT = 0
"""Root may act for anybody: it can be anybody."""

MAX_MEMBERS = 1024
"""People of one environment who are remembered when they have left it."""

NO_ACCOUNTS = AccountFacts()


@dataclass(frozen=True, slots=True)
class Membership:
    """What was seen of an environment since it is active."""

    uid: int
    """Its owner, of whom a process lived in it."""
    uids: frozenset[int]
    """All whose processes lived in it."""


Memberships = Mapping[str, Membership]
"""By the identifier of the environment. People who share one leave it one by one, and it stays the same one."""


@dataclass(frozen=True, slots=True)
class OwnedRecord:
    """An active environment, and whose it is."""

    record: EnvironmentRecord
    uid: int | None
    """Its owner; None where its processes are of several people, none of whom it says to be of."""
    holds: bool
    """Whether it is of whom it says."""
    uids: frozenset[int]
    """Whose processes live in it, or have lived in it since it is active."""
    login_uids: frozenset[int]
    """Who became root, of its processes that are root's."""
    pids: frozenset[int] = frozenset()
    """The live processes of its owner in it."""

    @property
    def members(self) -> frozenset[int]:
        """Those whose processes may name it."""
        return self.uids | self.login_uids | (frozenset() if self.uid is None else {self.uid})

    def admits(self, process: ProcessOwner) -> bool:
        """Tell whether a process may name it: it is a member's or root's, or was started by one who is.

        A program that changed its user (su, sudo, runuser) was started by who logged in, and out of the environment
        where one of the owner's processes in it is among its ancestors.
        """
        members = self.members
        return (
            process.uid is None
            or not members
            or not members.isdisjoint((process.uid, process.namespace_uid, process.login_uid))
            or ROOT in (process.uid, process.namespace_uid)
            or not self.pids.isdisjoint(process.ancestors)
        )


def owned_records(
    genv: GenvFacts, facts: ProcessFacts, before: Memberships
) -> tuple[tuple[OwnedRecord, ...], tuple[Rejection, ...]]:
    """Return the environments that are active, one for each identifier, and the claims that do not hold.

    Of several with one identifier the one that was there before counts, else the first that is of whom it says, else
    the first.

    Args:
        genv: the state files.
        facts: the processes.
        before: what :func:`memberships` said at the last time.
    """
    found: dict[str, OwnedRecord] = {}
    rejections = []
    for record in genv.environments:
        if not _is_active(record, facts):
            continue
        if record.eid == RESERVED:
            rejections.append(Rejection(RESERVED_NAME, ("environment", record.uid, record.pids[:1])))
            continue
        owned = _owned(record, facts, before.get(record.eid))
        other = found.get(record.eid)
        if other is None or _rank(owned, before) > _rank(other, before):
            found[record.eid], owned = owned, other or owned
        if other is not None:
            rejections.append(Rejection(DUPLICATE, (record.eid, owned.record.uid, owned.record.pids[:1])))
    rejections += [
        Rejection(ENVIRONMENT_OWNER, (owned.record.eid, owned.record.uid))
        for owned in found.values()
        if not owned.holds
    ]
    return tuple(found.values()), tuple(rejections)


def memberships(owned: Iterable[OwnedRecord]) -> Memberships:
    """Return the environments of which it is known whose they are, for the next time."""
    return {
        one.record.eid: Membership(one.uid, one.uids) for one in owned if one.holds and one.uids and one.uid is not None
    }


def username(owned: OwnedRecord, accounts: AccountFacts | None) -> tuple[str | None, Rejection | None]:
    """Return the name under which the environment counts, and the claim of another one if that does not hold.

    Args:
        owned: the environment. If its record names nobody it is its owner's all the same, under the account's name.
        accounts: None while nothing is known of them; then the record's word stands if its uid does.
    """
    claimed, uid = owned.record.username, owned.uid
    if uid is None:
        return None, None
    accounts = accounts or NO_ACCOUNTS
    if claimed is None:
        return account_name(uid, accounts), None
    if claimed != RESERVED:
        if uid not in accounts.names:
            return (claimed if owned.holds and accounts.uids.get(claimed) in (None, uid) else None), None
        if _is_name_of(claimed, owned, accounts):
            return claimed, None
    real = account_name(uid, accounts)
    if claimed == RESERVED:
        return real, Rejection(RESERVED_NAME, ("username", owned.record.eid, uid))
    if not owned.holds or claimed not in accounts.uids:  # is counted already, or not looked up yet
        return real, None
    return real, Rejection(USERNAME, (owned.record.eid, uid, claimed))


def with_names_of_records(owned: Iterable[OwnedRecord], accounts: AccountFacts) -> AccountFacts:
    """Return the accounts, with the names that confirmed records have for uids of which no other name is known.

    Somebody whose account cannot be looked up is one person then: with what they do within their environments, and with
    what they do outside. Where the records of a uid have several names, none of them is more than the uid.
    """
    names: dict[int, set[str]] = {}
    for one in owned:
        if one.holds and one.uid not in (None, ROOT) and accounts.names.get(one.uid) is None and one.record.username:
            name, _ = username(one, accounts)
            if name is not None and name == one.record.username:
                names.setdefault(one.uid, set()).add(name)
    found = {uid: name for uid, (name, *others) in names.items() if not others}
    return replace(accounts, names={**accounts.names, **found}) if found else accounts


def account_name(uid: int, accounts: AccountFacts) -> str | None:
    """Return the name of the account, the uid itself where there is none, and None while that is not known."""
    if uid not in accounts.names:
        return None
    name = accounts.names[uid]
    return str(uid) if name is None or name == RESERVED else name


def environment_of(
    pid: int, process: ProcessOwner, active: Mapping[str, OwnedRecord]
) -> tuple[str | None, Rejection | None]:
    """Return the environment in which a GPU process counts, and its claim of another one if that does not hold.

    Args:
        pid: the process.
        process: what it says, and whose it is.
        active: the active environments by identifier.
    """
    eid = process.eid
    if eid == RESERVED:
        return None, Rejection(RESERVED_NAME, ("process", pid, process.uid))
    environment = None if eid is None else active.get(eid)
    if environment is None or environment.admits(process):
        return eid, None
    return None, Rejection(PROCESS_ENVIRONMENT, (pid, process.uid, eid))


def _is_active(record: EnvironmentRecord, facts: ProcessFacts) -> bool:
    return not facts.live_pids.isdisjoint(record.pids) or any(k in facts.kernel_uids for k in record.kernel_ids)


def _owned(record: EnvironmentRecord, facts: ProcessFacts, before: Membership | None) -> OwnedRecord:
    live = [pid for pid in record.pids if pid in facts.uids]
    uids = frozenset(facts.uids[pid] for pid in live).union(*(facts.kernel_uids.get(k, ()) for k in record.kernel_ids))
    logins = frozenset(facts.login_uids[pid] for pid in live if pid in facts.login_uids)
    claimed = owner = record.uid
    holds = True
    if before and before.uid == claimed:
        joined = before.uids | uids
        uids = joined if len(joined) <= MAX_MEMBERS else before.uids
    elif uids and claimed not in uids and claimed not in logins and (record.eid, claimed) not in facts.confirmed:
        people = uids - {ROOT} or uids
        owner = next(iter(people)) if len(people) == 1 else None
        holds = claimed is None
    return OwnedRecord(record, owner, holds, uids, logins, frozenset(pid for pid in live if facts.uids[pid] == owner))


def _rank(owned: OwnedRecord, before: Memberships) -> tuple[bool, bool]:
    known = before.get(owned.record.eid)
    return known is not None and known.uid == owned.record.uid, owned.holds


def _is_name_of(claimed: str, owned: OwnedRecord, accounts: AccountFacts) -> bool:
    """Tell whether the owner goes by a name, known that the owner was looked up."""
    assert owned.uid is not None
    name = accounts.names[owned.uid]
    if claimed == name:
        return True
    if claimed not in accounts.uids:
        return False
    account = accounts.uids[claimed]
    if account is None:  # genv takes any name from $LOGNAME; one that is nobody's is left to whom none can be told
        return name is None or owned.uid == ROOT
    return account == owned.uid or (owned.uid == ROOT and account in owned.login_uids)
