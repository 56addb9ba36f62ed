"""The ledger of a running monitor: restarts, failing disks, files that are not its own, and reports."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.interpreter import program_for_nobody
from tests.support.ledger import allocated, integrity
from tests.support.monitor import PROGRAM, Monitor, Series, named, series
from tests.support.needs import need_command, need_root
from tests.support.waiting import wait_for

SUCCESS = series("genv_monitor_ledger_write_success")
LAST_WRITE = series("genv_monitor_ledger_last_write_timestamp_seconds")
ALLOCATED = "genv_user_allocated_device_seconds_total"
STOP_SECONDS = 2.0

pytestmark = pytest.mark.usefixtures("state_directory")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of the ledger."""
    return tmp_path / "state"


@pytest.fixture
def file(tmp_path: Path, directory: Path) -> Path:
    """The configuration file."""
    path = tmp_path / "monitor.yaml"
    configure(path, directory)
    return path


def configure(path: Path, directory: Path | None, more: str = "") -> None:
    directory_key = f"directory: {directory}, " if directory else ""
    path.write_text(f"collect: {{interval: 100ms}}\nledger: {{{directory_key}write_interval: 100ms{more}}}\n")


def monitor(file: Path, **settings: Any) -> Monitor:
    options: list[str | Path] = ["--config", file, "--config-dir", file.parent / "published", "--demo", "4"]
    return Monitor(options, **settings)


def total(metrics: Series) -> float:
    """Return the sum of all users' allocated seconds, rounded because the order of addition shows otherwise."""
    return round(sum(named(metrics, ALLOCATED).values()), 6)


def growing(running: Monitor, more: float = 0.5) -> Series:
    """Return the metrics after the counters have grown."""
    before = total(running.metrics())

    def grown() -> Series | None:
        metrics = running.metrics()
        return metrics if total(metrics) > before + more else None

    return wait_for(grown, "the counters grow")


def written(running: Monitor) -> Series:
    def success() -> Series | None:
        metrics = running.metrics()
        return metrics if metrics.get(SUCCESS) == 1 else None

    return wait_for(success, "the ledger is written")


def not_written(running: Monitor) -> Series:
    def failure() -> Series | None:
        metrics = running.metrics()
        return metrics if metrics.get(SUCCESS) == 0 else None

    return wait_for(failure, "the ledger is not written, and a metric shows it")


def complaints(running: Monitor) -> list[str]:
    return [line for line in running.output if "WARNING ledger:" in line or "ERROR ledger:" in line]


def report(
    *arguments: str | Path, program: Sequence[str | Path] = (PROGRAM,), **settings: Any
) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in (*program, "report", *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **settings)
    assert "Traceback" not in done.stderr
    return done


def test_counters_continue_after_a_restart(file: Path, directory: Path) -> None:
    with monitor(file) as running:
        metrics = growing(running)
        assert metrics[SUCCESS] == 1
        assert abs(metrics[LAST_WRITE] - time.time()) < 20
        assert running.stop() == 0
    at_the_end = allocated(directory / "ledger.db") / 1000
    assert at_the_end >= total(metrics)
    assert allocated(directory / "ledger.db", "hour") == allocated(directory / "ledger.db")
    assert oct((directory / "ledger.db").stat().st_mode & 0o777) == "0o600"
    with monitor(file) as running:
        assert total(running.metrics()) >= at_the_end  # at the first scrape
        growing(running)


def test_counters_never_go_back_after_kills(file: Path, directory: Path) -> None:
    last: Series = {}
    for _ in range(5):
        with monitor(file) as running:
            metrics = named(running.metrics(), ALLOCATED)
            assert all(metrics[key] >= value for key, value in last.items())
            last = named(growing(running), ALLOCATED)
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
    assert integrity(directory / "ledger.db") == "ok"


def test_without_a_directory_the_ledger_is_in_memory_only(file: Path, tmp_path: Path) -> None:
    """A simulated machine has no default directory, not even under systemd."""
    configure(file, None)
    own = tmp_path / "own"
    own.mkdir()
    with monitor(file, environment={"STATE_DIRECTORY": str(own)}) as running:
        metrics = growing(running)
        assert SUCCESS not in metrics
        assert LAST_WRITE not in metrics
        assert running.snapshot()["ledger"]["users"]
        assert running.stop() == 0
    assert list(own.iterdir()) == []


def test_the_service_uses_the_state_directory_of_systemd(file: Path, tmp_path: Path) -> None:
    configure(file, None)
    own = tmp_path / "own"
    options: list[str | Path] = ["--config", file, "--config-dir", tmp_path / "published"]
    with Monitor(options, environment={"STATE_DIRECTORY": f"{own}:/nonexistent"}) as running:
        written(running)
        assert (own / "ledger.db").exists()


