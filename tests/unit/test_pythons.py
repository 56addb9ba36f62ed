"""Which releases of the libraries are the oldest that are supported."""

from __future__ import annotations

import importlib.metadata

import pytest

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
