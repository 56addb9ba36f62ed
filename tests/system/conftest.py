"""A machine of each release, with the package and its service in it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.system.machine import Machine, need_machines
from tests.system.package import build_package
from tests.system.people import runs, user
from tests.system.service import Service
from tests.system.trees import RELEASES, all_trees, tree


@pytest.fixture(scope="session", params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    """A release of Debian, by its code name."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def trees() -> None:
    """The systems of all releases."""
    need_machines()
    all_trees()


@pytest.fixture(scope="session")
def machine(trees: None, release: str) -> Iterator[Machine]:
    """A running system, for all tests of this release."""
    with Machine(tree(release)) as booted:
        yield booted


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this tree."""
    need_machines()
    return build_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def stopped(machine: Machine, package: Path) -> Iterator[Service]:
    """The installed service, which does not run yet."""
    service = Service(machine)
    service.install(package)
    service.clean()
    yield service
    service.systemctl("stop", service.unit, check=False)


@pytest.fixture
def service(stopped: Service) -> Service:
    """The running service. No test finds anything of another one."""
    stopped.systemctl("start", stopped.unit)
    return stopped


@pytest.fixture
def alice(machine: Machine) -> str:
    """A user of the machine."""
    return user(machine, "alice")


@pytest.fixture
def bob(machine: Machine) -> str:
    """Another one."""
    return user(machine, "bob")


@pytest.fixture
def sleepers(machine: Machine, alice: str, bob: str) -> Iterator[dict[str, int]]:
    """A process of each, by their names; that of alice is in an environment, that of bob in none."""
    found = {}
    started = []
    for name, variable in ((alice, "GENV_ENVIRONMENT_ID=4242"), (bob, "OTHER=1")):
        script = f"echo $$; exec env {variable} sleep infinity"
        process = machine.start("runuser", "-u", name, "--", "sh", "-c", script)
        started.append(process)
        assert process.stdout
        found[name] = int(process.stdout.readline())
        wait_for(partial(runs, machine, found[name], "sleep"), "the process runs")
    yield found
    machine.shell('kill -KILL "$@"', *map(str, found.values()))
    for process in started:
        process.communicate()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the journal of the machine has, where a test failed; where all are left out, say so in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (__file__, 1, report.longrepr[2])
    machine = getattr(item, "funcargs", {}).get("machine")
    if report.failed and isinstance(machine, Machine):
        try:
            journal = machine.run("journalctl", "--no-pager", "--lines=60", "--output=short-precise", check=False)
            report.sections.append(("the end of the machine's journal", journal.output))
        except (OSError, AssertionError) as error:
            report.sections.append(("the end of the machine's journal", repr(error)))
    return report
