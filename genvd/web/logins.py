"""Passwords: checked one at a time, in a thread of their own, and never so many that it costs the machine much.

A password that was right once is known from then on, so that a scraper pays for it once. Whoever floods the server
with wrong ones waits in line with his own address: the lines take turns, and within a line chance decides.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.error_log import ErrorLog

if TYPE_CHECKING:
    from genvd.web.connection import Connection
    from genvd.web.renderer import Post
    from genvd.web.request import Headers

log = logging.getLogger(__name__)

Checked = Callable[["Connection", bool], None]

SHARE = 0.25
"""Of one processor core, at most, goes into wrong passwords."""

MOST_KNOWN = 1024
"""Passwords that were right and are remembered, as digests."""

_MOST_BYTES = 72
"""Of a password count; bcrypt sees no more."""

_MAX_AUTHORIZATION_CHARACTERS = 1024
"""Of the field. A name and the bytes of a password that count need a fraction of it."""

_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_NOBODYS = "." * 53


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be, and the password for it."""

    user: str
    password: bytes


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
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lines: dict[str, dict[Connection, tuple[Credentials, Checked, Post]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._errors = ErrorLog(log)  # of its thread

    def let_in(self, users: Mapping[str, str]) -> None:
        """Say who may come in: names, and passwords hashed with bcrypt."""
        self._users = users
        self._most_cost = max(map(cost, users.values()), default=0)

    def knows(self, given: Credentials) -> bool:
        """Tell whether this was right before, and still is."""
        try:
            self._known.move_to_end(self._digest(given))
        except KeyError:
            return False
        return True

    def check(self, given: Credentials, connection: Connection, checked: Checked, post: Post) -> None:
        """Have a password checked when its turn comes.

        Args:
            given: what is to be checked.
            connection: who gave it.
            checked: what to call with the outcome.
            post: brings the connection back to the thread that serves it.
        """
        with self._changed:
            self._lines.setdefault(_line(connection.address), {})[connection] = (given, checked, post)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="passwords", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, connection: Connection) -> None:
        """Do not check what a connection gave; it has gone, or waited for too long."""
        with self._changed:
            self._leave_line(connection)

    def _run(self) -> None:
        while True:
            connection, (given, checked, post) = self._next()
            started = time.thread_time()
            try:
                right = self._is_right(given)
            except Exception as error:
                self._errors.defect("check", "checking a password", error)
                right = False
            else:
                self._errors.clear("check", "passwords are checked again")
            post(connection, _answer(checked, right))
            if not right:
                time.sleep((time.thread_time() - started) * (1 / SHARE - 1))

    def _next(self) -> tuple[Connection, tuple[Credentials, Checked, Post]]:
        import random  # only where there are users

        with self._changed:
            while not self._lines:
                self._changed.wait()
            line = self._lines[random.choice(list(self._lines))]
            connection = random.choice(list(line))
            entry = line[connection]
            self._leave_line(connection)
            return connection, entry

    def _leave_line(self, connection: Connection) -> None:
        name = _line(connection.address)
        if line := self._lines.get(name):
            line.pop(connection, None)
            if not line:
                del self._lines[name]

    def _is_right(self, given: Credentials) -> bool:
        if self.knows(given):  # since it came into the line
            return True
        digest = self._digest(given)
        stored = self._users.get(given.user)
        right = _matches(given.password, stored or _hash_of(self._most_cost)) and stored is not None
        if right:
            self._known[digest] = None
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            return True
        # A cheaper hash must not tell that there is such a user: what is missing to the dearest one is added. Each
        # step of cost doubles the work.
        for step in range(cost(stored) if stored else self._most_cost, self._most_cost):
            _matches(given.password, _hash_of(step))
        return False

    def _digest(self, given: Credentials) -> bytes:
        """Return what is remembered of right credentials; it is of no use to anybody, and ends with the hash."""
        import hashlib  # only where there are users: it takes megabytes for OpenSSL

        digest = hashlib.blake2b(key=self._key)
        for part in (given.user.encode(), self._users.get(given.user, "").encode(), given.password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


def cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash, of which each step doubles the work; raise ValueError if it is none."""
    match = _HASH.fullmatch(hashed)
    if not match:
        raise ValueError("no bcrypt hash")
    return int(match[1])


def _hash_of(steps: int) -> str:
    """Return a hash of that cost, of no password that anybody has."""
    return f"$2b${steps:02}${_NOBODYS}"


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # only where there are users

    return bool(bcrypt.checkpw(password, hashed.replace("$2y$", "$2b$").encode()))  # the same thing (crypt(5))


def _line(address: str) -> str:
    """Return in which line an address waits: IPv6 addresses by network, since everybody there has many."""
    try:
        numeric = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if numeric.version == 6 and not numeric.ipv4_mapped:
        return str(ipaddress.ip_network((numeric, 64), strict=False))
    return str(numeric)


def _answer(checked: Checked, right: bool) -> Callable[[Connection], None]:
    return lambda connection: checked(connection, right)
