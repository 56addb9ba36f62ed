"""docs/operations.md: each symptom names tests that reproduce it, in a comment that nobody sees, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_, _, TROUBLESHOOTING = (ROOT / "docs" / "operations.md").read_text().partition("\n## Troubleshooting\n")
SYMPTOMS = {title: rest for title, _, rest in (part.partition("\n") for part in TROUBLESHOOTING.split("\n### ")[1:])}


def test_there_are_symptoms() -> None:
    assert len(SYMPTOMS) > 10


@pytest.mark.parametrize("title", SYMPTOMS)
def test_a_symptom_is_reproduced(title: str) -> None:
    named = re.findall(r"^<!-- (\S+\.py)::(test_\w+) -->$", SYMPTOMS[title], re.MULTILINE)
    assert named
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"
