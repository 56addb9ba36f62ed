"""Accounts of the machine: which username a uid has, and which uid a username.

They may come over the network (LDAP), so an answer can take long or never come; that is why this is a collector of its
own. Names are asked for sparingly, as users can make up any number of them.
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

KEPT_SECONDS, KEPT_NOTHING_SECONDS = 300.0, 30.0
"""For so long an account stands, and that there is none: directories that do not answer say that too."""

NEW_UIDS, NEW_NAMES = 4096, 64
"""So many are looked up in one reading at most; the others have to wait for the next ones."""

_LOOKUP_SECONDS = 1.0
"""Once a reading has taken so long, it looks up no more: what it has is worth more than what is missing."""

_MOST_KEPT = 16384
_NAME = re.compile(r"[^\s:/\x00-\x1f\x7f]{1,256}")
"""What may be an account's name somewhere: no separator of /etc/passwd or of paths."""


class AccountCollector:
    """The accounts of this machine, through the name service switch (getpwuid(3), getpwnam(3))."""

    name = "accounts"

    def __init__(self) -> None:
        self._names = _Answers[int, str](_name_of, NEW_UIDS)
        self._uids = _Answers[str, int](_uid_of, NEW_NAMES)

    def collect(self, request: AccountRequest) -> AccountFacts:
        """Answer the request as far as there is time for."""
        deadline = time.monotonic() + _LOOKUP_SECONDS
        names = self._names.to(sorted(request.uids), deadline)
        # The name that the account has needs no second look; another one may be its alias, or of another account.
        odd = sorted({name for uid, name in request.claims if uid in names and names[uid] != name})
        return AccountFacts(names, self._uids.to(odd, deadline))


class _Answers(Generic[K, V]):
    """Answers that are kept for a while."""

    def __init__(self, look_up: Callable[[K], V | None], most_new: int) -> None:
        self._look_up: Callable[[K], V | None] = look_up
        self._most_new = most_new
        self._kept: dict[K, tuple[V | None, float]] = {}

    def to(self, keys: Iterable[K], deadline: float) -> dict[K, V | None]:
        """Return the answers that there are or that can be had before the deadline."""
        now = time.monotonic()
        found: dict[K, V | None] = {}
        new = 0
        for key in keys:
            kept = self._kept.get(key)
            if (kept is None or kept[1] <= now) and new < self._most_new and time.monotonic() < deadline:
                new += 1
                kept = self._renew(key, now)
            if kept is not None:
                found[key] = kept[0]
        return found

    def _renew(self, key: K, now: float) -> tuple[V | None, float]:
        while len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]  # the oldest
        self._kept.pop(key, None)
        answer = self._look_up(key)
        self._kept[key] = (answer, now + (KEPT_NOTHING_SECONDS if answer is None else KEPT_SECONDS))
        return self._kept[key]


def _name_of(uid: int) -> str | None:
    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except (KeyError, OverflowError):
        _check_that_files_can_be_opened()
        return None


def _uid_of(name: str) -> int | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, UnicodeEncodeError):
        _check_that_files_can_be_opened()
        return None


def _check_that_files_can_be_opened() -> None:
    """Raise CollectorError where there is no descriptor left: then nobody seems to have an account."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise CollectorError(
            f"cannot be looked up: {error.strerror}; see who has so many files open, or raise LimitNOFILE"
        ) from None
