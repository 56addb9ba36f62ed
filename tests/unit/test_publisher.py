"""Restoring published files after somebody else has changed them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from genvd.config.schema import Config
from genvd.publish.publication import Publication
from genvd.publish.publisher import MIN_SECONDS_BETWEEN_RESTORES, RESTORE_SECONDS, Publisher
from genvd.publish.scrape_config import target_lines
from tests.support.needs import need_root

FILE = Path("prometheus/prometheus.yml")


class Run:
    """A publisher whose main thread retries as soon as a retry is due."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.success: list[bool | None] = []
        self.published = self.woken = 0
        monkeypatch.setattr("genvd.publish.publisher.time.monotonic", lambda: self.now)
        self.config = Config(publish_directory=directory)
        self.publisher = Publisher(self._report, demo=False, wake=self._wake)

    def _report(self, success: bool | None) -> None:
        self.success.append(success)

    def _wake(self) -> None:
        self.woken += 1

    def tick(self, seconds: float = 5.0) -> bool | None:
        self.now += seconds
        if self.publisher.seconds_until_retry() == 0:
            self.published += 1
        self.publisher.retry_if_due(self.config, 8000)
        self.publisher.check_files()
        return self.success[-1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(tmp_path / "metrics", monkeypatch)
    run.publisher.publish(run.config, 8000)
    return run


def other(run: Run) -> None:
    assert run.config.publish_directory
    Publication.create(run.config.publish_directory, target_lines(["localhost:9000"])).write()


def test_a_changed_file_is_restored_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert run.tick() is True
    other(run)
    assert run.tick() is False
    assert run.woken == 1
    assert [run.tick() for _ in range(int(RESTORE_SECONDS / 5) - 1)] == [False] * 5
    assert run.tick() is True
    assert run.published == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_two_writers_do_not_restore_for_ever(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run.tick()
    hours = 6
    for _ in range(int(hours * 3600 / 60)):
        other(run)
        run.tick(60)
    assert hours - 2 <= run.published <= 3600 * hours / MIN_SECONDS_BETWEEN_RESTORES + 1
    assert not run.success[-1]
    assert len(caplog.records) <= 6 * hours


def test_a_file_replaced_with_the_same_content_is_not_a_change(run: Run) -> None:
    assert run.tick() is True
    assert run.config.publish_directory
    file = run.config.publish_directory / FILE
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    assert run.tick() is True
    assert not run.woken


def test_a_path_that_is_not_a_file_is_a_change(run: Run) -> None:
    assert run.tick() is True
    assert run.config.publish_directory
    file = run.config.publish_directory / FILE
    file.rename(file.with_suffix(".old"))
    file.mkdir()
    assert run.tick() is False


@pytest.mark.parametrize("mode", [0, 0o600, 0o666])
def test_an_unsuitable_mode_is_restored(run: Run, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    assert run.tick() is True
    assert run.config.publish_directory
    file = run.config.publish_directory / FILE
    file.chmod(mode)
    assert run.tick() is False
    assert str(file) in caplog.records[-1].getMessage()
    for _ in range(int(RESTORE_SECONDS / 5)):
        run.tick()
    assert file.stat().st_mode & 0o777 == 0o644
    assert run.tick() is True


def test_a_file_of_another_user_is_a_change(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    need_root("gives a file away")
    assert run.tick() is True
    assert run.config.publish_directory
    file = run.config.publish_directory / FILE
    os.chown(file, 12345, 12345)
    assert run.tick() is False
    assert f"{file} was given to 12345" in caplog.text
