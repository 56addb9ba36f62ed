"""Determines the owner of each environment and the environment of each process, as far as this can be verified.

Everybody can write genv's files, so a record in them is only a claim. It is compared with what other users cannot
write: the real uids of processes, the uid that logged in, and the accounts. docs/trust.md explains the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.claims import DUPLICATE, ENVIRONMENT_OWNER, PROCESS_ENVIRONMENT, RESERVED_NAME, USERNAME, Rejection
from genvd.common.text import RESERVED
from genvd.model.facts import AccountFacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model.facts import EnvironmentRecord, GenvFacts, ProcessFacts, ProcessOwner

ROOT = 0
"""The uid of root, who may act for every user."""

MAX_MEMBERS = 1024
"""Maximum number of users that are remembered as members of one environment after they left it."""

NO_ACCOUNTS = AccountFacts()


class Membership(NamedTuple):
    """The users of an environment since it became active."""

    uid: int
    """The owner, who had a process in it."""
    uids: frozenset[int]
    """All users who had a process in it."""


Memberships = Mapping[str, Membership]
"""By eid. The users of a shared environment can leave one by one; it is still the same environment."""


class OwnedRecord(NamedTuple):
    """An active environment and its owner."""

    record: EnvironmentRecord
    uid: int | None
    """The owner; None if several users have processes in it and the record names none of them."""
    owner_confirmed: bool
    """Whether the record names the actual owner."""
    uids: frozenset[int]
    """The users who have a process in it, or had one since it became active."""
    login_uids: frozenset[int]
    """The users who became root and whose root processes are in it."""
    pids: frozenset[int] = frozenset()
    """The owner's live processes in it."""

    @property
    def members(self) -> frozenset[int]:
        """The users whose processes belong to it if they name it."""
        return self.uids | self.login_uids | (frozenset() if self.uid is None else {self.uid})

    def admits(self, process: ProcessOwner) -> bool:
        """Return whether a process may name this environment: it belongs to a member or to root, or was started by one.

        A program that changed its user (su, sudo, runuser) was started by the user who logged in. It was started from
        this environment if one of the owner's processes in it is among its ancestors.
        """
        members = self.members
        return (
            process.uid is None
            or not members
            or not members.isdisjoint((process.uid, process.namespace_uid, process.login_uid))
            or ROOT in (process.uid, process.namespace_uid)
            or not self.pids.isdisjoint(process.ancestors)
        )


def resolve_owners(
    genv: GenvFacts, facts: ProcessFacts, previous: Memberships
) -> tuple[tuple[OwnedRecord, ...], tuple[Rejection, ...]]:
    """Return the active environments, one for each eid, and the rejected claims.

    If several active records share an eid, the oldest wins; among new ones, the first whose owner is confirmed;
    otherwise the first.

    Args:
        genv: content of genv's files.
        facts: the processes.
        previous: what :func:`memberships` returned at the last collection.
    """
    environments: dict[str, OwnedRecord] = {}
    rejections = []
    for record in genv.environments:
        if not _is_active(record, facts):
            continue
        if record.eid == RESERVED:
            rejections.append(Rejection(RESERVED_NAME, ("environment", record.uid, record.pids[:1])))
            continue
        owned = _resolve_owner(record, facts, previous.get(record.eid))
        other = environments.get(record.eid)
        if other is None or _priority(owned, previous) > _priority(other, previous):
            environments[record.eid], owned = owned, other or owned  # now ``owned`` is the record that lost
        if other is not None:
            rejections.append(Rejection(DUPLICATE, (record.eid, owned.record.uid, owned.record.pids[:1])))
    rejections += [
        Rejection(ENVIRONMENT_OWNER, (owned.record.eid, owned.record.uid))
        for owned in environments.values()
        if not owned.owner_confirmed
    ]
    return tuple(environments.values()), tuple(rejections)


def memberships(owned: Iterable[OwnedRecord]) -> Memberships:
    """Return the users of the environments with a confirmed owner, for the next collection."""
    return {
        environment.record.eid: Membership(environment.uid, environment.uids)
        for environment in owned
        if environment.owner_confirmed and environment.uids and environment.uid is not None
    }


def resolve_username(owned: OwnedRecord, accounts: AccountFacts | None) -> tuple[str | None, Rejection | None]:
    """Return the username of an environment, and the rejected claim if the record has a wrong one.

    Args:
        owned: the environment. If its record has no username, the result is the owner's account name.
        accounts: None if unknown; then the username in the record is accepted if its uid is confirmed.
    """
    claimed, uid = owned.record.username, owned.uid
    if uid is None:
        return None, None
    accounts = accounts or NO_ACCOUNTS
    if claimed is None:
        return account_name(uid, accounts), None
    if claimed != RESERVED:
        if uid not in accounts.names:
            return (claimed if owned.owner_confirmed and accounts.uids.get(claimed) in (None, uid) else None), None
        if _is_name_of_owner(claimed, owned, accounts):
            return claimed, None
    real = account_name(uid, accounts)
    if claimed == RESERVED:
        return real, Rejection(RESERVED_NAME, ("username", owned.record.eid, uid))
    # A wrong owner is counted already, and a name that was not looked up may be right.
    if not owned.owner_confirmed or claimed not in accounts.uids:
        return real, None
    return real, Rejection(USERNAME, (owned.record.eid, uid, claimed))


