"""Publishing is retried until it works, and changed files are restored."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.monitor import Monitor, series
from tests.support.waiting import wait_for

SUCCESS = series("genv_monitor_publish_success")


def test_a_failure_is_retried_and_logged_once(tmp_path: Path) -> None:
    in_the_way = tmp_path / "published"
    in_the_way.touch()
    with Monitor(["--demo", "-i", "0.1", "--config-dir", in_the_way]) as monitor:
        assert monitor.next_metrics()[SUCCESS] == 0
        in_the_way.unlink()
        wait_for(lambda: monitor.next_metrics(1)[SUCCESS] == 1, "published")
        assert (in_the_way / "prometheus" / "prometheus.yml").is_file()
        assert monitor.log.count("cannot publish") == 1
        assert monitor.log.count("is published in") == 1
        assert monitor.stop() == 0


def test_it_stops_at_once_before_a_retry(tmp_path: Path) -> None:
    in_the_way = tmp_path / "published"
    in_the_way.touch()
    with Monitor(["--demo", "--config-dir", in_the_way]) as monitor:
        wait_for(lambda: "cannot publish" in monitor.log, "it failed")
        assert monitor.stop() == 0


def test_without_publishing_the_metric_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text("publish: {enabled: false}\n")
    with Monitor(["--demo", "-c", file]) as monitor:
        assert SUCCESS not in monitor.metrics()


def test_a_changed_file_is_detected_and_logged_once(tmp_path: Path) -> None:
    """Like 'genv monitor' in a terminal of root, which publishes through the link of the package."""
    directory = tmp_path / "published"
    with Monitor(["--demo", "-i", "0.1", "--config-dir", directory]) as monitor:
        assert monitor.next_metrics(3)[SUCCESS] == 1
        file = directory / "prometheus" / "prometheus.yml"
        right = file.read_bytes()
        file.write_bytes(right + b"# changed\n")
        wait_for(lambda: monitor.metrics()[SUCCESS] == 0, "it is seen")
        monitor.next_metrics(5)
        (line,) = [line for line in monitor.complaints if "demo:" not in line]
        assert f"{file} was changed after it was published: another monitor" in line
        file.write_bytes(right)
        wait_for(lambda: monitor.metrics()[SUCCESS] == 1, "it is right again")
        directory.rename(tmp_path / "elsewhere")
        wait_for(lambda: monitor.metrics()[SUCCESS] == 0, "they are gone")
        (tmp_path / "elsewhere").rename(directory)
        wait_for(lambda: monitor.metrics()[SUCCESS] == 1, "they are there")
        assert monitor.stop() == 0


def test_a_reload_restores_changed_files_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "published"
    with Monitor(["--demo", "-i", "0.1", "--config-dir", directory]) as monitor:
        file = directory / "grafana" / "grafana.ini"
        right = file.read_bytes()
        file.unlink()
        wait_for(lambda: monitor.metrics()[SUCCESS] == 0, "it is seen")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: monitor.metrics()[SUCCESS] == 1, "it is published")
        assert file.read_bytes() == right
        assert monitor.next_metrics(3)[SUCCESS] == 1
