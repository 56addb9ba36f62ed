"""The check of the direction of imports, on packages of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.imports import imports, problems

FLOORS = ("cli", "web service", "common web.names")


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"cli": {"web.server"}, "web.server": {"common"}, "common": (), "service": {"web.server"}}, []),
        ({"web.server": {"web.names"}, "web.names": {"common.text"}, "common.text": ()}, []),
        ({"common": {"cli"}, "cli": ()}, ["common -> cli: runs upwards"]),
        ({"web.names": {"web.server"}, "web.server": ()}, ["web.names -> web.server: runs upwards"]),
        ({"cli.a": {"cli.b"}, "cli.b": {"cli.c"}, "cli.c": {"cli.a"}}, ["is a circle"]),
        ({"new": {"cli"}, "cli": ()}, ["new: is on no floor; add it to FLOORS"]),
    ],
)
def test_what_is_wrong_with_imports_is_found(graph: dict[str, set[str]], found: list[str]) -> None:
    actual = problems(graph, FLOORS)
    assert len(actual) == len(found)
    assert all(expected in text for expected, text in zip(found, actual, strict=True))


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "a.py": "from genvd import b, __version__\nimport genvd.c.d\nimport genvdx.b\nimport os\n",
        "b.py": "if TYPE_CHECKING:\n    from genvd.c import Thing\n",
        "c/__init__.py": "",
        "c/d.py": "def late():\n    from genvd.c.e import f\n    from genvd.c import e\n",
        "c/e.py": "",
    }
    for name, text in files.items():
        file = tmp_path / "genvd" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert imports(tmp_path) == {"": set(), "a": {"b", "c.d"}, "b": {"c"}, "c": set(), "c.d": {"c.e"}, "c.e": set()}
