"""The dashboards and the links between them. Links keep the chosen machines and time range."""

from collections.abc import Iterator
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models


@dataclass(frozen=True)
class Target:
    """A dashboard that links can lead to."""

    uid: str
    title: str
    tooltip: str


OVERVIEW = Target("genv-overview", "Genv overview", "What the machines do, and for whom")
MACHINE = Target("genv-machine", "Genv machine", "All GPUs of one machine in detail")
PEOPLE = Target("genv-people", "Genv people", "To whom GPUs are attached, who is idle, who used how much")
PROCESSES = Target("genv-processes", "Genv processes", "Every GPU process: its user and what it uses")
MONITOR = Target("genv-monitor", "Genv monitor", "The health of the monitor of one machine")
FLEET = Target("genv-fleet", "Genv fleet", "Many machines together")

TARGETS = (OVERVIEW, FLEET, MACHINE, PEOPLE, PROCESSES, MONITOR)


@dataclass(frozen=True)
class CellLink:
    """A link on a table cell: a dashboard, and the variables to set there."""

    title: str
    target: Target
    choices: tuple[tuple[str, str], ...]
    """Names of variables, and their values."""
    carried: tuple[str, ...] = ()
    """Names of variables to keep, in addition to the data source and the jobs."""

    @property
    def url(self) -> str:
        """The URL, with placeholders that Grafana fills in."""
        carried = (f"${{{name}:queryparam}}" for name in ("datasource", "job", *self.carried))
        chosen = (f"var-{name}={value}" for name, value in self.choices)
        return f"/d/{self.target.uid}?{'&'.join((*carried, *chosen, '${__url_time_range}'))}"


@dataclass(frozen=True)
class OutsideLink:
    """A link on a table cell to a page outside Grafana."""

    title: str
    url: str


_THIS = "${__value.raw}"
_MACHINE_OF_THE_ROW = ("instance", "${__data.fields.Machine}")
"""For tables with a column of this title."""

TO_MACHINE = CellLink("This machine", MACHINE, (("instance", _THIS),))
TO_DEVICE = CellLink("This GPU", MACHINE, (_MACHINE_OF_THE_ROW, ("device", _THIS)))
TO_USER = CellLink("This user", PEOPLE, (("username", _THIS),), carried=("instance",))
TO_ENVIRONMENT = CellLink("Processes of this environment", PROCESSES, (_MACHINE_OF_THE_ROW, ("eid", _THIS)))
TO_ENVIRONMENT_OF_ROW = CellLink(
    "Processes of this environment", PROCESSES, (_MACHINE_OF_THE_ROW, ("eid", "${__data.fields.ID}"))
)
"""For tables with columns of these titles."""
TO_RUNBOOK = OutsideLink("What to do", f"${{__data.fields.Page:raw}}/page/docs/runbook.html#{_THIS}")
"""For tables with a column of this title; raw, as Grafana would encode the colon before the port."""
TO_PROCESS = CellLink("This process", PROCESSES, (_MACHINE_OF_THE_ROW, ("pid", _THIS)))


def links_from(here: Target) -> Iterator[Builder[models.DashboardLink]]:
    """Return the links at the top of a dashboard, one to each other dashboard."""
    for target in TARGETS:
        if target != here:
            link = builders.DashboardLink(target.title.removeprefix("Genv ").capitalize())
            link.type(models.DashboardLinkType("link"))
            link.url(f"/d/{target.uid}")
            link.tooltip(target.tooltip)
            link.icon("dashboard")
            link.include_vars(True)
            link.keep_time(True)
            yield link
