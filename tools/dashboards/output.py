"""Writes the dashboards as JSON files, and compares existing files."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import fleet, machine, monitor, overview, people, processes
from tools.dashboards.frame import Page, assemble

PAGES: Mapping[str, Callable[[], Page]] = {
    "fleet.json": fleet.page,
    "machine.json": machine.page,
    "monitor.json": monitor.page,
    "overview.json": overview.page,
    "people.json": people.page,
    "processes.json": processes.page,
}


def render(page: Page) -> str:
    """Return a dashboard as JSON, with a stable order."""
    # The SDK leaves the id out; null is how an exported dashboard says that it is new to every Grafana.
    content = assemble(page).to_json() | {"id": None, "annotations": {"list": page.annotations}}
    return json.dumps(content, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def write(directory: Path) -> None:
    """Write all dashboards to a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (directory / name).write_text(render(page()), encoding="utf-8")


def differences(directory: Path) -> Iterator[str]:
    """Return the lines in which the files of a directory differ from what `write` would write."""
    for name, page in PAGES.items():
        path = directory / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        yield from difflib.unified_diff(
            found.splitlines(), render(page()).splitlines(), str(path), f"{name} from code", lineterm=""
        )
    for path in sorted(directory.glob("*.json")):
        if path.name not in PAGES:
            yield f"{path}: no code makes this file"
