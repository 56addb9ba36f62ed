"""The package: installed, upgraded, removed and purged, in a running system and in one that does not run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.certificates import issue
from tests.support.genv import REQUIREMENTS
from tests.support.monitor import series
from tests.support.waiting import wait_for
from tests.system.machine import CommandError, Machine, Scraper, in_chroot
from tests.system.package import NAME, REPOSITORY, repacked, version_of
from tests.system.service import (
    ALL_UNITS,
    CONFIGURATION,
    HELPER,
    QUICK,
    SEALED,
    SEALED_SOCKET,
    STATE,
    UNIT,
    Service,
    install,
    purge,
)
from tests.system.trees import on_debian_12, tree

SHIPPED = (REPOSITORY / "packaging" / "monitor.yaml").read_text()
SAMPLE = (REPOSITORY / "packaging" / "monitor.sample.yaml").read_text()
OTHER_DEFAULT = "# Configuration of a former version.\ncollect:\n  interval: 10s\n"
Former = Callable[[str], Path]


@pytest.fixture
def bare(machine: Machine) -> Machine:
    """The machine without the package."""
    purge(machine)
    machine.shell("rm -rf /etc/genv /var/tmp/genv /etc/systemd/system/genv-monitor*.d")
    return machine


@pytest.fixture
def installed(machine: Machine, package: Path) -> Machine:
    """The machine with the package, to look at what it brings."""
    Service(machine).install(package)
    return machine


@pytest.fixture
def former(package: Path, tmp_path: Path) -> Former:
    """Makes the package of a former version, which had this for a monitor.yaml."""

    def make(monitor_yaml: str) -> Path:
        def change(content: Path) -> None:
            (content / CONFIGURATION.lstrip("/")).write_text(monitor_yaml)
            module = content / "usr/share/genv-monitor/genvd/__init__.py"
            module.write_text(module.read_text() + '\n__version__ = "0.0.1"\n')

        return repacked(package, tmp_path / "former", change)

    return make


def _break_preinst(content: Path) -> None:
    preinst = content / "DEBIAN" / "preinst"
    preinst.write_text(f"{preinst.read_text()}\nexit 1\n")


def version(service: Service) -> str:
    """Return the version that runs."""
    ((_, labels),) = (key for key in service.metrics() if key[0] == "genv_monitor_build_info")
    return dict(labels)["version"]


def test_installed_it_waits_to_be_enabled(bare: Machine, package: Path) -> None:
    install(bare, package)
    for unit in ALL_UNITS:
        assert bare.run("systemctl", "is-enabled", unit, check=False).output == "disabled\n"
        assert bare.run("systemctl", "is-active", unit, check=False).output == "inactive\n"
    assert bare.path(CONFIGURATION).read_text() == SHIPPED
    assert bare.run("dpkg", "--verify", NAME).output == ""
    assert bare.run("genv", "monitor", "check").output.startswith("listen:\n")

    bare.run("systemctl", "enable", "--now", NAME)
    assert bare.run("systemctl", "is-active", NAME).output == "active\n"
    assert b"genv_monitor_build_info" in bare.get("/metrics").body


def test_its_user_cannot_log_in(installed: Machine) -> None:
    name, _, uid, _, _, home, shell = installed.run("getent", "passwd", NAME).output.strip().split(":")
    assert (name, home, shell) == (NAME, STATE, "/usr/sbin/nologin")
    assert 0 < int(uid) < 1000
    assert installed.run("passwd", "--status", NAME).output.split()[1] == "L"
    assert installed.run("su", NAME, "--command", "true", check=False).status != 0


def test_the_systems_python_stays_as_it_is(installed: Machine) -> None:
    for module in ("genvd", "pynvml"):
        assert "ModuleNotFoundError" in installed.run("python3", "-c", f"import {module}", check=False).errors
    assert "dist-packages" not in installed.run("dpkg", "--listfiles", NAME).output
    # Debian's pip refuses to install into it, and so genv is not advised to be installed there.
    way_out = (
        "sudo apt install python3-venv && sudo python3 -m venv /opt/genv"
        f' && sudo /opt/genv/bin/pip install genv "{REQUIREMENTS[1]}" && '
    )
    assert way_out in installed.run("genv", "devices", check=False).errors


def test_its_manual_is_there(installed: Machine) -> None:
    for section, page, word in (("8", NAME, "systemctl"), ("5", "monitor.yaml", "interval"), ("8", "genv", "monitor")):
        shown = installed.run("man", "--warnings", "--encoding=utf8", section, page)
        assert word in shown.output
        assert shown.errors == ""


@on_debian_12
@pytest.mark.parametrize("default", ["the same default", "another default"])
def test_an_upgrade_keeps_the_edited_configuration_and_restarts_the_service(
    bare: Machine, package: Path, former: Former, default: str
) -> None:
    """Where both have changed, dpkg would ask; without anybody to answer, apt would fail."""
    install(bare, former(SHIPPED if default == "the same default" else OTHER_DEFAULT))
    edited = "# Edited by an operator.\n" + QUICK
    bare.write(CONFIGURATION, edited)
    service = Service(bare)
    service.systemctl("enable", "--now", NAME)
    assert version(service) == "0.0.1"

    pid = service.pid
    install(bare, package)

    assert bare.path(CONFIGURATION).read_text() == edited
    assert bare.shell("ls /etc/genv").output.split() == ["monitor.sample.yaml", "monitor.yaml"]
    assert service.active() and service.pid != pid
    assert version(service) == version_of(package).partition("-")[0]
    assert bare.run("systemctl", "is-enabled", NAME).output == "enabled\n"


@on_debian_12
def test_an_upgrade_brings_the_new_default_where_nobody_has_edited_it(
    bare: Machine, package: Path, former: Former
) -> None:
    install(bare, former(OTHER_DEFAULT))
    install(bare, package)
    assert bare.path(CONFIGURATION).read_text() == SHIPPED
    assert bare.run("systemctl", "is-active", *ALL_UNITS, check=False).output == "inactive\n" * 3


@on_debian_12
def test_a_configuration_from_before_the_first_installation_is_kept(bare: Machine, package: Path) -> None:
    """dpkg would ask; without anybody to answer, apt would fail."""
    bare.write(CONFIGURATION, QUICK)
    install(bare, package)
    assert bare.path(CONFIGURATION).read_text() == QUICK
    assert bare.shell("ls /etc/genv").output.split() == ["monitor.sample.yaml", "monitor.yaml"]


@on_debian_12
def test_an_upgrade_works_without_a_configuration_directory(bare: Machine, package: Path, former: Former) -> None:
    install(bare, former(OTHER_DEFAULT))
    bare.shell("rm -r /etc/genv")
    install(bare, package)
    assert bare.path(CONFIGURATION).read_text() == SHIPPED


@on_debian_12
def test_an_upgrade_keeps_a_link_that_leads_nowhere_now(
    bare: Machine, package: Path, former: Former, tmp_path: Path
) -> None:
    """A configuration on a disk that is not mounted."""
    install(bare, former(OTHER_DEFAULT))
    bare.shell(f"ln -sf /srv/elsewhere/monitor.yaml {CONFIGURATION}")
    with pytest.raises(CommandError):
        install(bare, repacked(package, tmp_path / "broken", _break_preinst, "99-1"))
    assert bare.run("readlink", CONFIGURATION).output == "/srv/elsewhere/monitor.yaml\n"
    install(bare, package)
    assert bare.run("readlink", CONFIGURATION).output == "/srv/elsewhere/monitor.yaml\n"


@on_debian_12
def test_an_upgrade_that_fails_leaves_the_edited_configuration(
    bare: Machine, package: Path, former: Former, tmp_path: Path
) -> None:
    install(bare, former(OTHER_DEFAULT))
    bare.write(CONFIGURATION, QUICK)
    with pytest.raises(CommandError):
        install(bare, repacked(package, tmp_path / "broken", _break_preinst, "99-1"))
    assert bare.path(CONFIGURATION).read_text() == QUICK
    install(bare, package)
    assert bare.path(CONFIGURATION).read_text() == QUICK


@on_debian_12
def test_an_upgrade_names_the_mistakes_of_an_edited_configuration(bare: Machine, package: Path, former: Former) -> None:
    install(bare, former(OTHER_DEFAULT))
    service = Service(bare)
    service.systemctl("enable", "--now", NAME)
    broken = "listen:\n  prot: 8000\n"
    bare.write(CONFIGURATION, broken)
    said = install(bare, package).output
    assert f"{CONFIGURATION}:2: listen.prot: unknown key" in said
    assert "with this configuration the service does not start" in said
    assert bare.path(CONFIGURATION).read_text() == broken

    bare.write(CONFIGURATION, QUICK)
    assert "does not start" not in install(bare, package, "--reinstall").output
    service.systemctl("restart", NAME)
    assert service.active()


def test_the_sample_lies_beside_the_configuration(bare: Machine, package: Path) -> None:
    install(bare, package)
    conffiles = bare.run("dpkg-query", "--show", "--showformat=${Conffiles}", NAME).output.split()
    assert conffiles[::2] == [CONFIGURATION]
    sample = "/etc/genv/monitor.sample.yaml"
    assert bare.run("cat", sample).output == SAMPLE
    assert sample in SHIPPED
    defaults = bare.run("genv-monitor", "check").output.splitlines()[:-1]
    assert bare.run("genv-monitor", "check", sample).output.splitlines()[:-1] == defaults


@pytest.mark.parametrize("units", [(UNIT,), (SEALED_SOCKET, SEALED)])
def test_an_upgrade_loses_no_scrape(bare: Machine, package: Path, former: Former, units: tuple[str, ...]) -> None:
    install(bare, former(SHIPPED))
    service = Service(bare, units[-1])
    service.systemctl("enable", "--now", *units)
    with Scraper(bare) as scraper:
        install(bare, package)
        wait_for(lambda: version(service) != "0.0.1", "the new version serves")
        scraper.more()
    assert not scraper.failures
    assert service.active()


@on_debian_12
@pytest.mark.parametrize("mode", ["600", "640"])
def test_after_an_upgrade_it_still_reads_a_key_that_only_root_can_read(
    bare: Machine, package: Path, former: Former, tmp_path: Path, mode: str
) -> None:
    """Up to 0.1.0 the service could read every file. Where it need not, it cannot any more."""
    install(bare, former(SHIPPED))
    made = issue(tmp_path, "server")
    bare.copy(made.certificate, "/etc/genv/server.pem")
    bare.copy(made.key, "/etc/genv/server.key")
    bare.shell(f"chmod {mode} /etc/genv/server.key && chgrp genv-monitor /etc/genv/server.key")
    bare.write("/etc/genv/web.yml", "tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    bare.write(CONFIGURATION, QUICK + "listen: {web_config_file: /etc/genv/web.yml}\n")
    result = install(bare, package, "-o", "Dpkg::Options::=--force-confold")
    said = result.output + result.errors
    kept = mode == "600"
    assert ("root-files.conf" in said) == kept
    for unit in (UNIT, SEALED):
        assert bare.exists(f"/etc/systemd/system/{unit}.d/root-files.conf") == kept
        bare.run("systemctl", "start", unit)
        service = Service(bare, unit)
        assert service.active()
        status = bare.run("cat", f"/proc/{service.pid}/status").output
        assert f"CapEff:\t{1 << 2 if kept else 0:016x}\n" in status
    purge(bare)
    assert not bare.exists(f"/etc/systemd/system/{UNIT}.d/root-files.conf")
    bare.shell("rm -f /etc/genv/server.* /etc/genv/web.yml")


@on_debian_12
@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("User=root", "own-user"),
        ("ExecStart=\nExecStart=/srv/other/genv-monitor", "own-user own-programs"),
        ("ExecStart=\nExecStart=/usr/bin/nice -n 5 /usr/bin/genv-monitor", "own-programs"),
        ("ExecStartPre=/bin/sh -c true", "own-programs"),
        ("ExecStart=\nExecStart=/usr/bin/genv-monitor --address 127.0.0.1\nEnvironment=A=b", ""),
    ],
    ids=["user", "another program", "nice", "before", "options"],
)
def test_after_an_upgrade_it_runs_as_an_administrator_has_edited_it(
    bare: Machine, package: Path, former: Former, own: str, kept: str
) -> None:
    install(bare, former(SHIPPED))
    bare.shell("mkdir -p /srv/other && cp /usr/bin/genv-monitor /srv/other")
    service = Service(bare)
    service.drop_in(f"[Service]\n{own}\n")
    service.configure(QUICK)
    install(bare, package, "-o", "Dpkg::Options::=--force-confold")
    written = set(bare.run("ls", f"/etc/systemd/system/{UNIT}.d").output.split())
    assert written & {"root-files.conf", "own-user.conf", "own-programs.conf"} == {
        f"{one}.conf" for one in kept.split()
    }
    service.systemctl("start", UNIT)
    success = partial(service.value, "genv_monitor_collector_success", collector="processes")
    wait_for(lambda: success() == 1, "it knows the processes")
    purge(bare)
    bare.shell(f"rm -r /etc/systemd/system/{UNIT}.d/test.conf /srv/other")


def test_a_downgrade_works_too(bare: Machine, package: Path, former: Former) -> None:
    install(bare, package)
    service = Service(bare)
    service.systemctl("enable", "--now", NAME)
    wait_for(Service(bare, HELPER).active, "the helper runs")
    install(bare, former(SHIPPED), "--allow-downgrades")
    assert service.active() and version(service) == "0.0.1"


@on_debian_12
def test_publish_writes_as_the_service_or_says_what_to_do(bare: Machine, package: Path, alice: str) -> None:
    install(bare, package)
    assert bare.run("genv-monitor", "publish").output == f"{STATE}/metrics\n"
    assert bare.run("stat", "--format=%U", f"{STATE}/metrics/prometheus/prometheus.yml").output == f"{NAME}\n"
    refused = bare.run("runuser", "-u", alice, "--", "genv-monitor", "publish", check=False)
    assert refused.status == 1
    assert "use 'sudo genv-monitor publish', or choose another directory" in refused.errors
    assert "remove" not in refused.errors
    bare.run("runuser", "-u", alice, "--", "genv-monitor", "publish", "--config-dir", f"/tmp/{alice}-metrics")

    service = Service(bare)
    service.systemctl("start", NAME)
    assert service.value("genv_monitor_publish_success") == 1


@on_debian_12
def test_what_a_monitor_in_a_terminal_left_behind_is_told(bare: Machine, package: Path, alice: str) -> None:
    bare.run("runuser", "-u", alice, "--", "mkdir", "-p", "/var/tmp/genv/metrics/prometheus")
    install(bare, package)
    said = f"/var/tmp/genv/metrics: is a directory of {alice}"
    check = bare.run("genv-monitor", "check")
    assert check.errors.startswith(said)
    assert check.output.splitlines()[-1] == f"# configuration valid, with 1 warning: {CONFIGURATION}"
    service = Service(bare)
    service.systemctl("start", NAME)
    assert said in service.log
    publish = bare.run("genv-monitor", "publish")
    assert said in publish.errors and publish.output == f"{STATE}/metrics\n"
    (command,) = check.errors.strip().partition("then run: sudo ")[2:]
    bare.shell(f"mv /var/tmp/genv/metrics /root/left && {command}")
    check = bare.run("genv-monitor", "check")
    assert check.errors == ""
    assert bare.exists("/var/tmp/genv/metrics") and bare.run("ls", "/var/tmp/genv/metrics/").output


@on_debian_12
def test_the_state_directory_stays_as_an_administrator_has_it(bare: Machine, package: Path) -> None:
    install(bare, package)
    assert bare.run("stat", "--format=%a %U", "/var/tmp/genv").output == "777 root\n"
    bare.shell("chmod 750 /var/tmp/genv")
    bare.run("systemd-tmpfiles", "--create")
    install(bare, package, "--reinstall")
    assert bare.run("stat", "--format=%a %U", "/var/tmp/genv").output == "750 root\n"


def test_removed_it_keeps_configuration_and_state_and_purged_nothing(bare: Machine, package: Path) -> None:
    install(bare, package)
    bare.write(CONFIGURATION, QUICK)
    service = Service(bare)
    service.systemctl("enable", "--now", NAME)
    assert service.active()

    bare.run("apt-get", "remove", "--yes", NAME, seconds=120)
    with pytest.raises(OSError):
        service.get("/metrics")
    assert bare.path(CONFIGURATION).read_text() == QUICK
    assert bare.exists(f"{STATE}/metrics/prometheus/prometheus.yml")
    assert bare.exists(f"{STATE}/metrics/prometheus/rules/genv-alerts-devices.yml")
    for gone in ("/usr/share/genv-monitor", "/usr/bin/genv", "/usr/bin/genv-monitor"):
        assert not bare.exists(gone)
    assert not bare.exists(f"/usr/lib/systemd/system/{UNIT}")
    assert bare.shell("find /run -xdev -name 'genv-monitor*'").output == ""

    bare.run("apt-get", "purge", "--yes", NAME, seconds=120)
    for gone in ("/etc/genv", STATE, "/var/tmp/genv"):
        assert not bare.exists(gone)
    left = bare.shell("find /etc/systemd /run/systemd /var/lib/systemd /usr/lib /var/cache -name '*genv*'")
    assert left.output == ""
    assert bare.run("systemctl", "is-system-running").output == "running\n"


def test_removed_and_installed_again_it_runs_as_before(bare: Machine, package: Path) -> None:
    install(bare, package)
    bare.write(CONFIGURATION, QUICK)
    service = Service(bare)
    service.systemctl("enable", "--now", NAME)
    bare.run("apt-get", "remove", "--yes", NAME, seconds=120)
    install(bare, package)
    assert bare.path(CONFIGURATION).read_text() == QUICK
    service.systemctl("restart", NAME)
    assert series("genv_monitor_collections_total") in service.metrics()


@on_debian_12
def test_purging_leaves_what_genv_has_in_its_state_directory(bare: Machine, package: Path) -> None:
    install(bare, package)
    bare.write("/var/tmp/genv/envs.json", '{"envs": []}')
    purge(bare)
    assert bare.shell("ls -A /var/tmp/genv").output == "envs.json\n"
    bare.shell("rm -r /var/tmp/genv")


def test_it_installs_where_no_systemd_runs(release: str, package: Path) -> None:
    script = """
    apt-get install --yes /root/*.deb
    getent passwd genv-monitor
    test "$(systemctl is-enabled genv-monitor || :)" = disabled
    genv-monitor once --demo 2 | grep genv_device_temperature
    genv monitor check
    apt-get remove --yes genv-monitor
    test -e /etc/genv/monitor.yaml
    apt-get purge --yes genv-monitor
    test ! -e /etc/genv
    echo all done
    """
    result = in_chroot(tree(release), [package], script)
    assert result.status == 0 and result.output.endswith("all done\n"), result
