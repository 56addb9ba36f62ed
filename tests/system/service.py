"""The service in a machine, in the hands of an operator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.standin import LIBRARY, Scenario
from tests.support.monitor import Series, parse, series
from tests.support.waiting import wait_for
from tests.system.package import NAME, version_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.support.monitor import Reply
    from tests.system.machine import Machine, Result

UNIT = "genv-monitor.service"
SEALED = "genv-monitor-sealed.service"
SEALED_SOCKET = "genv-monitor-sealed.socket"
HELPER = "genv-monitor-processes.service"
HELPER_SOCKET = "genv-monitor-processes.socket"
ALL_UNITS = (UNIT, SEALED, SEALED_SOCKET)

CONFIGURATION = "/etc/genv/monitor.yaml"
QUICK = "collect:\n  interval: 200ms\n"
"""A configuration with which a test need not wait long for the next collection."""

STATE = "/var/lib/genv-monitor"
GENV_STATE = "/var/tmp/genv"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
SCENARIO = "/etc/nvml-standin/state"

_CLEAN = """
rm -rf /etc/systemd/system/genv-monitor*.d /etc/nvml-standin "$1" /dev/nvidiactl /var/lib/genv-monitor/*
rm -f /var/tmp/genv/*.json /var/tmp/genv/genv.lock
[ ! -d /var/tmp/genv ] || chmod 777 /var/tmp/genv
mkdir /etc/nvml-standin
ldconfig
"""

INFO, WARNING, ERROR = "6", "4", "3"


class Service:
    """One of the two services, with what belongs to it."""

    def __init__(self, machine: Machine, unit: str = UNIT) -> None:
        """Describe it.

        Args:
            machine: where it is.
            unit: its name.
        """
        self.machine = machine
        self.unit = unit
        self._since = machine.journal_position()

    # --- What there is to know -------------------------------------------------------------------------------

    def show(self, name: str, unit: str = "") -> str:
        """Return a property that systemd knows of it."""
        return self.machine.run("systemctl", "show", "--value", f"--property={name}", unit or self.unit).output.strip()

    @property
    def pid(self) -> int:
        """Its main process, as the machine numbers it; 0 if there is none."""
        return int(self.show("MainPID"))

    @property
    def restarts(self) -> int:
        """How often systemd started it anew by itself."""
        return int(self.show("NRestarts"))

    def active(self) -> bool:
        """Whether it runs and is ready."""
        return self.show("ActiveState") == "active"

    @property
    def status(self) -> str:
        """What ``systemctl status`` shows."""
        return self.machine.run("systemctl", "status", "--no-pager", "--full", self.unit, check=False).output

    @property
    def journal(self) -> list[tuple[str, str]]:
        """What the journal has of it since the test began: the priority and the text of each entry."""
        entries = self.machine.journal(f"--unit={self.unit}", f"--after-cursor={self._since}")
        return [(entry["PRIORITY"], str(entry["MESSAGE"])) for entry in entries]

    @property
    def log(self) -> str:
        """The texts of the journal."""
        return "\n".join(text for _, text in self.journal)

    def get(self, path: str, port: int = 8000) -> Reply:
        """Ask it by HTTP."""
        return self.machine.get(path, port)

    def metrics(self, port: int = 8000) -> Series:
        """Scrape it."""
        return parse(self.get("/metrics", port).body.decode())

    def value(self, name: str, **labels: object) -> float | None:
        """Return one value of a scrape; None if there is no such series."""
        return self.metrics().get(series(name, **labels))

    def collections(self) -> float:
        """Return how many collections it has made since it started."""
        value = self.value("genv_monitor_collections_total")
        assert value is not None
        return value

    def collect(self, number: int = 2) -> None:
        """Wait until it has made so many further collections."""
        target = self.collections() + number
        wait_for(lambda: self.collections() >= target, f"{number} further collections")

    def snapshot(self) -> Any:
        """Return the Snapshot as JSON."""
        return json.loads(self.get("/api/v1/snapshot").body)

    # --- What one does with it -------------------------------------------------------------------------------

    def systemctl(self, *arguments: str, check: bool = True) -> Result:
        """Run systemctl."""
        return self.machine.run("systemctl", *arguments, check=check)

    def restart(self) -> None:
        """Restart it, which it has to survive."""
        self.systemctl("reset-failed", *ALL_UNITS, check=False)
        self.systemctl("restart", self.unit)

    def configure(self, text: str) -> None:
        """Edit monitor.yaml."""
        self.machine.write(CONFIGURATION, text)

    def reload(self, expected: str = "configuration reloaded") -> None:
        """Reload, and wait until the journal says this once more."""
        before = self.log.count(expected)
        self.systemctl("reload", self.unit)
        wait_for(lambda: self.log.count(expected) > before, f"the journal says {expected!r}")

    def drop_in(self, text: str, unit: str = "") -> None:
        """Do what ``systemctl edit`` does."""
        self.machine.write(f"/etc/systemd/system/{unit or self.unit}.d/test.conf", text)
        self.systemctl("daemon-reload")

    # --- The machine around it -------------------------------------------------------------------------------

    def install_driver(self, directory: Path) -> None:
        """Put the stand-in for the driver's library where a driver puts it."""
        self.machine.copy(directory / LIBRARY, f"{LIBRARIES}/{LIBRARY}")
        self.machine.run("ldconfig")

    def scenario(self) -> Scenario:
        """Return what the stand-in sees, to be changed and written."""
        return Scenario(self.machine.path(SCENARIO))

    def install(self, package: Path) -> None:
        """Install the package unless it is there in this version; else leave it as it is."""
        wanted = f"installed {version_of(package)}"
        query = ("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", NAME)
        if self.machine.run(*query, check=False).output != wanted:
            purge(self.machine)
            install(self.machine, package)

    def clean(self) -> None:
        """Leave nothing of other tests: no driver, no genv state, nothing enabled, stopped, with the quick settings."""
        self.systemctl("disable", "--now", *ALL_UNITS)
        self.systemctl("stop", HELPER, HELPER_SOCKET, check=False)
        self.machine.shell(_CLEAN, f"{LIBRARIES}/{LIBRARY}")
        for unit in (UNIT, SEALED):
            self.machine.write(
                f"/etc/systemd/system/{unit}.d/nvml-standin.conf", f"[Service]\nEnvironment=NVML_STANDIN={SCENARIO}\n"
            )
        self.configure(QUICK)
        self.systemctl("daemon-reload")
        self.systemctl("reset-failed")
        self._since = self.machine.journal_position()


def install(machine: Machine, package: Path, *options: str) -> Result:
    """Install a package file as an operator does, without a network."""
    machine.copy(package, f"/root/{package.name}")
    return machine.run("apt-get", "install", "--yes", *options, f"/root/{package.name}", seconds=120)


def purge(machine: Machine) -> None:
    """Remove the package with all that is its."""
    machine.run("apt-get", "purge", "--yes", NAME, check=False, seconds=120)
