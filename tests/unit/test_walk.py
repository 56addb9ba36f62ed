"""The code that docs/adding-a-metric.md shows is that of the files that it names."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(
    r"^`([\w./]+)`:\n\n```python\n(.*?)```",
    (ROOT / "docs" / "adding-a-metric.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


def test_there_is_code() -> None:
    assert len(SHOWN) == 3


@pytest.mark.parametrize(("file", "code"), SHOWN)
def test_it_is_that_of_the_file(file: str, code: str) -> None:
    there = (ROOT / file).read_text()
    assert any(indent(code.rstrip(), spaces) in there for spaces in ("", "    "))
