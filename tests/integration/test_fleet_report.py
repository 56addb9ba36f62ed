"""``genv-monitor report --prometheus`` over many machines, with a real Prometheus and a month of known use."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from genvd.config.schema import Config
from genvd.model.snapshot import LedgerStatus
from genvd.terminal.fleet_report import fleet_report
from genvd.terminal.http_client import Access, HttpClient, ServiceError
from genvd.terminal.report import PROMETHEUS, ReportOptions, make
from tests.support import debian
from tests.support.certificates import issue, trusting
from tests.support.monitor import parse
from tests.support.prometheus import Prometheus
from tests.support.waiting import wait_for
from tools.fleet.machines import SimulatedMachine

MACHINES, DAYS, STEP = 20, 30, 1800
USERS = ("alice", "bob", 'carol"\\{}', "(other)")
ENERGY = "energy_joules"
QUANTITIES = ("allocated_device_seconds", "active_device_seconds", "idle_device_seconds", "outside_device_seconds")
END = int(time.time()) // 3600 * 3600 - 3600
COUNTED = (*QUANTITIES, ENERGY)
BEGIN = END - DAYS * 86400
NEW, GONE, AWAY, RESTARTED, LATE = 19, 18, 5, 3, 7
"""Machines with a story: first scraped on day 20, taken away on day 12, off for two days, restarted, a new user."""


@dataclass
class Fleet:
    """The counters of all machines, and what they grew by."""

    chance: random.Random = field(default_factory=lambda: random.Random(4))
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By user or machine, and quantity."""
    capacity: Counter[str] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)

    def simulate(self) -> None:
        """Add a month."""
        for number in range(MACHINES):
            self._machine(number)

    def _machine(self, number: int) -> None:
        machine, counters = f"gpu{number:02}:8000", Counter[tuple[str, str]]()
        previous: int | None = None
        for moment in range(BEGIN, END + 1, STEP):
            if not self._is_up(number, (moment - BEGIN) / 86400):
                continue
            if number == RESTARTED and moment == BEGIN + 10 * 86400 + STEP:
                counters = Counter({key: value for key, value in counters.items() if "capacity" not in key[0]})
            grown = self._grown(number, moment)
            for (name, labels), amount in grown.items():
                counters[name, labels] += amount
                if previous is not None:
                    self._count(name, labels, machine, amount)
            if number == NEW and previous is None:
                counters.update(dict.fromkeys(grown, 10_000_000))  # from before it was scraped
            for (name, labels), value in counters.items():
                series = f'{{job="genv",instance="{machine}",{labels}}}'
                self.samples.setdefault((name, series), []).append((moment, value))
            previous = moment

    def _is_up(self, number: int, day: float) -> bool:
        return not ((number == NEW and day < 20) or (number == GONE and day > 12) or (number == AWAY and 14 < day < 16))

    def _grown(self, number: int, moment: int) -> dict[tuple[str, str], int]:
        grown: dict[tuple[str, str], int] = {}
        for user in USERS:
            if number == LATE and user == "bob" and moment <= BEGIN + 5 * 86400:
                if moment == BEGIN + 5 * 86400:  # a new counter begins at 0
                    grown |= {
                        (f"genv_user_{name}_total", _label("username", user)): 0 for name in (*QUANTITIES, ENERGY)
                    }
                continue
            active, idle, outside = (self.chance.randrange(STEP) for _ in range(3))
            amounts = dict(zip(QUANTITIES, (active + idle, active, idle, outside), strict=True))
            grown |= {(f"genv_user_{name}_total", _label("username", user)): n for name, n in amounts.items()}
            grown["genv_user_energy_joules_total", _label("username", user)] = active * 400
        for state in ("active", "idle", "outside", "free"):
            grown["genv_capacity_device_seconds_total", _label("state", state)] = self.chance.randrange(STEP)
        return grown

    def _count(self, name: str, labels: str, machine: str, amount: int) -> None:
        if name.startswith("genv_capacity"):
            self.capacity[labels.split('"')[1]] += amount
            return
        quantity = name.removeprefix("genv_user_").removesuffix("_total")
        self.used[json.loads(labels.split("=", 1)[1]), quantity] += amount
        self.used[machine, quantity] += amount

    def lines(self) -> dict[str, list[str]]:
        """Return all samples in OpenMetrics, by the name of the metric."""
        lines: dict[str, list[str]] = {}
        for (name, series), samples in self.samples.items():
            lines.setdefault(name, []).extend(f"{name}{series} {value} {moment}\n" for moment, value in samples)
        return lines


