"""HTTP basic authentication (RFC 7617): one password is checked at a time, in a separate thread.

Results are cached, so the credentials of a scraper are checked only once, and so is each wrong password.
:mod:`genvd.web.login_queue` decides on the order of the checks.
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
"""The share of one CPU core that may be spent on wrong passwords."""

MAX_CACHED = 1024
"""The number of correct credentials whose digests are cached, and also of wrong ones."""

_MAX_PASSWORD_BYTES = 72
"""bcrypt ignores the bytes of a password after these."""

_MAX_AUTHORIZATION_CHARACTERS = 1024
"""Maximum length of the Authorization field. A user name and the significant bytes of a password need much less."""

_UNMATCHABLE_DIGEST = "." * 53


def parse_credentials(headers: Headers) -> Credentials | None:
    """Return the credentials in the Authorization field (RFC 7617); None if it is missing or invalid."""
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
    if not colon or b"\0" in password:  # bcrypt cannot hash null bytes
        return None
    return Credentials(user.decode("utf-8", "backslashreplace"), password[:_MAX_PASSWORD_BYTES])


class BasicAuth:
    """The users, and a cache of credentials that were checked before."""

    def __init__(self) -> None:
        self._users: Mapping[str, str] = {}
        self._max_cost = 0
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, bool] = OrderedDict()
        self._wrong: OrderedDict[bytes, bool] = OrderedDict()
        """The digests of credentials with this result, the least recently used first."""

    def set_users(self, users: Mapping[str, str]) -> None:
        """Replace the users, given as names with bcrypt hashes."""
        self._users = users
        self._max_cost = max(map(bcrypt_cost, users.values()), default=0)

    def cached_outcome(self, credentials: Credentials) -> Outcome | None:
        """Return the cached result for these credentials; None if there is none, or if the user's hash has changed."""
        digest = self.digest(credentials)
        for cached, outcome in ((self._right, Outcome.RIGHT), (self._wrong, Outcome.WRONG)):
            with suppress(KeyError):
                cached.move_to_end(digest)
                return outcome
        return None

    def verify(self, credentials: Credentials) -> bool:
        """Return whether the password is correct. An unknown user takes as long as a wrong password."""
        stored = self._users.get(credentials.user)
        if _matches(credentials.password, stored or _dummy_hash(self._max_cost)) and stored is not None:
            return True
        # Hashes of different costs must not reveal which users exist, so the difference to the highest cost is spent
        # on dummy hashes. Each step of cost doubles the work.
        for step in range(bcrypt_cost(stored) if stored else self._max_cost, self._max_cost):
            _matches(credentials.password, _dummy_hash(step))
        return False

    def cache(self, digest: bytes, *, right: bool) -> None:
        """Cache the result for credentials. Their digest must have been computed before they were checked."""
        cached = self._right if right else self._wrong
        cached[digest] = right
        while len(cached) > MAX_CACHED:
            cached.popitem(last=False)

    def digest(self, credentials: Credentials) -> bytes:
        """Return the cache key of credentials: a keyed digest that changes with the user's hash."""
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (credentials.user.encode(), self._users.get(credentials.user, "").encode(), credentials.password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class PasswordChecker:
    """Checks credentials that are not cached yet, one after the other, for the requests of one event loop."""

    def __init__(self, basic_auth: BasicAuth) -> None:
        self._basic_auth = basic_auth
        self._queue = LoginQueue()
        self._executor = ThreadPoolExecutor(1, "passwords")
        self._running: asyncio.Task[None] | None = None
        self._errors = ErrorLog(log)

    async def check(self, credentials: Credentials, address: str) -> Outcome:
        """Return the result for credentials that a client at this address sent. It may have to wait for its turn."""
        cached = self._basic_auth.cached_outcome(credentials)
        if cached is not None:
            return cached
        waiter = asyncio.get_running_loop().create_future()
        entry = Entry(self._basic_auth.digest(credentials), credentials, client_group(address))
        queued, evicted = self._queue.join(entry, waiter)
        if evicted:
            _resolve(evicted, Outcome.UNCHECKED)
        if not queued:
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
            entry = self._queue.pop()
            outcome, seconds = await loop.run_in_executor(self._executor, self._check, entry.credentials)
            _resolve(entry, outcome)
            if outcome is not Outcome.RIGHT:
                await asyncio.sleep(seconds * (1 / MAX_CPU_SHARE - 1))
        self._running = None

    def _check(self, credentials: Credentials) -> tuple[Outcome, float]:
        """Return the result and the CPU seconds that it took."""
        if cached := self._basic_auth.cached_outcome(credentials):  # checked since it was queued
            return cached, 0.0
        started = time.thread_time()
        digest = self._basic_auth.digest(credentials)
        try:
            right = self._basic_auth.verify(credentials)
        except Exception as error:
            self._errors.defect("check", "checking a password", error)
            right = False
        else:
            self._errors.clear("check", "password checks work again")
            self._basic_auth.cache(digest, right=right)
        return (Outcome.RIGHT if right else Outcome.WRONG), time.thread_time() - started

    def close(self) -> None:
        """Stop checking, without waiting for the check in progress."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _dummy_hash(steps: int) -> str:
    """Return a bcrypt hash of that cost that no password matches."""
    return f"$2b${steps:02}${_UNMATCHABLE_DIGEST}"


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # an optional dependency, needed only with users

    return bool(bcrypt.checkpw(password, hashed.replace("$2y$", "$2b$").encode()))  # both mean the same (crypt(5))


def _resolve(entry: Entry, outcome: Outcome) -> None:
    for waiter in entry.waiting:
        if not waiter.done():
            waiter.set_result(outcome)
