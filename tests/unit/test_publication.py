"""Publishing files below directories that other users can write to."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from genvd.common.safe_tree import UnsafePathError, write_file
from genvd.publish.publication import Publication, PublishError, published_files
from genvd.publish.scrape_config import scrape_target, target_lines
from tests.support.interpreter import NOBODY, program_for_nobody
from tests.support.needs import need, need_command, need_root

FILE = Path("prometheus/prometheus.yml")
FILES = Path(__file__).parents[2] / "genvd/publish/files"

HERE = target_lines(["localhost:8000"])

Publish = Callable[[Path], str]
"""Publish in a directory; give what is said about it."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "metrics"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with a file. Neither may be changed."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "victim").write_text("precious")
    return directory


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def publish_to(directory: Path) -> None:
    Publication.create(directory, HERE).write()


def complaint(directory: Path) -> str:
    """Publish where that is impossible, and return the error."""
    descriptors = open_descriptors()
    with pytest.raises(PublishError) as caught:
        publish_to(directory)
    assert open_descriptors() == descriptors
    text = str(caught.value)
    assert text.startswith("cannot publish ")
    assert text.endswith("choose another directory with --config-dir or publish.directory")
    assert len(text.splitlines()) == 1
    return text


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def assert_no_leftovers(directory: Path) -> None:
    """Temporary files are hidden files; published files are not."""
    if directory.is_dir():
        assert list(directory.rglob(".*")) == []


def assert_untouched(outside: Path) -> None:
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "precious"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- What is written -----------------------------------------------------------------------------------------


def test_all_documented_files_are_published(root: Path) -> None:
    publish_to(root)
    published = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert published >= {
        "prometheus/prometheus.yml",
        *(f"prometheus/rules/genv-alerts-{subject}.yml" for subject in ("monitor", "devices", "people")),
        "prometheus/rules/genv-recording.yml",
        "grafana/grafana.ini",
        "grafana/provisioning/datasources/default.yml",
        "grafana/provisioning/dashboards/default.yml",
        *(f"grafana/dashboards/{name}.json" for name in ("overview", "machine", "people", "processes", "fleet")),
    }
    for path in root.glob("grafana/dashboards/*.json"):
        json.loads(path.read_text())
    assert_no_leftovers(root)


def test_prometheus_gets_the_target(root: Path) -> None:
    Publication.create(root, target_lines(["gpu-01:9000"])).write()
    document = yaml.safe_load((root / FILE).read_text())
    (job,) = document["scrape_configs"]
    assert (job["job_name"], job["static_configs"]) == ("genv", [{"targets": ["gpu-01:9000"]}])
    assert document["global"] == {"scrape_interval": "15s", "evaluation_interval": "15s"}
    assert document["rule_files"] == ["rules/*.yml"]


@pytest.mark.parametrize("name", ["a b", "$HOME", "it's", 'a"b', "a: b", "a #b", "a;b", "ü", "%(x)s"])
def test_grafana_gets_directories_with_any_name(tmp_path: Path, name: str) -> None:
    publish_to(tmp_path / name)
    grafana = tmp_path / name / "grafana"
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(grafana / "grafana.ini", encoding="utf-8")
    assert ini["paths"]["provisioning"].strip("`") == str(grafana / "provisioning")
    home = ini["dashboards"]["default_home_dashboard_path"]
    assert home.strip("`") == str(grafana / "dashboards" / "overview.json")
    (provider,) = yaml.safe_load((grafana / "provisioning/dashboards/default.yml").read_text())["providers"]
    assert provider["options"]["path"].replace("$$", "$") == str(grafana / "dashboards")


def test_rules_are_published_unchanged(root: Path) -> None:
    publish_to(root)
    """The times in them are the defaults."""
    rules = {FILES / path for path in published_files() if path.match("prometheus/rules/*.yml")}
    assert {path.name for path in rules} == {path.name for path in (root / "prometheus/rules").iterdir()}
    for path in rules:
        assert (root / "prometheus/rules" / path.name).read_text() == path.read_text()


