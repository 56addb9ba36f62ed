"""Which releases of the libraries are the oldest that are supported."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.version import Version

from tests import pythons


def test_the_oldest_libraries_are_the_lower_bounds() -> None:
    requirements = ["psutil>=5.9.4", 'bcrypt>=3.2.2; extra == "auth"', 'pytest>=8; extra == "dev"']
    assert pythons.lower_bounds(requirements) == ["bcrypt==3.2.2", "psutil==5.9.4"]


@pytest.mark.parametrize("requirement", ["psutil", "psutil<7", "psutil>=5,>=6"])
def test_without_one_lower_bound_there_is_no_oldest(requirement: str) -> None:
    with pytest.raises(ValueError, match="needs one lower bound"):
        pythons.lower_bounds([requirement])


def test_all_our_own_libraries_have_one() -> None:
    pins = pythons.lower_bounds(importlib.metadata.requires(pythons.PROJECT) or ())
    assert {pin.partition("==")[0] for pin in pins} >= {"prometheus-client", "nvidia-ml-py", "psutil", "pyyaml"}


def test_they_are_those_of_the_oldest_release() -> None:
    pins = pythons.lower_bounds(importlib.metadata.requires(pythons.PROJECT) or ())
    assert set(pins) >= set(pythons.RELEASES[pythons.OLDEST].pins)


def test_the_package_accepts_the_libraries_of_each_release() -> None:
    """Releases of Debian packages begin with the upstream version, as 5.9.0-1build1."""
    control = (pythons.REPOSITORY / "debian" / "control").read_text()
    bounds = dict(re.findall(r"^ python3-(\S+) \(>= ([\d.]+)\)", control, re.MULTILINE))
    for name, release in pythons.RELEASES.items():
        versions = {library.removeprefix("py"): version for library, version in release.versions.items()}
        for library, bound in bounds.items():
            assert Version(versions[library]) >= Version(bound), f"{name}: {library}"


def test_a_release_is_tested_on_its_own_python_and_the_newest_libraries_on_all() -> None:
    found = {"3.10": Path("/usr/bin/python3.10"), "3.11": Path("/usr/bin/python3.11")}
    chosen = pythons.runs(found, (*pythons.RELEASES, pythons.NEWEST), ["psutil==5.9.0"])
    assert [run.name for run in chosen] == ["3.10-ubuntu-22.04", "3.11-debian-12", "3.10-newest", "3.11-newest"]
    assert chosen[0].pins == ("psutil==5.9.0",) and not chosen[2].pins
    assert {"psutil==5.9.4", pythons.vendored()} <= set(chosen[1].pins)
