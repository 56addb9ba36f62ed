"""Passwords: checked one at a time, in a thread of their own, and never so many that it costs the machine much.

A password that was right once is known from then on, so that a scraper pays for it once; and so is one that was wrong,
so that nobody is delayed by it twice. Who waits for whom: :mod:`genvd.web.login_queue`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.config.web import bcrypt_cost
from genvd.web.login_queue import Credentials, Entry, LoginQueue, Outcome, client_group

if TYPE_CHECKING:
    from genvd.web.request import Headers

log = logging.getLogger(__name__)


MAX_CPU_SHARE = 0.25
"""Of one processor core, at most, goes into wrong passwords."""

MAX_CACHED = 1024
"""Passwords that were right and are remembered, as digests; and as many that were wrong."""

_MAX_PASSWORD_BYTES = 72
"""Of a password count; bcrypt sees no more."""

_MAX_AUTHORIZATION_CHARACTERS = 1024
"""Of the field. A name and the bytes of a password that count need a fraction of it."""

_UNMATCHABLE_DIGEST = "." * 53


def parse_credentials(headers: Headers) -> Credentials | None:
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
    return Credentials(user.decode("utf-8", "backslashreplace"), password[:_MAX_PASSWORD_BYTES])


class BasicAuth:
    """Who may come in, and which credentials were right or wrong before."""

    def __init__(self) -> None:
        self._users: Mapping[str, str] = {}
        self._most_cost = 0
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, bool] = OrderedDict()
        self._wrong: OrderedDict[bytes, bool] = OrderedDict()

    def set_users(self, users: Mapping[str, str]) -> None:
        """Say who may come in: names, and passwords hashed with bcrypt."""
        self._users = users
        self._most_cost = max(map(bcrypt_cost, users.values()), default=0)

    def cached_outcome(self, credentials: Credentials) -> Outcome | None:
        """Return what these credentials were found to be before, if that still holds; None if it is not known."""
        digest = self.digest(credentials)
        for known, outcome in ((self._right, Outcome.RIGHT), (self._wrong, Outcome.WRONG)):
            with suppress(KeyError):
                known.move_to_end(digest)
                return outcome
        return None

    def verify(self, credentials: Credentials) -> bool:
        """Tell whether the password is right, which takes as long whether there is such a user or not."""
        stored = self._users.get(credentials.user)
        if _matches(credentials.password, stored or _decoy_hash(self._most_cost)) and stored is not None:
            return True
        # A cheaper hash must not tell that there is such a user: what is missing to the dearest one is added. Each
        # step of cost doubles the work.
        for step in range(bcrypt_cost(stored) if stored else self._most_cost, self._most_cost):
            _matches(credentials.password, _decoy_hash(step))
        return False

    def cache(self, digest: bytes, *, right: bool) -> None:
        """Remember what was found of credentials, whose digest was made before they were checked."""
        remembered = self._right if right else self._wrong
        remembered[digest] = right
        while len(remembered) > MAX_CACHED:
            remembered.popitem(last=False)

    def digest(self, credentials: Credentials) -> bytes:
        """Return what is remembered of credentials; it is of no use to anybody, and ends with the hash."""
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (credentials.user.encode(), self._users.get(credentials.user, "").encode(), credentials.password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class PasswordChecker:
    """Checks what is not known yet, one after the other, for the requests of one event loop."""

    def __init__(self, basic_auth: BasicAuth) -> None:
        self._basic_auth = basic_auth
        self._queue = LoginQueue()
        self._executor = ThreadPoolExecutor(1, "passwords")
        self._running: asyncio.Task[None] | None = None
        self._errors = ErrorLog(log)

    async def check(self, credentials: Credentials, address: str) -> Outcome:
        """Return what becomes of credentials that a client at this address gives, once it is their turn."""
        known = self._basic_auth.cached_outcome(credentials)
        if known is not None:
            return known
        waiter = asyncio.get_running_loop().create_future()
        entry = Entry(self._basic_auth.digest(credentials), credentials, client_group(address))
        waits, left = self._queue.join(entry, waiter)
        if left:
            _resolve(left, Outcome.UNCHECKED)
        if not waits:
            return Outcome.UNCHECKED
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            return Outcome(await waiter)
        finally:
            self._queue.leave(waiter)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            entry = self._queue.take()
            outcome, seconds = await loop.run_in_executor(self._executor, self._check, entry.credentials)
            _resolve(entry, outcome)
            if outcome is not Outcome.RIGHT:
                await asyncio.sleep(seconds * (1 / MAX_CPU_SHARE - 1))
        self._running = None

    def _check(self, credentials: Credentials) -> tuple[Outcome, float]:
        """Return the outcome, and the seconds of a processor core that it took."""
        if known := self._basic_auth.cached_outcome(credentials):  # since it came into the line
            return known, 0.0
        started = time.thread_time()
        digest = self._basic_auth.digest(credentials)
        try:
            right = self._basic_auth.verify(credentials)
        except Exception as error:
            self._errors.defect("check", "checking a password", error)
            right = False
        else:
            self._errors.clear("check", "passwords are checked again")
            self._basic_auth.cache(digest, right=right)
        return (Outcome.RIGHT if right else Outcome.WRONG), time.thread_time() - started

    def close(self) -> None:
        """Check nothing further; it is not waited for what is being checked."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _decoy_hash(steps: int) -> str:
    """Return a hash of that cost, of no password that anybody has."""
    return f"$2b${steps:02}${_UNMATCHABLE_DIGEST}"


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # only where there are users

    return bool(bcrypt.checkpw(password, hashed.replace("$2y$", "$2b$").encode()))  # the same thing (crypt(5))


def _resolve(entry: Entry, outcome: Outcome) -> None:
    for waiter in entry.waiting:
        if not waiter.done():
            waiter.set_result(outcome)