def test_grafana_gets_the_url_of_prometheus(root: Path) -> None:
    Publication.create(root, HERE, "https://p.example.org/$x?a=b#c").write()
    (source,) = yaml.safe_load((root / "grafana/provisioning/datasources/default.yml").read_text())["datasources"]
    assert source["url"] == "https://p.example.org/$$x?a=b#c"  # Grafana takes $$ for $
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"a\rb", b"${HOME}", b"$__env{HOME}"])
def test_a_directory_with_an_impossible_name_is_refused(tmp_path: Path, name: bytes) -> None:
    directory = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    with pytest.raises(PublishError):
        publish_to(directory)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1", "localhost:8000"),
        ("127.0.1.1", "127.0.1.1:8000"),
        ("0.0.0.0", "localhost:8000"),
        ("::", "localhost:8000"),
        ("::1", "[::1]:8000"),
        ("localhost", "localhost:8000"),
        ("192.0.2.7", "192.0.2.7:8000"),
        ("2001:db8::7", "[2001:db8::7]:8000"),
        ("gpu-01", "gpu-01:8000"),
    ],
)
def test_target(address: str, target: str) -> None:
    if target == "localhost:8000" and address in ("127.0.0.1", "0.0.0.0"):
        found = {one[0] for one in socket.getaddrinfo("localhost", None)}
        need(found == {socket.AF_INET}, "needs a localhost that is 127.0.0.1 only", optional=True)
    assert scrape_target(address, 8000) == target


@pytest.mark.parametrize("value", [0o000, 0o022, 0o077, 0o777])
def test_everybody_can_read_with_any_umask(root: Path, value: int) -> None:
    need(value != 0o777 or os.geteuid() == 0, "needs root: with this umask only root can enter what it makes")
    root.parent.mkdir()
    with umask(value):
        publish_to(root)
    for path in (root, *root.rglob("*")):
        assert mode(path) == (0o755 if path.is_dir() else 0o644), path


def test_missing_parents_are_created(tmp_path: Path) -> None:
    publish_to(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c" / FILE).is_file()


def test_unchanged_files_are_not_written(root: Path) -> None:
    publish_to(root)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*")}
    publish_to(root)
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*")} == before
    assert write_file(root, Path("new"), b"x")
    assert not write_file(root, Path("new"), b"x")


def test_changed_files_are_written_again(root: Path) -> None:
    publish_to(root)
    path = root / FILE
    path.write_text("changed by hand")
    path.chmod(0o600)
    publish_to(root)
    assert "scrape_configs" in path.read_text()
    assert mode(path) == 0o644
    assert_no_leftovers(root)


def test_a_file_that_has_become_huge_is_replaced_without_reading_it(root: Path) -> None:
    publish_to(root)
    published = (root / FILE).read_bytes()
    os.truncate(root / FILE, 2**40)
    publish_to(root)
    assert (root / FILE).read_bytes() == published


def test_a_reader_never_sees_half_a_file(root: Path) -> None:
    contents = (b"a" * 200_000, b"b" * 100_000)
    write_file(root, Path("f"), contents[0])
    strange: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            content = (root / "f").read_bytes()
            if content not in contents:
                strange.append(len(content))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(200):
            write_file(root, Path("f"), contents[number % 2])
    finally:
        done.set()
        reader.join()
    assert strange == []


# --- Links ---------------------------------------------------------------------------------------------------

LINKS = ["", "grafana", "grafana/provisioning/dashboards", str(FILE), "grafana/dashboards/overview.json"]


def test_a_parent_directory_of_another_user_is_refused_unless_it_is_genvs(tmp_path: Path) -> None:
    need_root("gives directories to another user")
    somebodys = tmp_path / "genv"
    somebodys.mkdir()
    os.chown(somebodys, NOBODY, -1)
    text = complaint(somebodys / "below" / "metrics")
    assert f"{somebodys}: belongs to " in text
    assert list(somebodys.iterdir()) == []
    Publication.create(somebodys / "metrics", HERE, world_writable=somebodys).write()
    assert (somebodys / "metrics" / FILE).exists()


@pytest.mark.parametrize("to", ["victim", ".", "missing"])
@pytest.mark.parametrize("place", LINKS)
def test_no_link_is_followed_in_the_tree(root: Path, outside: Path, place: str, to: str) -> None:
    link = root / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / to)
    text = complaint(root)
    assert f"{link}: is a symbolic link, which is not followed; remove it or" in text
    assert_untouched(outside)


