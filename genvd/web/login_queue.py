"""The queue of credentials whose password is to be checked, bounded for each client address.

bcrypt is slow on purpose. A flood of wrong passwords must not delay a scraper whose password is not cached yet, even if
both have the same address. A scraper comes back with the same credentials after its interval; an attacker comes back at
once, or with different credentials each time. So credentials with the longest time since their last rejection win.
"""

from __future__ import annotations

import enum
import ipaddress
import random
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio

    Waiter = asyncio.Future["Outcome"]

MAX_CREDENTIALS = 16
"""Maximum number of different credentials that wait for one client address."""

MAX_WAITERS = 8
"""Maximum number of requests that wait for the same credentials."""

_LONGEST_PAUSE = 60.0
"""Seconds. Longer pauses count the same, so that preparing an attack for hours gains nothing."""


class Outcome(enum.Enum):
    """The result of a password check."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    UNCHECKED = enum.auto()
    """The password was not checked: the queue was full, or other credentials displaced it."""


class Credentials(NamedTuple):
    """A user name and a password, as a client sent them."""

    user: str
    password: bytes


@dataclass(slots=True, eq=False)
class Entry:
    """Credentials to check, and the requests that wait for the result."""

    digest: bytes
    """The keyed digest of the credentials."""
    credentials: Credentials
    group: str
    """The client addresses that share a queue; see :func:`client_group`."""
    pause: float = 0.0
    """Seconds since these credentials were last rejected unchecked; 0 if they are new."""
    waiting: set[Waiter] = field(default_factory=set)


class LoginQueue:
    """The queues of all client groups. Not thread-safe."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[bytes, Entry]] = {}
        """The queued entries, by client group and digest."""
        self._entries: dict[Waiter, Entry] = {}
        self._rejections = _RejectionTimes()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def join(self, entry: Entry, waiter: Waiter) -> tuple[bool, Entry | None]:
        """Add a waiter for an entry, and the entry if it is new.

        Returns:
            Whether the waiter was added, and an entry that was removed unchecked to make room.
        """
        group = self._groups.get(entry.group, {})
        evicted = None
        if same := group.get(entry.digest):
            if len(same.waiting) >= MAX_WAITERS:
                return False, None
            entry = same
        else:
            entry.pause = self._rejections.pause(entry.digest)
            if len(group) >= MAX_CREDENTIALS:
                evicted = min(group.values(), key=_pause)
                if evicted.pause >= entry.pause:
                    self._rejections.record(entry.digest)
                    return False, None
                self._remove(evicted)
                self._rejections.record(evicted.digest)
            self._groups.setdefault(entry.group, {})[entry.digest] = entry
        entry.waiting.add(waiter)
        self._entries[waiter] = entry
        return True, evicted

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter that disconnected or timed out; do nothing if it does not wait."""
        entry = self._entries.pop(waiter, None)
        if entry is None:
            return
        entry.waiting.discard(waiter)
        if not entry.waiting:
            self._remove(entry)
            self._rejections.record(entry.digest)

    def pop(self) -> Entry:
        """Remove and return the next entry to check. The queue must not be empty.

        At random, half of the time this is the entry with the longest pause of all groups. Otherwise it is a random
        entry of a random group, so that a flood that comes back slowly does not win each time.
        """
        if random.random() < 0.5:
            entries = [entry for group in self._groups.values() for entry in group.values()]
            longest = max(map(_pause, entries))
            entry = random.choice([entry for entry in entries if entry.pause == longest])
        else:
            entry = random.choice(list(self._groups[random.choice(list(self._groups))].values()))
        self._remove(entry)
        return entry

    def _remove(self, entry: Entry) -> None:
        for waiter in entry.waiting:
            self._entries.pop(waiter, None)
        group = self._groups[entry.group]
        del group[entry.digest]
        if not group:
            del self._groups[entry.group]


class _RejectionTimes:
    """The time of the last unchecked rejection of credentials.

    A hash table of fixed size. If two credentials share a slot, the older one counts as new, which costs it an attempt.
    """

    _SLOTS = 1 << 17
    _TICKS = 16
    """Clock ticks per second."""

    def __init__(self) -> None:
        self._times: array[int] | None = None

    def record(self, digest: bytes) -> None:
        """Record a rejection now."""
        if self._times is None:
            self._times = array("Q", bytes(8 * self._SLOTS))
        slot, mark = _slot_and_mark(digest, self._SLOTS)
        self._times[slot] = mark << 32 | self._now()

    def pause(self, digest: bytes) -> float:
        """Return the seconds since the last rejection; 0 if there is none."""
        slot, mark = _slot_and_mark(digest, self._SLOTS)
        noted = self._times[slot] if self._times else 0
        if noted >> 32 != mark:
            return 0.0
        return min(_LONGEST_PAUSE, ((self._now() - noted) & 0xFFFFFFFF) / self._TICKS)

    def _now(self) -> int:
        return int(time.monotonic() * self._TICKS) & 0xFFFFFFFF


def _slot_and_mark(digest: bytes, slots: int) -> tuple[int, int]:
    """Return the slot of credentials, and a mark that distinguishes them from others in it. It is never 0 (empty)."""
    return int.from_bytes(digest[:4], "big") % slots, int.from_bytes(digest[4:8], "big") | 1


def _pause(entry: Entry) -> float:
    return entry.pause


def client_group(address: str) -> str:
    """Return the group of addresses that share a queue.

    One client can use all of 127.0.0.0/8, and many addresses of its IPv6 network.
    """
    try:
        numeric = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(numeric, ipaddress.IPv6Address):
        numeric = numeric.ipv4_mapped or numeric
    if numeric.is_loopback:
        return "localhost"
    if numeric.version == 6:
        return str(ipaddress.ip_network((numeric, 64), strict=False))
    return str(numeric)
