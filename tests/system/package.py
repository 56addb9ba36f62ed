"""The Debian package: built as anybody builds it, and in a former version."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.needs import need_command, need_root
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "genv-monitor"
FORMER_VERSION = "0.0.1-1"


def build_package(directory: Path) -> Path:
    """Build the package of this tree, and return a copy of it in the directory."""
    need_root("installs what the package needs to be built")
    need_command("dpkg-deb", "dpkg")
    _run("make", "--silent", "--directory", str(REPOSITORY), "deb")

    def copied() -> Path:  # again when somebody else builds it at this moment
        (built,) = (REPOSITORY / "dist").glob(f"{NAME}_*_all.deb")
        return Path(shutil.copy(built, directory))

    return wait_for(copied, "the package is in dist/")


def repacked(package: Path, directory: Path, change: Callable[[Path], None], version: str = FORMER_VERSION) -> Path:
    """Return another package, in the directory: the same under another version, with something changed in it.

    Args:
        package: what to begin with.
        directory: where to; it is made if it is not there.
        change: gets the directory in which the content of the package is.
        version: of the new package.
    """
    content = directory / "content"
    directory.mkdir(parents=True, exist_ok=True)
    _run("dpkg-deb", "--raw-extract", str(package), str(content))
    control = content / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    change(content)
    result = directory / f"{NAME}_{version}_all.deb"
    _run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(content), str(result))
    shutil.rmtree(content)
    return result


def version_of(package: Path) -> str:
    """Return the version of a package."""
    return _run("dpkg-deb", "--field", str(package), "Version").strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