@pytest.mark.parametrize("absolute", [True, False])
def test_an_own_link_above_the_directory_is_followed(tmp_path: Path, absolute: bool) -> None:
    real = tmp_path / "real"
    (tmp_path / "deep").mkdir()
    real.mkdir()
    (tmp_path / "deep" / "second").symlink_to(real if absolute else "../real")
    (tmp_path / "first").symlink_to("deep/./second")
    publish_to(tmp_path / "first" / "metrics")
    assert (real / "metrics" / FILE).is_file()


def test_a_link_of_another_user_above_the_directory_is_refused(tmp_path: Path, outside: Path) -> None:
    need_root("makes a link of another user")
    link = tmp_path / "link"
    link.symlink_to(outside)
    os.lchown(link, NOBODY, NOBODY)
    text = complaint(link / "metrics")
    assert f"{link}: is a symbolic link made by nobody, which is not followed; remove it or" in text
    assert_untouched(outside)


@pytest.mark.parametrize("to", ["loop", "loop/..", "./loop/x"])
def test_links_in_a_circle_are_refused(tmp_path: Path, to: str) -> None:
    (tmp_path / "loop").symlink_to(to)
    assert "too many symbolic links" in complaint(tmp_path / "loop" / "metrics")


def test_a_dangling_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with suppress(PublishError):
        publish_to(tmp_path / "link" / "metrics")
    assert {path.name for path in tmp_path.iterdir()} <= {"link", "gone"}


def test_a_link_that_appears_during_writing_is_not_followed(root: Path, outside: Path) -> None:
    write_file(root, FILE, b"0")
    directory, aside = root / FILE.parent, root / "aside"
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            steps = (
                lambda: directory.rename(aside),
                lambda: directory.symlink_to(outside),
                directory.unlink,
                lambda: aside.rename(directory),
            )
            for step in steps:
                with suppress(OSError):  # the writer was quicker
                    step()
            shutil.rmtree(aside, ignore_errors=True)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(300):
            with suppress(OSError, UnsafePathError):  # the swapper was quicker
                write_file(root, FILE, str(number).encode())
    finally:
        done.set()
        swapper.join()
    assert_untouched(outside)


def test_other_users_follow_a_link_of_root(publish_as_somebody: Publish, short_path: Path) -> None:
    need_root("makes a link of another user")
    own(short_path / "real", 0o755)
    link = short_path / "link"
    link.symlink_to("real")
    assert publish_as_somebody(link / "metrics") == ""
    os.lchown(link, 4_000_000, 4_000_000)
    assert f"{link}: is a symbolic link made by 4000000, which is not followed" in publish_as_somebody(link / "metrics")


# --- What belongs to others, or is something else ------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "grafana", "grafana/dashboards", str(FILE)])
def test_files_of_another_user_are_refused(root: Path, place: str) -> None:
    need_root("gives a file to another user")
    publish_to(root)
    path = root / place
    os.chown(path, NOBODY, NOBODY)
    text = complaint(root)
    assert f"cannot publish {path}: belongs to nobody and not to root; remove it or choose another directory" in text


def test_a_user_without_an_account_is_shown_by_uid(root: Path) -> None:
    need_root("gives a directory to another user")
    root.mkdir(parents=True)
    os.chown(root, 4_000_000, 4_000_000)
    assert "belongs to 4000000 and not to root" in complaint(root)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.fixture
