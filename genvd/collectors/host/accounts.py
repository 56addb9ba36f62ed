"""Collects user accounts: the username of a uid, and the uid of a username.

Accounts may come over the network (LDAP), so a lookup can be slow or hang. That is why this is a collector of its own.
The number of lookups is limited, because users can invent any number of names.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from genvd.collectors.base import CollectorError
from genvd.common.text import clean
from genvd.model.facts import AccountFacts, AccountRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K", int, str)
V = TypeVar("V", int, str)

CACHE_SECONDS, CACHE_MISSING_SECONDS = 300.0, 30.0
"""How long to cache an account, and that there is none. A directory service that is down reports none as well."""

MAX_UID_LOOKUPS, MAX_NAME_LOOKUPS = 4096, 64
"""Maximum lookups in one collection. The others are looked up in the next ones."""

_MAX_LOOKUP_SECONDS = 1.0
"""After this time a collection returns what it has, without further lookups."""

_MAX_CACHED = 16384
_NAME = re.compile(r"[^\s:/\x00-\x1f\x7f]{1,256}")
"""A possible username: no separator of /etc/passwd or of paths."""


class AccountCollector:
    """Collects accounts through the name service switch (getpwuid(3), getpwnam(3))."""

    name = "accounts"

    def __init__(self) -> None:
        self._names = _Cache[int, str](_find_name, MAX_UID_LOOKUPS)
        self._uids = _Cache[str, int](_find_uid, MAX_NAME_LOOKUPS)

    def collect(self, request: AccountRequest) -> AccountFacts:
        """Return the requested accounts, as many as can be looked up in time."""
        deadline = time.monotonic() + _MAX_LOOKUP_SECONDS
        names = self._names.get_many(sorted(request.uids), deadline)
        # A claimed name that differs from the account's may be its alias, or the name of another account.
        unconfirmed = sorted({name for uid, name in request.claims if uid in names and names[uid] != name})
        return AccountFacts(names, self._uids.get_many(unconfirmed, deadline))


class _Cache(Generic[K, V]):
    """Looks up values and caches them for a while."""

    def __init__(self, look_up: Callable[[K], V | None], max_lookups: int) -> None:
        self._look_up: Callable[[K], V | None] = look_up
        self._max_lookups = max_lookups
        self._entries: dict[K, tuple[V | None, float]] = {}

    def get_many(self, keys: Iterable[K], deadline: float) -> dict[K, V | None]:
        """Return the cached values and those that can be looked up before the deadline."""
        now = time.monotonic()
        found: dict[K, V | None] = {}
        lookups = 0
        for key in keys:
            entry = self._entries.get(key)
            if (entry is None or entry[1] <= now) and lookups < self._max_lookups and time.monotonic() < deadline:
                lookups += 1
                entry = self._refresh(key, now)
            if entry is not None:
                found[key] = entry[0]
        return found

    def _refresh(self, key: K, now: float) -> tuple[V | None, float]:
        while len(self._entries) >= _MAX_CACHED:
            del self._entries[next(iter(self._entries))]  # the oldest
        self._entries.pop(key, None)
        value = self._look_up(key)
        self._entries[key] = (value, now + (CACHE_MISSING_SECONDS if value is None else CACHE_SECONDS))
        return self._entries[key]


def _find_name(uid: int) -> str | None:
    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except (KeyError, OverflowError):
        _raise_if_out_of_descriptors()
        return None


def _find_uid(name: str) -> int | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, UnicodeEncodeError):
        _raise_if_out_of_descriptors()
        return None


def _raise_if_out_of_descriptors() -> None:
    """Raise CollectorError if no file can be opened. Every lookup reports that there is no account then."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise CollectorError(
            f"cannot be looked up: {error.strerror}; find what has so many files open, or raise LimitNOFILE"
        ) from None
