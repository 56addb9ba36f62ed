"""Remembers account names and uids while the name service has no answer.

A directory service (LDAP, SSSD) that is unavailable shows itself in two ways: the lookup times out, or it returns that
there is no such account, exactly as for an account that does not exist (getpwuid(3)). So a known name stays valid until
the name service returns another name for the uid, or this name for another uid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from genvd.analysis.restart_state import KnownAccount
from genvd.model.facts import AccountFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genvd.model.facts import AccountRequest

K = TypeVar("K", int, str)
V = TypeVar("V", int, str)
T = TypeVar("T")

MAX_ACCOUNTS = 16_384
"""Maximum number of remembered names, and of uids without a name. The least recently requested ones are dropped."""


class KnownAccounts:
    """The last known answers of the name service."""

    def __init__(self) -> None:
        self._names = _Answers[int, str]()
        self._uids = _Answers[str, int]()
        self.accounts: tuple[KnownAccount, ...] = ()
        """The accounts of the last request: the state to save."""

    def restore(self, saved: Iterable[KnownAccount]) -> None:
        """Add what :attr:`accounts` was before the restart. Answers received since then take precedence."""
        for uid, name, main in saved:
            if main:
                self._names.restore(uid, name)
            else:
                self._uids.restore(name, uid)

    def update(self, facts: AccountFacts | None, request: AccountRequest) -> AccountFacts:
        """Return all that is known of the requested accounts.

        Args:
            facts: the answer of the name service; None if there is none.
            request: what the name service was asked.
        """
        facts = facts or AccountFacts()
        uids_by_name = {name: uid for uid, name in facts.names.items() if name is not None}
        names = {}
        for uid in request.uids:
            known = self._names.update(uid, facts.names)
            if known and uids_by_name.get(known[0] or "", uid) != uid:  # another uid has this name now
                known = self._names.forget(uid)
            if known:
                names[uid] = known[0]
        other_names = {name for uid, name in request.claims if name in facts.uids or names.get(uid) != name}
        uids = self._uids_of(other_names, facts.uids)
        self.accounts = tuple(sorted(_accounts(names, uids)))
        return AccountFacts(names, uids)

    def _uids_of(self, names: Iterable[str], answers: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the uids of the names that were ever answered; None for a name without an account."""
        uids = {name: uid[0] for name in names if (uid := self._uids.update(name, answers))}
        if None in uids.values():  # the name has no account, or the name service is unavailable
            uids_by_name = self._names.by_answer()
            uids = {name: uids_by_name.get(name) if uid is None else uid for name, uid in uids.items()}
        return uids


def _accounts(names: Mapping[int, str | None], uids: Mapping[str, int | None]) -> Iterator[KnownAccount]:
    for uid, name in names.items():
        if name is not None:
            yield KnownAccount(uid, name, main=True)
    for name, owner in uids.items():
        if owner is not None and names.get(owner) != name:
            yield KnownAccount(owner, name, main=False)


class _Answers(Generic[K, V]):
    """The last answer for each key, and the keys that never had one."""

    def __init__(self) -> None:
        self._found: dict[K, V] = {}
        self._not_found: dict[K, None] = {}

    def update(self, key: K, new: Mapping[K, V | None]) -> tuple[V | None] | None:
        """Return the last answer as a tuple, ``(None,)`` for "not found", or None if there never was an answer."""
        answer = new.get(key)
        if answer is None:
            answer = self._found.get(key)
        if answer is not None:
            self._not_found.pop(key, None)
            _set_bounded(self._found, key, answer)
            return (answer,)
        if key in new or key in self._not_found:
            _set_bounded(self._not_found, key, None)
            return (None,)
        return None

    def restore(self, key: K, answer: V) -> None:
        """Add an earlier answer, unless there is a later one."""
        if key not in self._found:
            self._not_found.pop(key, None)
            _set_bounded(self._found, key, answer)

    def by_answer(self) -> dict[V, K]:
        """Return the key that had each answer."""
        return {answer: key for key, answer in self._found.items()}

    def forget(self, key: K) -> tuple[V | None]:
        """Replace the answer by "not found", because it is now the answer of another key."""
        del self._found[key]
        _set_bounded(self._not_found, key, None)
        return (None,)


def _set_bounded(answers: dict[K, T], key: K, value: T) -> None:
    answers.pop(key, None)
    answers[key] = value
    if len(answers) > MAX_ACCOUNTS:
        del answers[next(iter(answers))]
