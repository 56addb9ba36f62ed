"""Who waits for a password to be checked: a bounded line for each client address.

Checking a password is slow on purpose, so a flood of wrong ones has to wait, and must not make a scraper wait whose
password is not known yet, even where both come from one address. A scraper comes back with the same credentials after
a while. Who floods either comes back at once, or has other credentials each time. So a place in a line goes to the
credentials that have not been credentials for the longest time since they were turned away.
"""

from __future__ import annotations

import enum
import ipaddress
import random
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    Waiter = asyncio.Future["Outcome"]

MAX_CREDENTIALS = 16
"""That wait in the line of one address."""

MAX_WAITERS = 8
"""Requests that wait for the same credentials."""

_LONGEST_PAUSE = 60.0
"""Seconds. Longer ones count alike, so that nobody gains by preparing for hours."""


class Outcome(enum.Enum):
    """What became of credentials."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    UNCHECKED = enum.auto()
    """There was no place in the line, or somebody else got it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be, and the password for it."""

    user: str
    password: bytes


@dataclass(slots=True, eq=False)
class Entry:
    """Credentials that are to be checked, and who waits for it."""

    digest: bytes
    """Of the credentials, with a key that nobody knows."""
    credentials: Credentials
    line: str
    pause: float = 0.0
    """Seconds between the last time that these credentials were turned away and this one; 0 if they are new."""
    waiting: set[Waiter] = field(default_factory=set)


class LoginQueue:
    """The lines of all addresses. One thread at a time."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[bytes, Entry]] = {}
        self._entries: dict[Waiter, Entry] = {}
        self._rejections = _RejectionTimes()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def join(self, entry: Entry, waiter: Waiter) -> tuple[bool, Entry | None]:
        """Put somebody into the line of an entry.

        Returns:
            Whether there is a place, and an entry that had to leave for it, which is not checked.
        """
        line = self._lines.get(entry.line, {})
        left = None
        if same := line.get(entry.digest):
            if len(same.waiting) >= MAX_WAITERS:
                return False, None
            entry = same
        else:
            entry.pause = self._rejections.pause(entry.digest)
            if len(line) >= MAX_CREDENTIALS:
                left = min(line.values(), key=_pause)
                if left.pause >= entry.pause:
                    self._rejections.note(entry.digest)
                    return False, None
                self._take_out(left)
                self._rejections.note(left.digest)
            self._lines.setdefault(entry.line, {})[entry.digest] = entry
        entry.waiting.add(waiter)
        self._entries[waiter] = entry
        return True, left

    def leave(self, waiter: Waiter) -> None:
        """Take somebody out who has gone or waited for too long; nothing if he does not wait."""
        entry = self._entries.pop(waiter, None)
        if entry is None:
            return
        entry.waiting.discard(waiter)
        if not entry.waiting:
            self._take_out(entry)
            self._rejections.note(entry.digest)

    def take(self) -> Entry:
        """Take out what is to be checked next; there has to be something.

        Every second time, by chance, that is what comes back after the longest pause, wherever it comes from. Otherwise
        addresses take turns, and within one chance decides: so a flood that comes back slowly does not win each time.
        """
        if random.random() < 0.5:
            entries = [entry for line in self._lines.values() for entry in line.values()]
            longest = max(map(_pause, entries))
            entry = random.choice([entry for entry in entries if entry.pause == longest])
        else:
            entry = random.choice(list(self._lines[random.choice(list(self._lines))].values()))
        self._take_out(entry)
        return entry

    def _take_out(self, entry: Entry) -> None:
        for waiter in entry.waiting:
            self._entries.pop(waiter, None)
        line = self._lines[entry.line]
        del line[entry.digest]
        if not line:
            del self._lines[entry.line]


class _RejectionTimes:
    """When credentials were turned away unchecked the last time.

    A table of fixed size: two credentials that fall into one place make each other new, which costs an attempt.
    """

    _PLACES = 1 << 17
    _TICKS = 16
    """For each second."""

    def __init__(self) -> None:
        self._times: array[int] | None = None

    def note(self, digest: bytes) -> None:
        """Note that it is now."""
        if self._times is None:
            self._times = array("Q", bytes(8 * self._PLACES))
        place, mark = _place_and_mark(digest, self._PLACES)
        self._times[place] = mark << 32 | self._now()

    def pause(self, digest: bytes) -> float:
        """Return for how many seconds; 0 if that is not known."""
        place, mark = _place_and_mark(digest, self._PLACES)
        noted = self._times[place] if self._times else 0
        if noted >> 32 != mark:
            return 0.0
        return min(_LONGEST_PAUSE, ((self._now() - noted) & 0xFFFFFFFF) / self._TICKS)

    def _now(self) -> int:
        return int(time.monotonic() * self._TICKS) & 0xFFFFFFFF


def _place_and_mark(digest: bytes, places: int) -> tuple[int, int]:
    """Return where credentials are in the table, and what tells them from others there; never 0, which is nothing."""
    return int.from_bytes(digest[:4], "big") % places, int.from_bytes(digest[4:8], "big") | 1


def _pause(entry: Entry) -> float:
    return entry.pause


def client_group(address: str) -> str:
    """Return in which line an address waits.

    Whoever is on this machine has all of 127.0.0.0/8, and whoever is in an IPv6 network has many addresses of it.
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