def add_record_names(owned: Iterable[OwnedRecord], accounts: AccountFacts) -> AccountFacts:
    """Return the accounts; a uid without a name gets the username of its records, if their owner is confirmed.

    So a user whose account cannot be looked up has the same name inside and outside of environments. If the records of
    a uid have several usernames, none of them is used.
    """
    names: dict[int, set[str]] = {}
    for environment in owned:
        if (
            environment.owner_confirmed
            and environment.uid not in (None, ROOT)
            and accounts.names.get(environment.uid) is None
            and environment.record.username
        ):
            name, _ = resolve_username(environment, accounts)
            if name is not None and name == environment.record.username:
                names.setdefault(environment.uid, set()).add(name)
    unique = {uid: name for uid, (name, *others) in names.items() if not others}
    return accounts._replace(names={**accounts.names, **unique}) if unique else accounts


def account_name(uid: int, accounts: AccountFacts) -> str | None:
    """Return the account name, the uid as text if there is no account, and None if this is unknown."""
    if uid not in accounts.names:
        return None
    name = accounts.names[uid]
    return str(uid) if name is None or name == RESERVED else name


def resolve_environment(
    pid: int, process: ProcessOwner, active: Mapping[str, OwnedRecord]
) -> tuple[str | None, Rejection | None]:
    """Return the eid of a GPU process, and the rejected claim if it may not name its environment.

    Args:
        pid: the process.
        process: its owner, and the environment that it names.
        active: the active environments by eid.
    """
    eid = process.eid
    if eid == RESERVED:
        return None, Rejection(RESERVED_NAME, ("process", pid, process.uid))
    environment = None if eid is None else active.get(eid)
    if environment is None or environment.admits(process):
        return eid, None
    return None, Rejection(PROCESS_ENVIRONMENT, (pid, process.uid, eid))


def _is_active(record: EnvironmentRecord, facts: ProcessFacts) -> bool:
    """Return whether a process or a Jupyter kernel of the environment is alive."""
    return not facts.live_pids.isdisjoint(record.pids) or any(
        kernel in facts.kernel_uids for kernel in record.kernel_ids
    )


def _resolve_owner(record: EnvironmentRecord, facts: ProcessFacts, previous: Membership | None) -> OwnedRecord:
    """Return the record with its owner: the user it names, unless the processes in it contradict that."""
    live = [pid for pid in record.pids if pid in facts.uids]
    uids = frozenset(facts.uids[pid] for pid in live).union(
        *(facts.kernel_uids.get(kernel, ()) for kernel in record.kernel_ids)
    )
    login_uids = frozenset(facts.login_uids[pid] for pid in live if pid in facts.login_uids)
    claimed = owner = record.uid
    confirmed = True
    if previous and previous.uid == claimed:
        all_uids = previous.uids | uids
        uids = all_uids if len(all_uids) <= MAX_MEMBERS else previous.uids
    elif uids and claimed not in uids and claimed not in login_uids and (record.eid, claimed) not in facts.confirmed:
        users = uids - {ROOT} or uids  # root may act for the owner, so it counts only if nobody else is in it
        owner = next(iter(users)) if len(users) == 1 else None
        confirmed = claimed is None  # a record that names no owner claims nothing false
    pids = frozenset(pid for pid in live if facts.uids[pid] == owner)
    return OwnedRecord(record, owner, confirmed, uids, login_uids, pids)


def _priority(owned: OwnedRecord, previous: Memberships) -> tuple[bool, bool]:
    """Return the sort key among records with the same eid; the highest one wins."""
    known = previous.get(owned.record.eid)
    return known is not None and known.uid == owned.record.uid, owned.owner_confirmed


def _is_name_of_owner(claimed: str, owned: OwnedRecord, accounts: AccountFacts) -> bool:
    """Return whether the owner, who has been looked up, has this username."""
    assert owned.uid is not None
    name = accounts.names[owned.uid]
    if claimed == name:
        return True
    if claimed not in accounts.uids:
        return False
    account = accounts.uids[claimed]
    if account is None:  # genv takes any name from $LOGNAME, also one without an account
        return name is None or owned.uid == ROOT
    return account == owned.uid or (owned.uid == ROOT and account in owned.login_uids)
