"""What all tests have at hand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin import Scenario, build
from tests.support import summary


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure() -> None:
    """Let monitors that root starts read processes themselves: a helper for each would make the tests much slower.

    Tests of the helper, of the privileges in a terminal and of whole systems change this.
    """
    os.environ.setdefault("GENV_MONITOR_PROCESSES", "")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together in one process what is costly to set up: a booted machine, the browser, the servers of a file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail where the groups are lost: the whole would take twice the time, and nobody would see why."""
    if getattr(item.config.option, "loadgroup", False) and "@" not in item.nodeid:
        pytest.fail("pytest-xdist has lost the groups of tests; does it know this pytest?", pytrace=False)


def _group(item: pytest.Item) -> str:
    folder = item.path.parent
    if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "release" in item.callspec.params:
        return f"{folder} {item.callspec.params['release']}"
    return str(folder if folder.name == "browser" else item.path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what failed and what was left out, at a glance."""
    summary.write(terminalreporter)


@pytest.fixture(scope="session")
def public_directory() -> Iterator[Path]:
    """A directory that every user of the machine can enter; pytest's own cannot be by others."""
    with tempfile.TemporaryDirectory(prefix="genv-monitor-tests-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="session")
def nvml_library(public_directory: Path) -> Path:
    """The directory of the compiled libnvidia-ml.so.1 and nvidia-smi."""
    return build(public_directory / "nvml")


@pytest.fixture
def scenario(public_directory: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """A scenario for the stand-in, readable by everybody; not written yet."""
    path = public_directory / f"scenario-{request.node.name.replace('/', '_')[:80]}-{os.getpid()}"
    yield Scenario(path)
    path.unlink(missing_ok=True)


@pytest.fixture
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory of genv, set for the programs that the test starts."""
    directory = tmp_path / "genv"
    directory.mkdir()
    monkeypatch.setenv("GENV_TMPDIR", str(directory))
    return directory
