"""Errors are logged as states, however often they are reported."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from genvd.collectors.registry import make_collectors
from genvd.common.error_log import MAX_KINDS, REPEAT_SECONDS, ErrorLog
from genvd.config.schema import Config
from genvd.ledger.pending import PendingUsage
from genvd.ledger.writer import LedgerWriter, WriterSettings
from genvd.service.monitor import Monitor
from genvd.web.http_server import Server
from genvd.web.listening import listen
from genvd.web.security import Security
from genvd.web.site import Site

LOG = logging.getLogger("tests.error_log")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    """A clock that a test controls."""
    caplog.set_level(logging.DEBUG)
    clock = Clock()
    monkeypatch.setattr("genvd.common.error_log.time.monotonic", clock)
    return clock


UNEXPECTED = "failed unexpectedly; please report this"


class Defect:
    """Replaces a function, and fails as often as it should."""

    def __init__(self, replaced: Callable[..., object]) -> None:
        self._replaced = replaced
        self.kind: type[Exception] | None = None
        self.calls = 0

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        if self.kind is None:
            return self._replaced(*arguments)
        raise self.kind(f"call {self.calls}")


def go_through(defect: Defect, step: Callable[[], object]) -> None:
    """Fail in two ways, more than once, succeed, and fail again."""
    for kind in (KeyError, KeyError, ValueError, KeyError, None, None, KeyError, KeyError):
        defect.kind = kind
        step()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def without_counts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.partition("; it failed ")[0] for line in logged(caplog)]


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    return [record.exc_info[0] for record in caplog.records if record.exc_info]


def test_a_bug_in_a_tick_is_logged_once_until_a_tick_succeeds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(publish_enabled=False, ledger_enabled=False)
    monitor = Monitor(config, make_collectors(config, 1))
    defect = Defect(monitor.collect)
    monkeypatch.setattr(monitor, "collect", defect)
    caplog.clear()
    caplog.set_level(logging.INFO)
    go_through(defect, lambda: monitor.tick(0))
    failed = f"collection {UNEXPECTED}"
    assert without_counts(caplog) == [failed, failed, "collection succeeds again", failed]
    assert tracebacks(caplog) == [KeyError, ValueError, KeyError]


def test_a_bug_in_the_ledger_is_logged_once_and_not_as_a_disk_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writer = LedgerWriter(pending := PendingUsage(), tmp_path, "live", WriterSettings(30, 86400, 86400))
    defect = Defect(pending.take_batch)
    monkeypatch.setattr(pending, "take_batch", defect)
    caplog.set_level(logging.INFO)
    go_through(defect, writer._run_once)
    writer._close()
    assert tracebacks(caplog) == [KeyError, ValueError, KeyError]
    lines = without_counts(caplog)
    assert lines.count(f"writing the ledger {UNEXPECTED}") == 3
    assert lines.count("ledger: the file can be written again") == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition("; ")[0] for line in warnings] == [
        f"ledger: {tmp_path / 'ledger.db'}: cannot be written: {kind.__name__}, which is a defect of this program"
        for kind in (KeyError, ValueError, KeyError)
    ]
    assert not any("disk" in line for line in warnings)


def test_a_bug_in_serving_is_logged_once_and_serving_continues(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    site = Site()
    server = Server(site, Security(), listen("127.0.0.1", 0))
    defect = Defect(site.respond)
    monkeypatch.setattr(site, "respond", defect)
    server.start()

    def status() -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            return client.recv(4096).split()[1]

    defect.kind = KeyError
    assert [status() for _ in range(5)] == [b"500"] * 5
    defect.kind = None
    assert status() == b"200"
    server.stop(accept_queued=False)
    assert without_counts(caplog) == [f"a request {UNEXPECTED}", "requests succeed again"]


def test_a_bug_in_the_event_loop_does_not_stop_the_server(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Site(), Security(), listen("127.0.0.1", 0))
    server.start()
    loop = server._loop
    assert loop
    defect = Defect(print)
    defect.kind = KeyError
    for _ in range(3):
        loop.call_soon_threadsafe(defect)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    server.stop(accept_queued=False)
    assert without_counts(caplog) == [f"serving {UNEXPECTED}"]


def test_the_number_of_logged_kinds_is_limited(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(publish_enabled=False, ledger_enabled=False)
    monitor = Monitor(config, make_collectors(config, 1))
    defect = Defect(monitor.collect)
    monkeypatch.setattr(monitor, "collect", defect)
    for number in range(50):
        defect.kind = type(f"Error{number}", (Exception,), {})
        monitor.tick(0)
    assert len(tracebacks(caplog)) == MAX_KINDS


# --- The state of an error ------------------------------------------------------------------------------------


def test_begin_change_and_end_are_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorLog(LOG, successes_to_clear=3)
    for text in ("disk full", "disk full", "disk gone", "disk full", "disk gone"):
        clock.now += 1
        errors.report("disk", text)
    for _ in range(10):
        clock.now += 1
        errors.clear("disk", "written again")
    assert logged(caplog) == ["disk full", "disk gone", "written again; it failed 5 times within 5 s"]


@pytest.mark.parametrize("period", [1, 3, 20, 300, 2000])
def test_an_error_that_comes_and_goes_does_not_fill_the_log(
    period: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    errors = ErrorLog(LOG, successes_to_clear=3)
    day = 24 * 3600
    for second in range(day):
        clock.now += 1
        if second // period % 2:
            errors.clear("disk", "written again")
        else:
            errors.report("disk", "full" if second % 2 else "gone")
    assert logged(caplog)[0] == "gone"
    assert len(caplog.records) <= 60
    for _ in range(2 * day):
        clock.now += 1
        errors.clear("disk", "written again")
    assert logged(caplog)[-1].startswith("written again")
    assert not errors.active


def test_a_kind_that_returns_after_a_long_time_is_logged_again(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorLog(LOG)
    for text in ("full", "gone", "full"):
        for _ in range(3):
            clock.now += REPEAT_SECONDS / 2
            errors.report("disk", text)
    assert logged(caplog) == ["full", "gone", "full"]


def test_kinds_and_keys_are_limited(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorLog(LOG)
    for number in range(5000):
        errors.report("kinds", str(number))
    assert len(caplog.records) == MAX_KINDS
    caplog.clear()
    for _ in range(3):
        for number in range(5000):
            errors.report(number, "failed")
    assert len(caplog.records) < 1000
    assert len(errors.active) == 1000
    caplog.clear()
    clock.now += REPEAT_SECONDS
    errors.report("later", "failed")
    assert logged(caplog) == ["failed"]


def test_the_end_of_a_debug_error_is_logged_at_debug_level(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorLog(LOG)
    errors.report("call", "fails", level=logging.DEBUG)
    errors.clear("call", "works")
    errors.clear("call", "works")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "fails"),
        ("DEBUG", "works"),
    ]