def short_path(public_directory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory whose path is short enough for a socket, and which everybody can enter."""
    directory = public_directory / f"p{abs(hash(request.node.nodeid)) % 10**8}"
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("make", "place"),
    [
        *((make, place) for make in (os.mkfifo, make_socket) for place in ("", "grafana", str(FILE))),
        (Path.touch, ""),
        (Path.touch, "grafana"),
        (Path.mkdir, str(FILE)),
    ],
)
def test_other_file_types_are_refused(short_path: Path, make: Callable[[Path], None], place: str) -> None:
    path = short_path / "m" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    kind = stat.S_IFMT(path.stat().st_mode)
    assert f"cannot publish {path}: " in complaint(short_path / "m")
    assert_no_leftovers(short_path)
    assert stat.S_IFMT(path.stat().st_mode) == kind


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 300)
    assert f"cannot publish {directory}: File name too long" in complaint(directory)
    assert f"cannot publish {directory}: File name too long" in complaint(directory / "metrics")


# --- When the system does not let it be written --------------------------------------------------------------


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    need_root("mounts a file system")
    directory.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], capture_output=True, check=False
    )
    need(mount.returncode == 0, "needs to mount a tmpfs; a container needs CAP_SYS_ADMIN for that")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def test_a_full_file_system(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=16k,mode=755") as small:
        write_file(small / "metrics", Path("f"), b"old")
        text = complaint(small / "metrics2")
        assert "No space left on device; free some space or choose another directory" in text
        assert_no_leftovers(small)
        assert str(small / "metrics2" / "grafana") in text
        with pytest.raises(OSError, match="No space left"):
            write_file(small / "metrics", Path("f"), b"new" * 100_000)
        assert [path.read_text() for path in (small / "metrics").iterdir()] == ["old"]


def test_no_inodes_left(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "nr_inodes=4,mode=755") as small:
        assert "No space left on device; free some space or" in complaint(small / "metrics")


def test_a_read_only_file_system(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m,mode=755") as disk:
        publish_to(disk / "metrics")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        publish_to(disk / "metrics")  # there is nothing to write
        with pytest.raises(PublishError, match="Read-only file system"):
            Publication.create(disk / "metrics", target_lines(["other:1"])).write()
        text = complaint(disk / "new" / "metrics")
        assert f"cannot publish {disk}/new: Read-only file system" in text


PUBLISH = (
    "import sys; from pathlib import Path; from genvd.publish.publication import Publication, PublishError\n"
    "try: Publication.create(Path(sys.argv[1]), '').write()\n"
    "except PublishError as error: sys.exit(str(error))"
)


def test_a_file_size_limit(root: Path) -> None:
    prlimit = need_command("prlimit", "util-linux")
    command = [prlimit, "--fsize=1000", sys.executable, "-c", PUBLISH, str(root)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr.startswith(f"cannot publish {root}/grafana/dashboards/fleet.json: File too large; ")
    assert_no_leftovers(root)
    assert not (root / "grafana/dashboards/overview.json").exists()


@pytest.fixture(scope="session")
def publish_as_somebody(public_directory: Path) -> Publish:
    """Publish in a process of a user other than root."""
    publish = [*program_for_nobody(public_directory), "-c", PUBLISH]

    def start(directory: Path) -> str:
        command = [*publish, directory]
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False).stderr

    return lambda directory: start(directory).strip()


def own(path: Path, permissions: int, *, mine: bool = False) -> Path:
    """Create a directory of the publishing user, or of the user who runs the tests."""
    path.mkdir()
    path.chmod(permissions)
    if os.geteuid() == 0 and not mine:
        os.chown(path, NOBODY, NOBODY)
    return path


def test_it_publishes_without_root(publish_as_somebody: Publish, short_path: Path) -> None:
    assert publish_as_somebody(own(short_path / "d", 0o755) / "metrics") == ""


def test_a_parent_directory_need_not_be_readable(publish_as_somebody: Publish, short_path: Path) -> None:
    home = own(short_path / "home", 0o711, mine=True)
    inner = own(home / "d", 0o755)
    if os.geteuid() != 0:
        home.chmod(0o311)
    text = publish_as_somebody(inner / "metrics")
    home.chmod(0o755)
    assert text == ""


@pytest.mark.parametrize("permissions", [0o555, 0o000])
def test_a_directory_without_permission(publish_as_somebody: Publish, short_path: Path, permissions: int) -> None:
    directory = own(short_path / "d", permissions)
    text = publish_as_somebody(directory / "metrics")
    directory.chmod(0o755)
    assert text.startswith(f"cannot publish {directory}")
    assert text.endswith(
        ": Permission denied; make it writable or choose another directory with --config-dir or publish.directory"
    )


def test_a_directory_of_root_is_refused(publish_as_somebody: Publish, short_path: Path) -> None:
    need_root("makes a directory that belongs to root")
    directory = own(short_path / "metrics", 0o777, mine=True)
    expected = f"cannot publish {directory}: belongs to root and not to nobody; remove it or choose another directory"
    assert publish_as_somebody(directory) == f"{expected} with --config-dir or publish.directory"
    assert list(directory.iterdir()) == []
