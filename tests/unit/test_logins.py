"""Passwords: who waits for whom, and what a wrong one tells."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import bcrypt
import pytest

from genvd.web import logins
from genvd.web.connection import Connection
from genvd.web.logins import Credentials, Logins, cost, credentials
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


def test_lines_take_turns(connect: Callable[[str], Connection]) -> None:
    """With a thousand waiting at one address, who comes from another one waits for a few of them only."""
    checked: list[str] = []
    begun = threading.Event()
    go_on = threading.Event()
    door = Logins()
    door.let_in({"good": hashed("right")})

    def note(connection: Connection, right: bool) -> None:
        begun.set()
        go_on.wait(30)
        checked.append(f"{connection.address} {right}")

    flood = [connect("192.0.2.1") for _ in range(1000)]
    for number, connection in enumerate(flood):
        door.check(Credentials("good", b"%d" % number), connection, note, post)
    assert begun.wait(30)
    door.check(Credentials("good", b"right"), connect("192.0.2.2"), note, post)
    go_on.set()
    wait_for(lambda: "192.0.2.2 True" in checked, "the good one gets in")
    assert len(checked) < 100
    for connection in flood:
        door.forget(connection)


def test_who_goes_away_is_not_checked(connect: Callable[[str], Connection]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    checked: list[Connection] = []
    door = Logins()
    door.let_in({"good": hashed("right")})

    def note(connection: Connection, right: bool) -> None:
        begun.set()
        go_on.wait(30)
        checked.append(connection)

    first, gone, last = (connect("192.0.2.1") for _ in range(3))
    door.check(Credentials("good", b"x"), first, note, post)
    assert begun.wait(30)
    for connection in (gone, last):
        door.check(Credentials("good", b"x"), connection, note, post)
    door.forget(gone)
    go_on.set()
    wait_for(lambda: len(checked) == 2, "both that stayed")
    assert checked == [first, last]


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
    assert not door.knows(given)
    assert door._is_right(given)
    assert door.knows(given)
    assert not any(b"right" in remembered for remembered in door._known)
    assert not door.knows(Credentials("good", b"wrong"))
    door.let_in({"good": hashed("right")})
    assert not door.knows(given)
    door.let_in({})
    assert not door.knows(given)


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_KNOWN", 2)
    door = Logins()
    door.let_in({name: hashed(name) for name in "abc"})
    for name in "abc":
        assert door._is_right(Credentials(name, name.encode()))
    assert [door.knows(Credentials(name, name.encode())) for name in "abc"] == [False, True, True]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_everybody_of_a_network_is_in_one_line(address: str, line: str) -> None:
    assert logins._line(address) in (line, line.replace("192.0.2.1", "c000:201"))


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
        ("Digest YTpi", None),
    ],
)
def test_credentials(value: str, expected: Credentials | None) -> None:
    assert credentials(Headers((("authorization", value),))) == expected


def test_credentials_are_given_once() -> None:
    value = "Basic " + base64.b64encode(b"a:b").decode()
    assert credentials(Headers((("authorization", value),) * 2)) is None
    assert credentials(Headers()) is None
