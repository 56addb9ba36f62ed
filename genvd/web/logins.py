"""Passwords: checked one at a time, in a thread of their own, and never so many that it costs the machine much.

A password that was right once is known from then on, so that a scraper pays for it once; and so is one that was wrong,
so that nobody is delayed by it twice. Who waits for whom: :mod:`genvd.web.login_queue`.
"""

from __future__ import annotations

import base64
import binascii
import enum
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.error_log import ErrorLog
from genvd.web.bcrypt_hash import cost
from genvd.web.login_queue import Credentials, Entry, LoginQueue, line_of

if TYPE_CHECKING:
    from genvd.web.connection import Connection
    from genvd.web.renderer import Post
    from genvd.web.request import Headers

log = logging.getLogger(__name__)


class Outcome(enum.Enum):
    """What became of credentials."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    UNCHECKED = enum.auto()
    """Somebody else got the place in the line."""


Checked = Callable[["Connection", Outcome], None]

SHARE = 0.25
"""Of one processor core, at most, goes into wrong passwords."""

MOST_KNOWN = 1024
"""Passwords that were right and are remembered, as digests; and as many that were wrong."""

_MOST_BYTES = 72
"""Of a password count; bcrypt sees no more."""

_MAX_AUTHORIZATION_CHARACTERS = 1024
"""Of the field. A name and the bytes of a password that count need a fraction of it."""

_NOBODYS = "." * 53


@dataclass(frozen=True, slots=True)
class Waiter:
    """What a connection waits for."""

    checked: Checked
    post: Post


def credentials(headers: Headers) -> Credentials | None:
    """Return what a client says in the Authorization field (RFC 7617), None if that is nothing of use."""
    fields = headers.get_all("authorization")
    if len(fields) != 1 or len(fields[0]) > _MAX_AUTHORIZATION_CHARACTERS:
        return None
    scheme, _, value = fields[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    if not colon or b"\0" in password:  # which bcrypt cannot have hashed
        return None
    return Credentials(user.decode("utf-8", "backslashreplace"), password[:_MOST_BYTES])


class Logins:
    """Who may come in."""

    def __init__(self) -> None:
        self._users: Mapping[str, str] = {}
        self._most_cost = 0
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        self._wrong: OrderedDict[bytes, bool] = OrderedDict()
        self._queue = LoginQueue()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._errors = ErrorLog(log)  # of its thread

    def let_in(self, users: Mapping[str, str]) -> None:
        """Say who may come in: names, and passwords hashed with bcrypt."""
        self._users = users
        self._most_cost = max(map(cost, users.values()), default=0)

    def known(self, given: Credentials) -> Outcome | None:
        """Return what these credentials were found to be before, if that still holds; None if it is not known."""
        return self._known_of(self._digest(given))

    def check(self, given: Credentials, connection: Connection, checked: Checked, post: Post) -> bool:
        """Have a password checked when its turn comes; return whether it may wait for that.

        Args:
            given: what is to be checked.
            connection: who gave it.
            checked: what to call with the outcome.
            post: brings the connection back to the thread that serves it.
        """
        entry = Entry(self._digest(given), given, line_of(connection.address))
        with self._changed:
            waits, left = self._queue.join(entry, connection, Waiter(checked, post))
            if waits and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="passwords", daemon=True)
                self._thread.start()
            self._changed.notify()
        if left:
            _tell(left, Outcome.UNCHECKED)
        return waits

    def forget(self, connection: Connection) -> None:
        """Do not check what a connection gave; it has gone, or waited for too long."""
        with self._changed:
            self._queue.leave(connection)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                entry = self._queue.take()
            started = time.thread_time()
            try:
                outcome = self._outcome(entry.given)
            except Exception as error:
                self._errors.defect("check", "checking a password", error)
                outcome = Outcome.WRONG
            else:
                self._errors.clear("check", "passwords are checked again")
            _tell(entry, outcome)
            if outcome is not Outcome.RIGHT:
                time.sleep((time.thread_time() - started) * (1 / SHARE - 1))

    def _known_of(self, digest: bytes) -> Outcome | None:
        for known, outcome in ((self._known, Outcome.RIGHT), (self._wrong, Outcome.WRONG)):
            with suppress(KeyError):
                known.move_to_end(digest)
                return outcome
        return None

    def _outcome(self, given: Credentials) -> Outcome:
        digest = self._digest(given)
        if known := self._known_of(digest):  # since it came into the line
            return known
        right = self._is_right(given)
        remembered = self._known if right else self._wrong
        remembered[digest] = right
        while len(remembered) > MOST_KNOWN:
            remembered.popitem(last=False)
        return Outcome.RIGHT if right else Outcome.WRONG

    def _is_right(self, given: Credentials) -> bool:
        stored = self._users.get(given.user)
        if _matches(given.password, stored or _hash_of(self._most_cost)) and stored is not None:
            return True
        # A cheaper hash must not tell that there is such a user: what is missing to the dearest one is added. Each
        # step of cost doubles the work.
        for step in range(cost(stored) if stored else self._most_cost, self._most_cost):
            _matches(given.password, _hash_of(step))
        return False

    def _digest(self, given: Credentials) -> bytes:
        """Return what is remembered of credentials; it is of no use to anybody, and ends with the hash."""
        import hashlib  # only where there are users: it takes megabytes for OpenSSL

        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (given.user.encode(), self._users.get(given.user, "").encode(), given.password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


def _hash_of(steps: int) -> str:
    """Return a hash of that cost, of no password that anybody has."""
    return f"$2b${steps:02}${_NOBODYS}"


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # only where there are users

    return bool(bcrypt.checkpw(password, hashed.replace("$2y$", "$2b$").encode()))  # the same thing (crypt(5))


def _tell(entry: Entry, outcome: Outcome) -> None:
    for connection, waiter in list(entry.waiting.items()):
        waiter.post(connection, _answer(waiter.checked, outcome))


def _answer(checked: Checked, outcome: Outcome) -> Callable[[Connection], None]:
    return lambda connection: checked(connection, outcome)
