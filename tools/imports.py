"""``python -m tools.imports``: checks that imports below genvd/ run only downwards, and in no circle.

``make lint`` runs it. Imports for type checkers count as well.
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
    "collectors publish",
    "config",
    "model",
    "common",
)
"""The modules and packages of each floor, from the top down; a module that is not named is on that of its package."""


def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Return what each module below genvd/ imports from there; all names without ``genvd.``."""
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
    """Yield the name, then the packages around it from the innermost on, and at last the empty name."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def problems(graph: Mapping[str, Collection[str]], floors: Sequence[str] = FLOORS) -> list[str]:
    """Return what is wrong with the imports, a line each.

    Args:
        graph: the modules, and what each of them imports.
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
    """Return the floor of each module, counted from the top."""
    named = {name: floor for floor, names in enumerate(floors) for name in names.split()}
    around = {module: next((one for one in _prefixes(module) if one in named), None) for module in modules}
    return {module: named[name] for module, name in around.items() if name is not None}


def _circle(arrows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield one circle, if there is any."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, other in arrows:
        sorter.add(name, other)
    try:
        sorter.prepare()
    except CycleError as error:
        yield f"{' -> '.join(reversed(error.args[1]))}: is a circle"


def main() -> int:
    """Print what is wrong; return the exit status."""
    found = problems(imports())
    for problem in found:
        print(problem)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