def _label(name: str, value: str) -> str:
    return f"{name}={json.dumps(value)}"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    made = Fleet()
    made.simulate()
    return made


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with _filled(tmp_path_factory.mktemp("fleet"), fleet.lines()) as running:
        yield running


@contextmanager
def _filled(directory: Path, lines: dict[str, list[str]]) -> Iterator[Prometheus]:
    """Run a Prometheus with these samples in OpenMetrics, given by the name of the metric."""
    text, data, config = directory / "samples.txt", directory / "data", directory / "prometheus.yml"
    with text.open("w") as out:
        for name in sorted(lines):
            out.write(f"# TYPE {name.removesuffix('_total')} {'counter' if name.endswith('_total') else 'gauge'}\n")
            out.writelines(lines[name])
        out.write("# EOF\n")
    data.mkdir()
    promtool = debian.program("promtool", "prometheus")
    # Larger blocks than the default of two hours: it reads the whole file once for each block.
    create = ["tsdb", "create-blocks-from", "--max-block-duration=486h", "openmetrics", "--quiet"]
    subprocess.run([promtool, *create, str(text), str(data)], check=True, capture_output=True, timeout=300)
    config.write_text("{}\n")
    with Prometheus(config, data, options=["--storage.tsdb.retention.time=400d"]) as running:
        metric = "count(last_over_time(genv_capacity_device_seconds_total[1h]))"
        wait_for(lambda: running.query(metric, float(END)), "the blocks are loaded", 60)
        yield running


