"""The dashboards by file name."""

from collections.abc import Callable, Mapping

from tools.dashboards import fleet, machine, overview, people, processes
from tools.dashboards.frame import Page

PAGES: Mapping[str, Callable[[], Page]] = {
    "fleet.json": fleet.page,
    "machine.json": machine.page,
    "overview.json": overview.page,
    "people.json": people.page,
    "processes.json": processes.page,
}
