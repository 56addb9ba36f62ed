"""Runs unit and integration tests on each supported Python of this machine, and with the oldest supported libraries.

``python -m tests.pythons [--python 3.12] [--only-oldest] [arguments of pytest]``. Each has a virtual environment of its
own in build/python/. The exit status is 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = REPOSITORY / "build" / "python"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
PROJECT = "genvd"

# Releases of that time do not build with Cython 3 where there is no wheel of them.
_BUILD_CONSTRAINTS = ("cython<3",)
_TESTS = ("tests/unit", "tests/integration")


@dataclass(frozen=True)
class Run:
    """Tests with one interpreter."""

    version: str
    python: Path
    oldest: bool = False
    """Whether with the oldest libraries."""

    @property
    def name(self) -> str:
        """What it is called in the report and in build/python/."""
        return f"{self.version}-oldest" if self.oldest else self.version


def interpreters() -> dict[str, Path]:
    """Return the interpreters of this machine, by version: those on PATH, else those that pyenv installed."""
    found: dict[str, Path] = {}
    for one in VERSIONS:
        for candidate in _candidates(one):
            if _works(candidate, one):
                found[one] = candidate
                break
    return found


def _candidates(minor: str) -> Iterator[Path]:
    name = f"python{minor}"
    if on_path := shutil.which(name):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{minor}.*/bin/{name}"))


def _works(python: Path, minor: str) -> bool:
    """Return whether it is of that version and makes virtual environments; a shim of pyenv's can be for none."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == minor


def lower_bounds(requirements: Iterable[str]) -> list[str]:
    """Return constraints that pin each requirement to its lower bound: ``["psutil==5.9.4", ...]``.

    Args:
        requirements: as the metadata of a distribution has them. Those of the extras for developing and fuzzing are
            not what users install, and so not among those that are pinned.

    Raises:
        ValueError: one of them has no lower bound, or two.
    """
    pins = {}
    for requirement in map(Requirement, requirements):
        marker = str(requirement.marker or "")
        if re.search(r"extra == .(dev|fuzz).", marker):
            continue
        bounds = [one.version for one in requirement.specifier if one.operator in (">=", "==", "~=")]
        if len(bounds) != 1:
            raise ValueError(f"{requirement}: needs one lower bound, so that the oldest release can be tested")
        pins[requirement.name] = f"{requirement.name}=={bounds[0]}"
    return sorted(pins.values())


def prepare(run: Run, pins: Iterable[str]) -> Path:
    """Make the virtual environment of a run, and return its interpreter.

    Raises:
        subprocess.CalledProcessError: what is needed cannot be installed.
    """
    directory = BUILD / run.name
    subprocess.run([run.python, "-m", "venv", "--clear", directory], check=True)
    python = directory / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ".[dev]"]
    environment = {**os.environ, **(_constraints(directory, pins) if run.oldest else {})}
    subprocess.run(install, check=True, cwd=REPOSITORY, env=environment)
    return python


def _constraints(directory: Path, pins: Iterable[str]) -> dict[str, str]:
    """Write the constraints, and return the environment that has pip keep to them."""
    oldest, build = directory / "oldest.txt", directory / "build.txt"
    oldest.write_text("\n".join([*pins, *_BUILD_CONSTRAINTS]) + "\n")
    build.write_text("\n".join(_BUILD_CONSTRAINTS) + "\n")
    # For building, pip takes the first of them up to release 25.2, the second from then on.
    return {"PIP_CONSTRAINT": str(oldest), "PIP_BUILD_CONSTRAINT": str(build)}


def run_tests(run: Run, pins: Iterable[str], arguments: Iterable[str]) -> str:
    """Run the tests once; return how that went in a few words."""
    print(f"\n=== Python {run.name} ({run.python})", flush=True)
    try:
        python = prepare(run, pins)
    except subprocess.CalledProcessError:
        return "FAILED: its libraries cannot be installed"
    done = subprocess.run([python, "-m", "pytest", *arguments], check=False, cwd=REPOSITORY)
    return "passed" if done.returncode == 0 else f"FAILED: exit status {done.returncode} of pytest"


def main() -> int:
    """Run the tests on all; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", choices=VERSIONS, help="only this version; may be given again")
    parser.add_argument("--only-oldest", action="store_true", help="only with the oldest libraries")
    options, arguments = parser.parse_known_args()
    found = {name: path for name, path in interpreters().items() if name in (options.python or VERSIONS)}
    if not found:
        print("no Python to test with: none of", *(f"python{one}" for one in options.python or VERSIONS))
        return 1
    pins = lower_bounds(requires(PROJECT) or ())
    oldest = min(found, key=VERSIONS.index)
    runs = [] if options.only_oldest else [Run(name, path) for name, path in found.items()]
    runs.append(Run(oldest, found[oldest], oldest=True))
    chosen = arguments if any(not one.startswith("-") for one in arguments) else [*_TESTS, *arguments]
    results = {run.name: run_tests(run, pins, chosen) for run in runs}
    print("\n=== All Pythons")
    for name, result in results.items():
        print(f"{name:12} {result}" + (f" ({', '.join(pins)})" if name.endswith("oldest") else ""))
    for absent in (one for one in options.python or VERSIONS if one not in found):
        print(f"{absent:12} not on this machine")
    return int(any(result != "passed" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
