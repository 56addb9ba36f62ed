"""Runs unit and integration tests with the libraries of each supported release, and with the newest on each Python.

``python -m tests.pythons [--with debian-12] [--python 3.12] [arguments of pytest]``. Each run has a virtual environment
of its own in build/python/. The exit status is 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = REPOSITORY / "build" / "python"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
PROJECT = "genvd"

# Releases of that time do not build with Cython 3 where there is no wheel of them.
_BUILD_CONSTRAINTS = ("cython<3",)
_TESTS = ("tests/unit", "tests/integration")

NEWEST = "newest"


@dataclass(frozen=True)
class Release:
    """A release of a distribution: its Python, and its versions of the libraries that the package depends on.

    No release has nvidia-ml-py: the package has it with it. Of bcrypt, the version is that of Recommends.
    """

    python: str
    versions: Mapping[str, str]

    @property
    def pins(self) -> list[str]:
        """The constraints for pip: ``["psutil==5.9.4", ...]``."""
        return [f"{name}=={version}" for name, version in self.versions.items()]


def _release(python: str, prometheus: str, psutil: str, yaml: str, sdnotify: str, bcrypt: str, h11: str) -> Release:
    names = ("prometheus-client", "psutil", "pyyaml", "sdnotify", "bcrypt", "h11")
    return Release(python, dict(zip(names, (prometheus, psutil, yaml, sdnotify, bcrypt, h11), strict=True)))


RELEASES = {
    "ubuntu-22.04": _release("3.10", "0.9.0", "5.9.0", "5.4.1", "0.3.1", "3.2.0", "0.13.0"),
    "debian-12": _release("3.11", "0.16.0", "5.9.4", "6.0", "0.3.1", "3.2.2", "0.14.0"),
    "ubuntu-24.04": _release("3.12", "0.19.0", "5.9.8", "6.0.1", "0.3.1", "3.2.2", "0.14.0"),
    "debian-13": _release("3.13", "0.21.1", "7.0.0", "6.0.2", "0.3.2", "4.2.0", "0.14.0"),
}
"""What apt shows of python3, python3-prometheus-client and so on. The first has the lower bounds of pyproject.toml."""

OLDEST = "ubuntu-22.04"


@dataclass(frozen=True)
class Run:
    """Tests with one interpreter."""

    version: str
    python: Path
    libraries: str = NEWEST
    """The name of the release whose libraries it has."""
    pins: tuple[str, ...] = ()
    """Their versions, for pip."""

    @property
    def name(self) -> str:
        """What it is called in the report and in build/python/."""
        return f"{self.version}-{self.libraries}"


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


def vendored() -> str:
    """Return the constraint that pins nvidia-ml-py to what the package has with it."""
    (metadata,) = REPOSITORY.glob("packaging/vendor/pynvml/nvidia_ml_py-*.dist-info")
    return f"nvidia-ml-py=={metadata.stem.partition('-')[2]}"


def runs(found: Mapping[str, Path], libraries: Sequence[str], oldest: Sequence[str]) -> list[Run]:
    """Return the runs with these libraries: of a release on its own Python, the newest on each.

    Args:
        found: the interpreters, by version.
        libraries: names of releases, or :data:`NEWEST`.
        oldest: constraints of the lower bounds, which :data:`OLDEST` has.
    """
    chosen = []
    for name in libraries:
        if name == NEWEST:
            chosen += [Run(version, path) for version, path in found.items()]
        elif (release := RELEASES[name]).python in found:
            pins = oldest if name == OLDEST else [*release.pins, vendored()]
            chosen.append(Run(release.python, found[release.python], name, tuple(pins)))
    return chosen


def prepare(run: Run) -> Path:
    """Make the virtual environment of a run, and return its interpreter.

    Raises:
        subprocess.CalledProcessError: what is needed cannot be installed.
    """
    directory = BUILD / run.name
    subprocess.run([run.python, "-m", "venv", "--clear", directory], check=True)
    python = directory / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ".[dev]"]
    environment = {**os.environ, **(_constraints(directory, run.pins) if run.pins else {})}
    subprocess.run(install, check=True, cwd=REPOSITORY, env=environment)
    return python


def _constraints(directory: Path, pins: Iterable[str]) -> dict[str, str]:
    """Write the constraints, and return the environment that has pip keep to them."""
    libraries, build = directory / "libraries.txt", directory / "build.txt"
    libraries.write_text("\n".join([*pins, *_BUILD_CONSTRAINTS]) + "\n")
    build.write_text("\n".join(_BUILD_CONSTRAINTS) + "\n")
    # For building, pip takes the first of them up to release 25.2, the second from then on.
    return {"PIP_CONSTRAINT": str(libraries), "PIP_BUILD_CONSTRAINT": str(build)}


def run_tests(run: Run, arguments: Iterable[str]) -> str:
    """Run the tests once; return how that went in a few words."""
    print(f"\n=== Python {run.version} with the libraries of {run.libraries} ({run.python})", flush=True)
    try:
        python = prepare(run)
    except subprocess.CalledProcessError:
        return "FAILED: its libraries cannot be installed"
    done = subprocess.run([python, "-m", "pytest", *arguments], check=False, cwd=REPOSITORY)
    return "passed" if done.returncode == 0 else f"FAILED: exit status {done.returncode} of pytest"


def main() -> int:
    """Run the tests on all; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = (*RELEASES, NEWEST)
    parser.add_argument("--with", dest="libraries", action="append", choices=names, help="only with these libraries")
    parser.add_argument("--python", action="append", choices=VERSIONS, help="only this version; may be given again")
    options, arguments = parser.parse_known_args()
    wanted = options.python or VERSIONS
    found = {name: path for name, path in interpreters().items() if name in wanted}
    oldest = lower_bounds(importlib.metadata.requires(PROJECT) or ())
    chosen = runs(found, options.libraries or names, oldest)
    if not chosen:
        print("no Python to test with: none of", *(f"python{one}" for one in wanted))
        return 1
    tests = arguments if any(not one.startswith("-") for one in arguments) else [*_TESTS, *arguments]
    results = {run: run_tests(run, tests) for run in chosen}
    print("\n=== All Pythons")
    for run, result in results.items():
        print(f"{run.name:18} {result}" + (f" ({', '.join(run.pins)})" if run.pins else ""))
    for absent in (one for one in wanted if one not in found):
        print(f"{absent:18} not on this machine")
    return int(any(result != "passed" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
