"""Passwords: who waits for whom, and what a wrong one tells."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import bcrypt
import pytest

from genvd.web import logins
from genvd.web.bcrypt_hash import cost
from genvd.web.connection import Connection
from genvd.web.login_queue import MOST_CONNECTIONS, MOST_CREDENTIALS, Credentials, line_of
from genvd.web.logins import Logins, Outcome, credentials
from genvd.web.request import Headers
from genvd.web.transport import Plain
from tests.support.waiting import wait_for


def hashed(password: str, rounds: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Connection]]:
    with ExitStack() as stack:

        def make(address: str) -> Connection:
            ours = stack.enter_context(closing(socket.socket()))
            return Connection(ours, address, Plain(ours), None)

        yield make


def post(connection: Connection, what: Callable[[Connection], None]) -> None:
    what(connection)


class Door(Logins):
    """One that checks nothing until it is opened, and writes down what becomes of whom."""

    def __init__(self, users: dict[str, str]) -> None:
        super().__init__()
        self.let_in(users)
        self.outcomes: list[tuple[Connection, Outcome]] = []
        self.opened = threading.Event()
        self.ended = False

    def knock(self, connection: Connection, password: str, user: str = "good") -> bool:
        return self.check(Credentials(user, password.encode()), connection, self._note, post)

    def outcome(self, connection: Connection) -> Outcome | None:
        return next((outcome for of, outcome in self.outcomes if of is connection), None)

    def _note(self, connection: Connection, outcome: Outcome) -> None:
        self.outcomes.append((connection, outcome))

    def _is_right(self, given: Credentials) -> bool:
        assert self.opened.wait(30)
        return not self.ended and super()._is_right(given)


@pytest.fixture
def door(connect: Callable[[str], Connection]) -> Iterator[Door]:
    """A closed door, whose thread is at somebody's password already."""
    door = Door({"good": hashed("right"), "late": hashed("right")})
    assert door.knock(connect("198.51.100.1"), "first")
    wait_for(lambda: not door._queue, "the first is being checked")
    yield door
    door.ended = True  # no other test is to see its work
    door.opened.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in the queue, which stands still unless a test moves it."""
    now = [1000.0]
    monkeypatch.setattr("genvd.web.login_queue.time.monotonic", lambda: now[0])
    return now


Connect = Callable[[str], Connection]


def test_the_line_of_an_address_is_bounded(door: Door, connect: Connect) -> None:
    """All of 127.0.0.0/8 is one address; who comes from elsewhere is not concerned."""
    taken = [door.knock(connect(f"127.{number % 256}.0.1"), f"wrong {number}") for number in range(450)]
    assert taken == [True] * MOST_CREDENTIALS + [False] * (450 - MOST_CREDENTIALS)
    same = [door.knock(connect("192.0.2.1"), "wrong") for _ in range(450)]
    assert same == [True] * MOST_CONNECTIONS + [False] * (450 - MOST_CONNECTIONS)
    other = connect("192.0.2.2")
    assert door.knock(other, "right")
    door.opened.set()
    wait_for(lambda: door.outcome(other) is Outcome.RIGHT, "it gets in")


@pytest.mark.parametrize("kind", ["other ones each time", "the same ones again and again"])
def test_a_flood_locks_out_no_scraper_of_the_same_address(
    door: Door, connect: Connect, clock: list[float], kind: str
) -> None:
    """It is turned away once, and gets in when it comes back: it was away for longer than the flood."""
    turns = itertools.count()

    def flood() -> None:
        turn = next(turns)
        for number in range(450):
            password = f"{number}" if kind.startswith("the same") else f"{turn}-{number}"
            door.knock(connect("127.0.0.1"), password)

    def comes_back() -> Connection | None:
        for _ in range(10):
            clock[0] += 1
            flood()
        scraper = connect("127.0.0.1")
        return scraper if door.knock(scraper, "right") else None

    flood()
    assert not door.knock(connect("127.0.0.1"), "right")
    # Of a flood this large it is forgotten now and then that the scraper was there before, which costs an attempt.
    scraper = comes_back() or comes_back() or comes_back()
    assert scraper, "it takes the place of one of the flood"
    clock[0] += 1
    flood()
    door.opened.set()
    wait_for(lambda: door.outcome(scraper) is Outcome.RIGHT, "it gets in")
    assert Outcome.UNCHECKED in {outcome for _, outcome in door.outcomes}, "who had to go was not told"


def test_who_is_known_to_be_wrong_delays_nobody_again(door: Door, connect: Connect) -> None:
    wrong = connect("127.0.0.1")
    assert door.knock(wrong, "wrong")
    door.opened.set()
    wait_for(lambda: door.outcome(wrong) is Outcome.WRONG, "it is checked")
    assert door.known(Credentials("good", b"wrong")) is Outcome.WRONG
    assert door.known(Credentials("late", b"wrong")) is None
    door.let_in({"good": hashed("wrong")})
    assert door.known(Credentials("good", b"wrong")) is None, "it is right by now"


def test_who_goes_away_is_not_checked(door: Door, connect: Connect) -> None:
    gone, last = connect("192.0.2.1"), connect("192.0.2.1")
    assert door.knock(gone, "x")
    assert door.knock(last, "y")
    door.forget(gone)
    door.forget(gone)
    door.opened.set()
    wait_for(lambda: door.outcome(last), "who stayed is checked")
    assert door.outcome(gone) is None
    assert not door._queue


def test_all_who_wait_for_the_same_get_to_know_it(door: Door, connect: Connect) -> None:
    several = [connect("192.0.2.1") for _ in range(3)]
    assert all(door.knock(connection, "right") for connection in several)
    door.forget(several[0])
    door.opened.set()
    wait_for(lambda: len(door.outcomes) == 3, "the first and two of them")
    assert [door.outcome(connection) for connection in several] == [None, Outcome.RIGHT, Outcome.RIGHT]


@pytest.mark.parametrize("user", ["cheap", "dear", "nobody"])
def test_each_wrong_password_is_the_same_work(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    work: list[int] = []

    def matches(_: bytes, stored: str) -> bool:
        work.append(1 << cost(stored))
        return False

    monkeypatch.setattr(logins, "_matches", matches)
    door = Logins()
    door.let_in({"cheap": hashed("a", 4), "dear": hashed("b", 8)})
    assert not door._is_right(Credentials(user, b"x"))
    assert sum(work) == 1 << 8


def test_the_hash_of_nobody_is_one_that_bcrypt_takes() -> None:
    for steps in (4, 5):
        assert not logins._matches(b"x", logins._hash_of(steps))


def test_what_is_remembered_is_no_password_and_ends_with_its_hash() -> None:
    door = Logins()
    door.let_in({"good": hashed("right")})
    given = Credentials("good", b"right")
    assert door.known(given) is None
    assert door._outcome(given) is Outcome.RIGHT
    assert door.known(given) is Outcome.RIGHT
    assert not any(b"right" in remembered for remembered in door._known)
    assert door.known(Credentials("good", b"wrong")) is None
    door.let_in({"good": hashed("right")})
    assert door.known(given) is None
    door.let_in({})
    assert door.known(given) is None


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_KNOWN", 2)
    door = Logins()
    door.let_in({name: hashed(name) for name in "abc"})
    for name in "abc":
        assert door._outcome(Credentials(name, name.encode())) is Outcome.RIGHT
        assert door._outcome(Credentials(name, b"wrong")) is Outcome.WRONG
    for password, outcome in ((None, Outcome.RIGHT), (b"wrong", Outcome.WRONG)):
        known = [door.known(Credentials(name, password or name.encode())) for name in "abc"]
        assert known == [None, outcome, outcome]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "localhost"),
        ("127.255.3.4", "localhost"),
        ("::ffff:127.1.2.3", "localhost"),
        ("::1", "localhost"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_everybody_of_a_network_is_in_one_line(address: str, line: str) -> None:
    assert line_of(address) == line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic " + base64.b64encode(b"a:b:c").decode(), Credentials("a", b"b:c")),
        ("basic  " + base64.b64encode("ü:ü".encode()).decode(), Credentials("ü", "ü".encode())),
        ("Basic " + base64.b64encode(b":").decode(), Credentials("", b"")),
        ("Basic " + base64.b64encode(b"a:" + b"x" * 100).decode(), Credentials("a", b"x" * 72)),
        ("Basic " + base64.b64encode(b"a:\0").decode(), None),
        ("Basic " + base64.b64encode(b"a").decode(), None),
        ("Basic \xff", None),
        ("Basic " + base64.b64encode(b"a:" + b"x" * 800).decode(), None),
        ("Digest YTpi", None),
    ],
)
def test_credentials(value: str, expected: Credentials | None) -> None:
    assert credentials(Headers((("authorization", value),))) == expected


def test_credentials_are_given_once() -> None:
    value = "Basic " + base64.b64encode(b"a:b").decode()
    assert credentials(Headers((("authorization", value),) * 2)) is None
    assert credentials(Headers()) is None
