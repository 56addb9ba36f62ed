"""Passwords: the queue, the cache, and the time that a wrong one takes."""

from __future__ import annotations

import asyncio
import base64
import itertools
import threading
import time
from collections.abc import Iterator

import bcrypt
import pytest

from genvd.config.web import bcrypt_cost
from genvd.web import basic_auth, login_queue
from genvd.web.basic_auth import MAX_CPU_SHARE, BasicAuth, PasswordChecker, parse_credentials
from genvd.web.login_queue import MAX_CREDENTIALS, MAX_WAITERS, Credentials, Outcome, client_group
from genvd.web.request import Headers
from tests.support.waiting import wait_for

Waiting = asyncio.Task[Outcome]


def hashed(password: str, rounds: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


class Door(BasicAuth):
    """Authentication that checks nothing until it is opened, with an event loop for the waiting requests."""

    def __init__(self, users: dict[str, str]) -> None:
        super().__init__()
        self.set_users(users)
        self.opened = threading.Event()
        self.ended = False
        self.checks = PasswordChecker(self)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def verify(self, credentials: Credentials) -> bool:
        assert self.opened.wait(30)
        return not self.ended and super().verify(credentials)

    def knock(self, *who: tuple[str, str]) -> list[Waiting]:
        """Send credentials from each address with each password; return the tasks that wait for the results."""

        async def begin() -> list[Waiting]:
            credentials = [(address, Credentials("good", password.encode())) for address, password in who]
            tasks = [asyncio.create_task(self.checks.check(one, address)) for address, one in credentials]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return tasks

        return asyncio.run_coroutine_threadsafe(begin(), self.loop).result(20)

    def go_away(self, task: Waiting) -> None:
        self.loop.call_soon_threadsafe(task.cancel)
        wait_for(task.done, "it is gone")

    def end(self) -> None:
        self.ended = True
        self.opened.set()
        self.checks.close()

        async def cancel() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def door() -> Iterator[Door]:
    """A closed door, whose thread is already checking a password."""
    door = Door({"good": hashed("right"), "late": hashed("right")})
    door.knock(("198.51.100.1", "first"))
    wait_for(lambda: not door.checks._queue, "the first is being checked")
    yield door
    door.end()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in the queue, which stands still unless a test moves it."""
    now = [1000.0]
    monkeypatch.setattr(login_queue._RejectionTimes, "_now", lambda table: int(now[0] * table._TICKS))
    return now


def outcome(task: Waiting) -> Outcome:
    wait_for(task.done, "the password is checked")
    return task.result()


def waits(tasks: list[Waiting]) -> list[bool]:
    return [not task.done() for task in tasks]


def test_the_queue_of_an_address_is_bounded(door: Door) -> None:
    """All of 127.0.0.0/8 is one address; who comes from elsewhere is not concerned."""
    taken = door.knock(*((f"127.{number % 256}.0.1", f"wrong {number}") for number in range(450)))
    assert waits(taken) == [True] * MAX_CREDENTIALS + [False] * (450 - MAX_CREDENTIALS)
    assert {task.result() for task in taken if task.done()} == {Outcome.UNCHECKED}
    same = door.knock(*[("192.0.2.1", "wrong")] * 450)
    assert waits(same) == [True] * MAX_WAITERS + [False] * (450 - MAX_WAITERS)
    (other,) = door.knock(("192.0.2.2", "right"))
    assert not other.done()
    door.opened.set()
    assert outcome(other) is Outcome.RIGHT


@pytest.mark.parametrize("kind", ["other ones each time", "the same ones again and again"])
def test_a_flood_locks_out_no_scraper_of_the_same_address(door: Door, clock: list[float], kind: str) -> None:
    """It is turned away once, and gets in when it comes back: it was away for longer than the flood."""
    turns = itertools.count()
    flooding: list[Waiting] = []

    def flood() -> None:
        turn = "again" if kind.startswith("the same") else next(turns)
        flooding.extend(door.knock(*(("127.0.0.1", f"{turn}-{number}") for number in range(450))))

    def comes_back() -> Waiting | None:
        for _ in range(10):
            clock[0] += 1
            flood()
        waiting[:] = [task for task in flooding if not task.done()]
        (scraper,) = door.knock(("127.0.0.1", "right"))
        return None if scraper.done() else scraper

    flood()
    assert waits(door.knock(("127.0.0.1", "right"))) == [False]
    waiting: list[Waiting] = []
    # Of a flood this large it is forgotten now and then that the scraper was there before, which costs an attempt.
    scraper = comes_back() or comes_back() or comes_back()
    assert scraper, "it takes the place of one of the flood"
    wait_for(lambda: not all(waits(waiting)), "who had to go is told")
    clock[0] += 1
    flood()
    door.opened.set()
    assert outcome(scraper) is Outcome.RIGHT


def test_wrong_credentials_are_checked_only_once(door: Door) -> None:
    (wrong,) = door.knock(("127.0.0.1", "wrong"))
    door.opened.set()
    assert outcome(wrong) is Outcome.WRONG
    assert waits(door.knock(("127.0.0.1", "wrong"))) == [False]
    assert door.cached_outcome(Credentials("good", b"wrong")) is Outcome.WRONG
    assert door.cached_outcome(Credentials("late", b"wrong")) is None
    door.set_users({"good": hashed("wrong")})
    assert door.cached_outcome(Credentials("good", b"wrong")) is None, "it is right by now"


def test_credentials_of_a_client_that_disconnected_are_not_checked(door: Door) -> None:
    gone, last = door.knock(("192.0.2.1", "x"), ("192.0.2.1", "y"))
    door.go_away(gone)
    door.opened.set()
    assert outcome(last) is Outcome.WRONG
    assert door.cached_outcome(Credentials("good", b"x")) is None
    assert not door.checks._queue


def test_all_waiters_for_the_same_credentials_get_the_result(door: Door) -> None:
    several = door.knock(*[("192.0.2.1", "right")] * 3)
    door.go_away(several[0])
    door.opened.set()
    assert [outcome(task) for task in several[1:]] == [Outcome.RIGHT] * 2


@pytest.mark.parametrize("user", ["cheap", "dear", "nobody"])
def test_each_wrong_password_takes_the_same_work(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    work: list[int] = []

    def matches(_: bytes, stored: str) -> bool:
        work.append(1 << bcrypt_cost(stored))
        return False

    monkeypatch.setattr(basic_auth, "_matches", matches)
    door = BasicAuth()
    door.set_users({"cheap": hashed("a", 4), "dear": hashed("b", 8)})
    assert not door.verify(Credentials(user, b"x"))
    assert sum(work) == 1 << 8


def test_wrong_passwords_take_but_a_share_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    basic_auth = BasicAuth()
    basic_auth.set_users({"good": hashed("right", 10)})
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def flood() -> None:
        checks = PasswordChecker(basic_auth)
        for number in range(5):
            outcome = await checks.check(Credentials("good", b"%d" % number), "127.0.0.1")
            assert outcome is Outcome.WRONG
        checks.close()

    monkeypatch.setattr(asyncio, "sleep", pause)
    before = time.process_time()
    asyncio.run(flood())
    spent = time.process_time() - before
    assert spent / (spent + sum(pauses)) < 1.5 * MAX_CPU_SHARE


def test_bcrypt_accepts_the_dummy_hash() -> None:
    for steps in (4, 5):
        assert not basic_auth._matches(b"x", basic_auth._dummy_hash(steps))


def test_the_cache_holds_no_password_and_depends_on_the_hash() -> None:
    door = BasicAuth()
    door.set_users({"good": hashed("right")})
    credentials = Credentials("good", b"right")
    assert door.cached_outcome(credentials) is None
    door.cache(door.digest(credentials), right=door.verify(credentials))
    assert door.cached_outcome(credentials) is Outcome.RIGHT
    assert not any(b"right" in remembered for remembered in door._right)
    assert door.cached_outcome(Credentials("good", b"wrong")) is None
    door.set_users({"good": hashed("right")})
    assert door.cached_outcome(credentials) is None
    door.set_users({})
    assert door.cached_outcome(credentials) is None


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basic_auth, "MAX_CACHED", 2)
    door = BasicAuth()
    door.set_users({name: hashed(name) for name in "abc"})
    for name in "abc":
        door.cache(door.digest(Credentials(name, name.encode())), right=True)
        door.cache(door.digest(Credentials(name, b"wrong")), right=False)
    for password, outcome in ((None, Outcome.RIGHT), (b"wrong", Outcome.WRONG)):
        known = [door.cached_outcome(Credentials(name, password or name.encode())) for name in "abc"]
        assert known == [None, outcome, outcome]


@pytest.mark.parametrize(
    ("address", "group"),
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
def test_addresses_of_a_network_share_a_queue(address: str, group: str) -> None:
    assert client_group(address) == group


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
    assert parse_credentials(Headers((("authorization", value),))) == expected


def test_two_authorization_fields_are_refused() -> None:
    value = "Basic " + base64.b64encode(b"a:b").decode()
    assert parse_credentials(Headers((("authorization", value),) * 2)) is None
    assert parse_credentials(Headers()) is None
