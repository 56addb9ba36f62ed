"""What is in the place of the package's link to the published files, and to whom a directory belongs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genvd.config.paths import SERVICE_METRICS
from genvd.config.schema import Config
from genvd.publish import service_directory
from genvd.publish.publication import Publication, PublishError
from tests.support.needs import need_root

OTHER = 65534


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the link, on a machine with the package."""
    for name in ("genv", "service"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(service_directory, "GENV_STATE", tmp_path / "genv")
    monkeypatch.setattr(service_directory, "SERVICE_STATE", tmp_path / "service")
    monkeypatch.setattr(service_directory, "SERVICE_METRICS", tmp_path / "service" / "metrics")
    monkeypatch.setenv("GENV_TMPDIR", str(tmp_path / "genv"))
    return tmp_path / "genv" / "metrics"


def metrics(link: Path) -> Path:
    """Where the service publishes."""
    return link.parent.parent / "service" / "metrics"


@pytest.mark.parametrize("there", [False, True], ids=["no link", "link"])
def test_with_the_link_or_nothing_in_its_place_there_is_no_obstacle(link: Path, there: bool) -> None:
    if there:
        link.symlink_to(metrics(link))
    assert service_directory.find_obstacle(Config()) is None


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_a_monitor_in_a_terminal_left_behind_is_named(link: Path, kind: str) -> None:
    if kind == "directory":
        link.mkdir()
    elif kind == "file":
        link.touch()
    else:
        link.symlink_to("/srv/metrics")
    problem = service_directory.find_obstacle(Config())
    assert problem and problem.startswith(f"{link}: is a {kind} of ")
    assert problem.endswith(f"sudo ln -s {metrics(link)} {link}")
    assert service_directory.find_obstacle(Config(publish_enabled=False)) is None
    assert service_directory.find_obstacle(Config(publish_directory=link.parent)) is None


def test_a_directory_of_another_user_is_named(link: Path) -> None:
    need_root("gives a directory to another user")
    metrics(link).mkdir()
    os.chown(metrics(link), OTHER, OTHER)
    problem = service_directory.find_obstacle(Config())
    assert problem and problem.startswith(f"{metrics(link)}: belongs to nobody and not to root")


def test_without_a_service_the_directory_has_to_be_ours(link: Path) -> None:
    metrics(link).parent.rmdir()
    link.mkdir()
    assert service_directory.find_obstacle(Config()) is None
    need_root("gives a directory to another user")
    os.chown(link, OTHER, OTHER)
    problem = service_directory.find_obstacle(Config())
    assert problem and problem.startswith(f"{link}: belongs to nobody and not to root")


def test_nobody_is_told_to_remove_the_link_of_the_package(tmp_path: Path) -> None:
    link = tmp_path / "metrics"
    link.symlink_to(SERVICE_METRICS)
    with pytest.raises(PublishError) as raised:
        Publication.create(link, "").write()
    advice = str(raised.value).replace(str(link), "")
    assert "link of the package" in advice and "remove" not in advice