def test_a_reload_disables_and_moves_the_ledger(file: Path, directory: Path, tmp_path: Path) -> None:
    with monitor(file) as running:
        growing(running)
        configure(file, directory, ", enabled: false")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not named(running.metrics(), ALLOCATED), "no ledger")
        assert SUCCESS not in running.metrics()
        configure(file, tmp_path / "elsewhere")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: running.metrics().get(SUCCESS) == 1, "a ledger elsewhere")
        growing(running)
        assert running.stop() == 0
    assert allocated(directory / "ledger.db") > 0
    assert allocated(tmp_path / "elsewhere" / "ledger.db") > 0


# --- The disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    need_root("mounts a file system")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a file system: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk(file: Path, small_disk: Path) -> None:
    configure(file, small_disk / "state")
    with monitor(file) as running:
        before = total(growing(running))
        filler = fill(small_disk)
        metrics = not_written(running)
        assert total(metrics) >= before
        assert total(growing(running, 2)) > before
        (complaint,) = complaints(running)
        assert "disk is full" in complaint
        filler.unlink()
        written(running)
        growing(running)
        assert len(complaints(running)) == 1
        assert "the file can be written again" in running.log
        last = total(running.metrics())
        assert running.stop() == 0
    path = small_disk / "state" / "ledger.db"
    assert integrity(path) == "ok"
    assert last <= allocated(path) / 1000 == allocated(path, "hour") / 1000


def test_a_disk_that_is_full_from_the_start(file: Path, small_disk: Path) -> None:
    """Earlier totals are read nevertheless."""
    configure(file, small_disk / "state")
    with monitor(file) as running:
        growing(running)
        assert running.stop() == 0
    before = allocated(small_disk / "state" / "ledger.db") / 1000
    filler = fill(small_disk)
    with monitor(file) as running:
        assert total(not_written(running)) >= before
        growing(running)
        filler.unlink()
        written(running)
        assert total(growing(running)) > before


def test_a_disk_that_becomes_read_only(file: Path, small_disk: Path) -> None:
    configure(file, small_disk / "state")
    remount = ["mount", "-t", "tmpfs", "tmpfs", str(small_disk)]
    with monitor(file) as running:
        written(running)
        assert running.stop() == 0
    subprocess.run([*remount, "-o", "remount,ro"], check=True)
    with monitor(file) as running:
        not_written(running)
        growing(running)
        assert len(complaints(running)) == 1
        subprocess.run([*remount, "-o", "remount,rw"], check=True)
        written(running)


@pytest.fixture
def sick_disk(tmp_path: Path) -> dict[str, str]:
    """Environment variables for a process whose disk hangs while the file ``hang`` exists."""
    compiler = need_command("gcc", "gcc")
    library = tmp_path / "disk.so"
    source = Path(__file__).parents[1] / "support" / "disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "HANG_DISK": str(tmp_path / "hang")}


def test_a_disk_that_hangs_delays_neither_collections_nor_the_stop(
    file: Path, directory: Path, sick_disk: dict[str, str]
) -> None:
    hang = Path(sick_disk["HANG_DISK"])
    with monitor(file, environment=sick_disk) as running:
        written(running)
        hang.touch()
        stuck = wait_for(lambda: _unchanged(running), "writing has stopped")
        running.next_metrics(10)
        hang.unlink()
        wait_for(lambda: running.metrics()[LAST_WRITE] > stuck, "it is written again")
        hang.touch()
        wait_for(lambda: _unchanged(running), "writing has stopped")
        started = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - started < STOP_SECONDS
        assert "could not be written in time" in running.log
    assert integrity(directory / "ledger.db") == "ok"


def _unchanged(running: Monitor) -> float | None:
    """Return the time of the last write, if it is unchanged for ten collections."""
    before = running.metrics()[LAST_WRITE]
    return before if running.next_metrics(10)[LAST_WRITE] == before else None


def test_a_disk_that_hangs_from_the_start(file: Path, sick_disk: dict[str, str]) -> None:
    hang = Path(sick_disk["HANG_DISK"])
    hang.touch()
    with file.open("a") as config:
        config.write("publish: {enabled: false}\n")  # publishing waits for the disk before the server starts
    with monitor(file, environment=sick_disk) as running:
        metrics = running.next_metrics(3)
        assert not named(metrics, ALLOCATED)  # the totals are unknown
        hang.unlink()
        written(running)
        growing(running)


