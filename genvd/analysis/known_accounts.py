"""The accounts that are known: the last answer of the name service, and what it answered before where it has none now.

A directory service (LDAP, SSSD) that is away for some minutes is heard of in two ways: it does not answer in time, or
the name service switch says that there is no such account, which is also what it says where there is none
(getpwuid(3)). So a name that was known once stands until another one comes. It comes when a new account gets the uid,
and it goes when the name is that of another uid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from genvd.model.facts import AccountFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genvd.model.facts import AccountRequest

K = TypeVar("K", int, str)
V = TypeVar("V", int, str)
T = TypeVar("T")

MAX_ACCOUNTS = 16_384
"""Names that are remembered, and likewise uids that have none. Those that were not asked for longest go first."""


class KnownAccount(NamedTuple):
    """A name that a uid has, for the next start of the monitor."""

    uid: int
    name: str
    main: bool
    """Whether it is what the name service calls the uid; else it is another name that the uid goes by."""


class KnownAccounts:
    """Remembers what was answered."""

    def __init__(self) -> None:
        self._names = _Memory[int, str]()
        self._uids = _Memory[str, int]()
        self.kept: tuple[KnownAccount, ...] = ()
        """What the next start of the monitor should know of those that were asked for last."""

    def restore(self, kept: Iterable[KnownAccount]) -> None:
        """Take in what :attr:`kept` was before the monitor was started, where nothing was answered since."""
        for uid, name, main in kept:
            if main:
                self._names.recall(uid, name)
            else:
                self._uids.recall(name, uid)

    def update(self, facts: AccountFacts | None, request: AccountRequest) -> AccountFacts:
        """Return what is known of what is asked for.

        Args:
            facts: the answer of the name service; None while it gives none.
            request: what it was asked.
        """
        facts = facts or AccountFacts()
        holders = {name: uid for uid, name in facts.names.items() if name is not None}
        names = {}
        for uid in request.uids:
            known = self._names.take(uid, facts.names)
            if known and holders.get(known[0] or "", uid) != uid:
                known = self._names.forget(uid)
            if known:
                names[uid] = known[0]
        odd = {name for uid, name in request.claims if name in facts.uids or names.get(uid) != name}
        uids = self._uids_of(odd, facts.uids)
        self.kept = tuple(sorted(_accounts(names, uids)))
        return AccountFacts(names, uids)

    def _uids_of(self, odd: Iterable[str], now: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return whose these names are, of those of which anything is known."""
        uids = {name: owner[0] for name in odd if (owner := self._uids.take(name, now))}
        if None in uids.values():  # nobody's, or the name service is away: then it is not free for others all the same
            holders = self._names.by_answer()
            uids = {name: holders.get(name) if uid is None else uid for name, uid in uids.items()}
        return uids


def _accounts(names: Mapping[int, str | None], uids: Mapping[str, int | None]) -> Iterator[KnownAccount]:
    for uid, name in names.items():
        if name is not None:
            yield KnownAccount(uid, name, main=True)
    for name, owner in uids.items():
        if owner is not None and names.get(owner) != name:
            yield KnownAccount(owner, name, main=False)


class _Memory(Generic[K, V]):
    """The last answers, and of what no answer was ever known, that there was none."""

    def __init__(self) -> None:
        self._answers: dict[K, V] = {}
        self._nothing: dict[K, None] = {}

    def take(self, key: K, now: Mapping[K, V | None]) -> tuple[V | None] | None:
        """Return the answer that stands, which may be that there is none; None where nothing is known."""
        answer = now.get(key)
        if answer is None:
            answer = self._answers.get(key)
        if answer is not None:
            self._nothing.pop(key, None)
            _keep(self._answers, key, answer)
            return (answer,)
        if key in now or key in self._nothing:
            _keep(self._nothing, key, None)
            return (None,)
        return None

    def recall(self, key: K, answer: V) -> None:
        """Take in an answer of earlier, unless there is one."""
        if key not in self._answers:
            self._nothing.pop(key, None)
            _keep(self._answers, key, answer)

    def by_answer(self) -> dict[V, K]:
        """Return the keys by what was answered."""
        return {answer: key for key, answer in self._answers.items()}

    def forget(self, key: K) -> tuple[V | None]:
        """Drop the answer, which is another one's by now."""
        del self._answers[key]
        _keep(self._nothing, key, None)
        return (None,)


def _keep(memory: dict[K, T], key: K, value: T) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > MAX_ACCOUNTS:
        del memory[next(iter(memory))]