def report(running: Prometheus, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genvd", "report", "--prometheus", f"http://127.0.0.1:{running.port}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def document(running: Prometheus, *options: str) -> Any:
    times = [datetime.fromtimestamp(moment, timezone.utc).isoformat()[:19] + "Z" for moment in (BEGIN, END)]
    done = report(running, "--since", times[0], "--until", times[1], "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("by", "label"), [("user", "username"), ("machine", "machine")])
def test_the_report_is_the_sum_of_the_machines(prometheus: Prometheus, fleet: Fleet, by: str, label: str) -> None:
    """With counters that begin and end within the month, a machine that was off, and one that was restarted."""
    began = time.monotonic()
    shown = document(prometheus, "--by", by)
    assert time.monotonic() - began < 15  # on an idle machine 1 to 2 s
    assert len(shown["rows"]) == (len(USERS) if by == "user" else MACHINES)
    for row in shown["rows"]:
        for quantity in (*QUANTITIES, ENERGY):
            assert row[quantity] == pytest.approx(fleet.used[row[label], quantity]), (row[label], quantity)
    capacity = {state: seconds for state, seconds in shown["capacity_device_seconds"].items() if seconds}
    assert capacity == pytest.approx(dict(fleet.capacity))
    assert sum(day["allocated_device_seconds"] for day in shown["days"]) == pytest.approx(
        sum(row["allocated_device_seconds"] for row in shown["rows"])
    )
    assert len(shown["days"]) in (DAYS, DAYS + 1)


def test_the_report_of_one_user_on_all_machines(prometheus: Prometheus, fleet: Fleet) -> None:
    shown = document(prometheus, "--by", "machine", "--user", USERS[0])
    assert sum(row["allocated_device_seconds"] for row in shown["rows"]) == pytest.approx(
        fleet.used[USERS[0], "allocated_device_seconds"]
    )
    assert sum(day["allocated_device_seconds"] for day in shown["days"]) == pytest.approx(
        fleet.used[USERS[0], "allocated_device_seconds"]
    )


def test_private_usage_is_limited_to_who_asks(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only by default: Prometheus shows everything to whoever reaches it."""
    since, until = (datetime.fromtimestamp(moment, timezone.utc) for moment in (END - 86400, END))
    url = f"http://127.0.0.1:{prometheus.port}"
    for wanted, expected in ((None, "alice"), ("bob", "bob")):
        shown = make(Config(), ReportOptions(since, until, "user", wanted, "alice"), None, None, None, url, Access())
        assert [row.labels[0] for row in shown.rows] == [expected]
    monkeypatch.setattr("genvd.terminal.http_client.MAX_BYTES", 100)
    monkeypatch.setattr("genvd.terminal.fleet_report.MAX_BYTES", 100)
    with pytest.raises(ServiceError, match="too much to answer; choose a shorter period"):
        make(Config(), ReportOptions(since, until, "user"), None, None, None, url, Access())


def test_a_table_of_the_fleet(prometheus: Prometheus) -> None:
    done = report(prometheus, "--by", "machine", "--since", "7d")
    assert done.returncode == 0, done.stderr
    assert "gpu00:8000" in done.stdout
    assert "(now), in GPU-h" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[2].split()[:3] == ["#", "machine", "attached"]


def test_a_prometheus_that_is_none_is_explained(prometheus: Prometheus) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genvd", "report", "--prometheus", "localhost:1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "check --prometheus" in done.stderr) == (1, True)
    assert report(prometheus, "--port", "1").returncode == 2


def test_it_gets_into_a_prometheus_with_a_password_through_tls(tmp_path: Path) -> None:
    certificate = issue(tmp_path, "prometheus")
    config, web = tmp_path / "prometheus.yml", tmp_path / "web.yml"
    config.write_text("{}\n")
    digest = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    web.write_text(
        f"tls_server_config: {{cert_file: prometheus.pem, key_file: prometheus.key}}\n"
        f"basic_auth_users: {{grafana: {digest}}}\n"
    )
    password = tmp_path / "password"
    password.write_text("secret\n")
    headers = {"Authorization": f"Basic {base64.b64encode(b'grafana:secret').decode()}"}
    options = [f"--web.config.file={web}"]
    with Prometheus(config, tmp_path / "data", options, tls=trusting(certificate), headers=headers) as running:

        def ask(*options: str | Path, scheme: str = "https") -> subprocess.CompletedProcess[str]:
            url = f"{scheme}://127.0.0.1:{running.port}"
            command = [sys.executable, "-m", "genvd", "report", "--prometheus", url, *map(str, options)]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        trusted = ("--ca-file", certificate.certificate)
        done = ask(*trusted, "--login", "grafana", "--password-file", password)
        assert done.returncode == 0, done.stderr
        assert "This Prometheus has no counters of genv-monitor" in done.stdout
        refused = ask(*trusted)
        assert (refused.returncode, "--login and --password-file" in refused.stderr) == (1, True)
        assert "set --ca-file" in ask().stderr
        assert "; use https://" in ask(scheme="http").stderr
        assert ask(*trusted, "--password-file", password).returncode == 2


def _minutes(first: int, last: int, eid: str, username: str, machine: str = "gpu1:8000") -> dict[str, list[str]]:
    """Return what an environment had by the minute, from minutes before the end on: one GPU, which it used."""
    labels, info = f'instance="{machine}",eid="{eid}"', "genv_environment_info"
    moments = [(END - minute * 60, float(60 * (first - minute))) for minute in range(first, last - 1, -1)]
    lines = {info: [f'{info}{{{labels},username="{username}",name="its name"}} 1 {time}\n' for time, _ in moments]}
    for name in QUANTITIES[:2]:
        counter = f"genv_environment_{name}_total"
        lines[counter] = [f"{counter}{{{labels}}} {value} {time}\n" for time, value in moments]
    return lines


def test_an_environment_of_minutes_counts_for_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its ID was used before, and in the hour that is not over, whatever the fraction of the second is."""
    monkeypatch.setattr("genvd.terminal.fleet_report._MAX_MATCHED", 2)
    capacity = 'genv_capacity_device_seconds_total{instance="gpu1:8000",state="active"}'
    lines = {
        "genv_capacity_device_seconds_total": [f"{capacity} 1 {END - minute * 60}\n" for minute in range(400, -1, -1)]
    }
    for part in (
        _minutes(400, 210, "7", "alice"),
        _minutes(160, 90, "7", "bob"),
        _minutes(170, 140, "8", "carol"),
        _minutes(170, 130, "8", "carol", "gpu2:8000"),
        _minutes(170, 160, "11", "frank", "gpu2:8000"),
        _minutes(50, 0, "9", "dave"),
        _minutes(100, 40, "10", "erin"),  # its machine is down since
    ):
        for name, samples in part.items():
            lines.setdefault(name, []).extend(samples)
    used = {"alice": 190, "bob": 70, "carol": 30 + 40, "dave": 40, "erin": 60, "frank": 10}
    with _filled(tmp_path, lines) as running:
        client = HttpClient(f"http://127.0.0.1:{running.port}", Access(), PROMETHEUS)
        since = datetime.fromtimestamp(END - 8 * 3600, timezone.utc)
        for fraction in (0.0, 0.7532, 0.7538):
            until = END - 600 + fraction
            shown = fleet_report(client, (since, datetime.fromtimestamp(until, timezone.utc)), "environment", until)
            counted = Counter[str]()
            for row in shown.rows:
                assert (row.labels[2], row.active_seconds) == ("its name", row.allocated_seconds)
                counted[str(row.labels[0])] += round(row.allocated_seconds)
            assert counted == {username: 60 * minutes for username, minutes in used.items()}


DEMO_MACHINES, DEMO_TICKS, DEMO_STEP = 3, 60, 600
"""Ten hours of simulated machines."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, dict[str, Counter[str]]]]:
    """A Prometheus with simulated machines, and what each user used according to their own ledgers."""
    used: dict[str, Counter[str]] = {}
    lines: dict[str, list[str]] = {}
    clock = iter(range(0, 10**9, DEMO_STEP))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genvd.ledger.ledger.time.monotonic", lambda: float(next(clock)))
        for seed in range(DEMO_MACHINES):
            machine, first = SimulatedMachine(4, seed, DEMO_STEP), None
            for tick in range(DEMO_TICKS + 1):
                snapshot = machine.collect()
                first = first or snapshot.ledger
                for (name, labels), value in parse(machine.exposition(snapshot).decode()).items():
                    if name.startswith(_COUNTERS):
                        pairs = ",".join(f"{key}={json.dumps(text)}" for key, text in sorted(labels))
                        moment = END - (DEMO_TICKS - tick) * DEMO_STEP
                        series = f'{name}{{instance="gpu{seed}:8000",{pairs}}} {value} {moment}\n'
                        lines.setdefault(name, []).append(series)
            _count_users(used, first, -1)
            _count_users(used, snapshot.ledger, 1)
    with _filled(tmp_path_factory.mktemp("demo"), lines) as running:
        yield running, used


_COUNTERS = ("genv_user_", "genv_environment_info", "genv_capacity_", *(f"genv_environment_{q}" for q in COUNTED))


def _count_users(used: dict[str, Counter[str]], status: LedgerStatus | None, sign: int) -> None:
    assert status
    assert status.users
    for user in status.users:
        amounts = (user.allocated_seconds, user.active_seconds, user.idle_seconds, user.outside_seconds)
        for quantity, amount in zip(QUANTITIES, amounts, strict=True):
            used.setdefault(user.username, Counter())[quantity] += sign * round(1000 * (amount or 0))


def test_the_report_of_demo_machines_is_the_sum_of_their_own(
    demo: tuple[Prometheus, dict[str, Counter[str]]],
) -> None:
    """By environment too: those of a user add up to the user, as no two have the same GPU."""
    running, used = demo
    users = {row["username"]: row for row in document(running)["rows"]}
    environments = document(running, "--by", "environment")["rows"]
    assert {row["machine"] for row in environments} == {f"gpu{seed}:8000" for seed in range(DEMO_MACHINES)}
    assert all(row["name"] for row in environments if row["environment"])
    for name, amounts in used.items():
        for quantity in QUANTITIES:
            expected = amounts[quantity] / 1000
            assert users.get(name, {}).get(quantity, 0) == pytest.approx(expected, abs=0.01), (name, quantity)
            parts = (row[quantity] or 0 for row in environments if row["username"] == name)
            assert sum(parts) == pytest.approx(expected, abs=0.01), (name, quantity)
