"""What the tests say of the machine before they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests import preflight
from tests.support.needs import need_command, need_root

TESTS = Path(preflight.__file__).parent
NAMED = re.compile(r"\"needs [^\"]*: apt install ([a-z0-9 -]+)|need_command\([^()]*, \"([a-z0-9-]+)\"\)")


def test_every_package_that_a_test_asks_for_is_on_the_list() -> None:
    known = {package for need in preflight.NEEDS for package in need.packages}
    of_every_debian = {"dpkg"}
    sources = (path for path in TESTS.rglob("*.py") if path.parent.name != "unit")
    asked = {name for path in sources for found in NAMED.findall(path.read_text()) for name in " ".join(found).split()}
    assert {"chromium", "gcc", "mmdebstrap", "util-linux"} <= asked
    assert asked <= known | of_every_debian | {"python3"}


def test_what_is_missing_is_said_at_once_with_the_way_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, preflight.__file__]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    required, _, others = done.stdout.partition("tests that need it are left out:")
    assert re.search(r"nothing runs without:\n  a C compiler +for the NVML stand-in\n", required)
    assert re.search(r"\n  openssl +for certificates for TLS\n", others)
    (apt,) = re.findall(r"^  (?:sudo )?apt install (.*)$", others, re.MULTILINE)
    assert {"gcc", "libc6-dev", "openssl", "chromium"} <= set(apt.split())


def test_a_machine_that_has_everything_is_told_so() -> None:
    assert preflight.report((), ()) == "Nothing is missing on this machine for the tests."


def test_a_target_names_all_that_it_lacks_at_once() -> None:
    command = [sys.executable, preflight.__file__, "--for", "draw screenshots engines"]
    done = subprocess.run(command, env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    first, *_, apt = done.stderr.splitlines()
    assert first.startswith("Missing on this machine for 'make draw screenshots engines': chromium, ")
    assert {"chromium", "prometheus", "victoria-metrics"} <= set(apt.split())
    assert all(name in first for name in ("prometheus", "victoria-metrics"))


def test_a_target_that_lacks_nothing_is_silent() -> None:
    command = [sys.executable, preflight.__file__, "--for", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_targets_that_it_knows_are_there() -> None:
    makefile = (preflight.REPOSITORY / "Makefile").read_text()
    assert set(preflight._TARGETS) <= set(re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE))


def test_what_root_makes_in_the_clone_of_a_user_belongs_to_the_user(tmp_path: Path) -> None:
    """Whether the target succeeds or not; else the next 'make lint' of the user would fail at root's caches."""
    need_root("makes files for another user")
    need_command("make", "make")
    shutil.copy(preflight.REPOSITORY / "Makefile", tmp_path)
    (tmp_path / "build/trees/bookworm").mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    os.chown(tmp_path / "build/trees/bookworm", 0, 0)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of 'make test'
    for goals, status in (("help", 0), ("format", 2)):  # without a checkout there is nothing to format
        (tmp_path / ".mypy_cache").mkdir(exist_ok=True)
        os.chown(tmp_path / ".mypy_cache", 0, 0)
        done = subprocess.run(["make", goals], cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert done.returncode == status
        assert (tmp_path / ".mypy_cache").stat().st_uid == 65534
    assert (tmp_path / "build/trees/bookworm").stat().st_uid == 0


def test_the_package_names_all_that_its_build_lacks_at_once(tmp_path: Path) -> None:
    """Also without dpkg-dev, which would tell it. Nobody but root can install it, and so root is no user here."""
    for name in ("sh", "dirname", "mkdir", "flock", "id", "sed", "tr", "stat", "realpath", "chown", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    script = preflight.REPOSITORY / "packaging" / "build-deb"
    done = subprocess.run(["/bin/sh", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    for name in ("dpkg-dev", "dh-sequence-python3", "python3-hatchling", "python3-yaml"):
        assert f" {name}" in line
