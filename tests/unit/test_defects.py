"""What a defect leaves in the journal, however often it is met."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from genvd.config import Config
from genvd.ledger.book import Book
from genvd.ledger.keeper import Keeper, Retention
from genvd.monitor import Monitor
from genvd.sources.assembly import make_sources
from genvd.web.loop import Loop
from genvd.web.security import Security
from genvd.web.server import listen
from genvd.web.site import Site
from tests.support.waiting import wait_for

UNEXPECTED = "failed unexpectedly; please report this"


class Defect:
    """Stands in the place of a function, and fails as often as it is to."""

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


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    return [record.exc_info[0] for record in caplog.records if record.exc_info]


def test_a_defect_in_a_tick_is_told_once_until_one_succeeds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(publish_enabled=False, ledger_enabled=False)
    monitor = Monitor(config, make_sources(config, 1))
    defect = Defect(monitor.look)
    monkeypatch.setattr(monitor, "look", defect)
    caplog.clear()
    caplog.set_level(logging.INFO)
    go_through(defect, lambda: monitor.tick(0))
    failed = f"a collection {UNEXPECTED}"
    assert logged(caplog) == [failed, failed, "a collection succeeds again", failed]
    assert tracebacks(caplog) == [KeyError, ValueError, KeyError]


def test_a_defect_in_writing_the_ledger_is_told_once_and_no_disk_is_blamed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keeper = Keeper(book := Book(), tmp_path, "live", Retention(30, 86400, 86400))
    defect = Defect(book.batch)
    monkeypatch.setattr(book, "batch", defect)
    caplog.set_level(logging.INFO)
    go_through(defect, keeper._step)
    keeper._close()
    assert tracebacks(caplog) == [KeyError, ValueError, KeyError]
    lines = logged(caplog)
    assert lines.count(f"writing the ledger {UNEXPECTED}") == 3
    assert lines.count("ledger: it is written again") == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition("; ")[0] for line in warnings] == [
        f"ledger: {tmp_path / 'ledger.db'}: cannot be written: {kind.__name__}, which is a defect of this program"
        for kind in (KeyError, ValueError, KeyError)
    ]
    assert not any("disk" in line for line in warnings)


def test_a_defect_in_serving_is_told_once_and_nobody_is_served_less_for_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    loop = Loop(Site(), Security(), listener := listen("127.0.0.1", 0))
    defect = Defect(loop._turn)
    monkeypatch.setattr(loop, "_turn", defect)
    defect.kind = KeyError
    loop.start()
    wait_for(lambda: defect.calls >= 5, "it fails again and again")
    defect.kind = None
    with socket.create_connection(listener.getsockname(), timeout=20) as client:
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    loop.stop(take_queued=False)
    assert logged(caplog) == [f"serving {UNEXPECTED}", "serving succeeds again"]


def test_there_is_an_end_to_kinds(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(publish_enabled=False, ledger_enabled=False)
    monitor = Monitor(config, make_sources(config, 1))
    defect = Defect(monitor.look)
    monkeypatch.setattr(monitor, "look", defect)
    for number in range(50):
        defect.kind = type(f"Error{number}", (Exception,), {})
        monitor.tick(0)
    assert len(tracebacks(caplog)) == 10
