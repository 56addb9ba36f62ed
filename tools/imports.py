"""``python -m tools.imports``: checks that imports in genvd/ only run downwards, and form no circle.

``make lint`` runs it. Imports under ``TYPE_CHECKING`` count as well.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PACKAGE = "genvd"

FLOORS = (
    "__main__ cli",
    "terminal",
    "service",
    "web",
    "metrics overview ledger",
    "analysis",
    "helper",
    "collectors publish helper.messages helper.values helper.protocol",
    "config",
    "model",
    "common",
)
"""The packages of each layer from the top down, as in docs/architecture.md. A module is on the layer of its package."""


def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the imports from genvd of each module in genvd. Names are without ``genvd.``."""
    files = {_name(file, root / PACKAGE): file for file in sorted((root / PACKAGE).rglob("*.py"))}
    return {name: {*_imported(file, files)} - {name, ""} for name, file in files.items()}


def _name(file: Path, package: Path) -> str:
    return ".".join(file.relative_to(package).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def _imported(file: Path, modules: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith(f"{PACKAGE}."):
                yield next(one for one in _prefixes(name.removeprefix(f"{PACKAGE}.")) if one in modules)


def _prefixes(name: str) -> Iterator[str]:
    """Yield the name, then its packages from the innermost to the outermost, then the empty name."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def problems(graph: Mapping[str, Collection[str]], floors: Sequence[str] = FLOORS) -> list[str]:
    """Return the problems of the imports, one line each.

    Args:
        graph: the imports of each module.
        floors: in the form of :data:`FLOORS`.
    """
    floor_of = _floors(graph, floors)
    arrows = [(name, other) for name in sorted(graph) for other in sorted(graph[name])]
    return [
        *(f"{name}: is on no floor; add it to FLOORS" for name in graph if name and name not in floor_of),
        *(
            f"{name} -> {other}: runs upwards"
            for name, other in arrows
            if floor_of.get(name, 0) > floor_of.get(other, 99)
        ),
        *_circle(arrows),
    ]


def _floors(modules: Iterable[str], floors: Sequence[str]) -> dict[str, int]:
    """Return the number of the layer of each module, from the top."""
    named = {name: floor for floor, names in enumerate(floors) for name in names.split()}
    around = {module: next((one for one in _prefixes(module) if one in named), None) for module in modules}
    return {module: named[name] for module, name in around.items() if name is not None}


def _circle(arrows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield one circle, if there is one."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, other in arrows:
        sorter.add(name, other)
    try:
        sorter.prepare()
    except CycleError as error:
        yield f"{' -> '.join(reversed(error.args[1]))}: is a circle"


def main() -> int:
    """Print the problems; return the exit status."""
    found = problems(imports())
    for problem in found:
        print(problem)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