def test_a_locked_file_is_written_when_the_lock_is_released(file: Path, directory: Path) -> None:
    with monitor(file) as running:
        before = total(growing(running))
        with closing(sqlite3.connect(directory / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            not_written(running)
            assert total(growing(running, 2)) > before
            other.execute("ROLLBACK")
        written(running)
        assert len(complaints(running)) == 1


def test_a_second_monitor_counts_for_itself(file: Path, directory: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(monitor(file))
        written(first)
        second = stack.enter_context(monitor(file))
        not_written(second)
        growing(second)
        (complaint,) = complaints(second)
        assert "another genv-monitor is writing it" in complaint
        growing(first)
        assert first.stop() == 0
        at_the_end = allocated(directory / "ledger.db") / 1000
        taken_over = total(written(second))
        # The usage that both counted is in the file once.
        assert taken_over == pytest.approx(at_the_end, abs=3)


# --- Files that exist already -----------------------------------------------------------------------------------


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["garbage", "damaged", "cut off"])
def test_a_damaged_file_is_moved_and_a_new_one_created(file: Path, directory: Path, how: str) -> None:
    path = directory / "ledger.db"
    with monitor(file) as running:
        growing(running)
        assert running.stop() == 0
    if how == "garbage":
        path.write_bytes(os.urandom(20_000))
    elif how == "damaged":
        damage(path)
    else:
        os.truncate(path, path.stat().st_size // 2 + 100)
    damaged = path.read_bytes()
    with monitor(file) as running:
        written(running)
        growing(running)
        (complaint,) = complaints(running)
        assert "the file is damaged" in complaint
        assert running.stop() == 0
    (aside,) = directory.glob("ledger.db.corrupt-*")
    assert aside.read_bytes() == damaged
    assert integrity(path) == "ok"


def test_a_file_damaged_while_in_use_loses_no_total(file: Path, directory: Path) -> None:
    path = directory / "ledger.db"
    with monitor(file) as running:
        before = total(growing(running))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            not_written(running)
            for name in ("ledger.db", "ledger.db-wal"):
                (directory / name).write_bytes(os.urandom(50_000))
        wait_for(lambda: list(directory.glob("ledger.db.corrupt-*")), "the damaged file is moved")
        written(running)
        assert total(growing(running)) > before
        assert running.stop() == 0
    assert allocated(path) / 1000 > before
    assert integrity(path) == "ok"


def test_a_deleted_file_loses_no_total(file: Path, directory: Path) -> None:
    with monitor(file) as running:
        before = total(growing(running))
        shutil.rmtree(directory)
        wait_for(lambda: (directory / "ledger.db").exists(), "a new file is created")
        assert total(growing(running)) > before
        assert running.stop() == 0
    assert allocated(directory / "ledger.db") / 1000 > before


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")


def real(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {0x67656E76}")


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def second_name(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def log_link(path: Path) -> None:
    path.with_name("ledger.db-wal").symlink_to("/etc/passwd")


def writable(path: Path) -> None:
    path.chmod(0o666)


def writable_directory(path: Path) -> None:
    path.parent.chmod(0o777)


def of_nobody(path: Path) -> None:
    need_root("gives a file away")
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (newer, "newer version of genv-monitor"),
        (foreign, "database of another program"),
        (real, "ledger of the real machine"),
        (link, "not a regular file"),
        (second_name, "another hard link"),
        (fifo, "not a regular file"),
        (log_link, "not a regular file"),
        (writable, "others can write it"),
        (writable_directory, "others can write there"),
        (of_nobody, "belongs to nobody"),
    ],
)
def test_foreign_files_are_left_alone(file: Path, directory: Path, prepare: Any, reason: str) -> None:
    path = directory / "ledger.db"
    with monitor(file) as running:
        written(running)
        assert running.stop() == 0
    prepare(path)
    before = {name: name.read_bytes() for name in directory.iterdir() if name.is_file() and not name.is_symlink()}
    with monitor(file) as running:
        not_written(running)
        growing(running)
        running.next_metrics(5)
        (complaint,) = complaints(running)
        assert reason in complaint
        assert str(directory) in complaint
        assert running.stop() == 0
    assert all(name.read_bytes() == content for name, content in before.items())


# --- The report ----------------------------------------------------------------------------------------------


def test_reports_of_a_running_and_a_stopped_service(file: Path, directory: Path, tmp_path: Path) -> None:
    with monitor(file) as running:
        growing(running)
        metrics = running.metrics()
        document = json.loads(report("-c", file, "--format", "json").stdout)
        assert sum(row["allocated_device_seconds"] for row in document["rows"]) >= total(metrics)
        growing(running)
        backup = tmp_path / "backup.db"
        with closing(sqlite3.connect(directory / "ledger.db")) as source, closing(sqlite3.connect(backup)) as target:
            source.backup(target)
        assert running.stop() == 0
    whole = allocated(directory / "ledger.db") / 1000
    for by in ("user", "environment", "device"):
        rows = list(csv.DictReader(report("-c", file, "--by", by, "--format", "csv").stdout.splitlines()))
        assert sum(float(row["allocated_device_seconds"]) for row in rows) == pytest.approx(whole)
    assert len(list(csv.DictReader(report("--ledger", backup, "--format", "csv").stdout.splitlines()))) > 0
    table = report("-c", file, "--since", "today").stdout.splitlines()
    assert table[2].split()[:6] == ["#", "username", "attached", "active", "idle", "outside"]
    (sums,) = (line.split() for line in table if line.split()[:1] == ["total"])
    seconds = {"GPU-h": 3600, "GPU-min": 60, "GPU-s": 1}[table[0].split()[-1]]
    assert float(sums[1]) == pytest.approx(whole / seconds, abs=0.0051)  # of two digits
    assert report("-c", file, "--until", "2026-01-01", "--since", "2025-12-01").stdout.endswith(
        "no GPU was attached or used.\n"
    )


def test_a_report_by_root_leaves_no_files_of_root(file: Path, directory: Path) -> None:
    """SQLite creates files next to the database. The service could not write files of root."""
    need_root("gives files away")
    with monitor(file) as running:
        written(running)
        assert running.stop() == 0
    for path in (directory, *directory.iterdir()):
        os.chown(path, 65534, 65534)
    assert report("-c", file).returncode == 0
    assert {path.stat().st_uid for path in directory.iterdir()} == {65534}


def test_reports_do_not_block_the_writer(file: Path, directory: Path) -> None:
    with monitor(file) as running:
        written(running)
        with closing(sqlite3.connect(f"file:{directory}/ledger.db?mode=ro", uri=True, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM hour").fetchone()
            before = running.metrics()[LAST_WRITE]
            wait_for(lambda: running.metrics()[LAST_WRITE] > before, "the file is written during a read")
        assert complaints(running) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no ledger"),
        (b"", "it is still empty"),
        (b"not a database, but longer than the header of one" * 20, "file is not a database"),
    ],
)
def test_without_a_ledger_it_says_so(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    done = report("--ledger", path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert str(path) in line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--since", "soon"], "expected how long ago"),
        (["--until", "2026-02-30"], "expected how long ago"),
        (["--since", "today", "--until", "yesterday"], "--since is not before --until"),
        (["--by", "group"], "invalid choice"),
        (["--format", "xml"], "invalid choice"),
        (["--ledger", ""], "expected a file"),
        (["--by", "machine"], "--by machine needs --prometheus"),
        (["--by", "device", "--prometheus", "x"], "--by device is not in Prometheus"),
        (["--demo", "--url", "x"], "--demo cannot be used with --url"),
    ],
)
def test_wrong_options(options: list[str], reason: str) -> None:
    done = report(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr.splitlines()[-1]


def test_it_is_not_everybodys_to_read(file: Path, public_directory: Path) -> None:
    need_root("reports as another user")
    own = public_directory / "ledger"
    configure(file, own)
    with monitor(file) as running:
        written(running)
        done = report("--ledger", own / "ledger.db", program=[*program_for_nobody(public_directory), "-m", "genvd"])
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "permission denied; use sudo" in line


def test_descriptors_and_threads_do_not_accumulate(file: Path, directory: Path) -> None:
    """Not even while the file cannot be written for long."""
    with monitor(file) as running:
        written(running)
        running.next_metrics(5)
        descriptors = _descriptors(running)
        with closing(sqlite3.connect(directory / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            not_written(running)
            running.next_metrics(10)
            threads = running.threads  # pools keep their workers
            running.next_metrics(50)
        written(running)
        running.next_metrics(5)
        assert running.threads < threads + 8  # on a busy machine pools start some workers late
        assert _descriptors(running) <= descriptors + 1
        assert len(complaints(running)) <= 1


def _descriptors(running: Monitor) -> int:
    return sum(1 for _ in Path(f"/proc/{running.process.pid}/fd").iterdir())


def test_active_and_idle_are_at_most_allocated(file: Path) -> None:
    with monitor(file) as running:
        metrics = growing(running, 3)
    names = [f"genv_user_{kind}_device_seconds_total" for kind in ("active", "idle")]
    for (_, labels), value in named(metrics, ALLOCATED).items():
        parts = [metrics[name, labels] for name in names if (name, labels) in metrics]
        assert sum(parts) <= value + 1e-6
        assert all(later >= 0 for later in parts)
