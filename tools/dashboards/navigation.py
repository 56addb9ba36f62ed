"""Which dashboards there are, and how one leads to the next. The choice of machines and of the time goes along."""

from collections.abc import Iterator
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models


@dataclass(frozen=True)
class Place:
    """A dashboard that can be gone to."""

    uid: str
    title: str
    tooltip: str


OVERVIEW = Place("genv-overview", "Genv overview", "What the machines do, for whom, at one glance")
MACHINE = Place("genv-machine", "Genv machine", "Every device of one machine in depth")
PEOPLE = Place("genv-people", "Genv people", "Who holds what, who is idle, who used how much")
PROCESSES = Place("genv-processes", "Genv processes", "Every GPU process: whose it is and what it takes")
FLEET = Place("genv-fleet", "Genv fleet", "Many machines together")

PLACES = (OVERVIEW, FLEET, MACHINE, PEOPLE, PROCESSES)


@dataclass(frozen=True)
class Way:
    """Where a click on a cell of a table leads, and what is chosen there."""

    title: str
    place: Place
    choices: tuple[tuple[str, str], ...]
    """Names of variables, and their values."""
    carried: tuple[str, ...] = ()
    """Names of variables that stay as they are, beside the data source."""

    @property
    def url(self) -> str:
        """Give the address in the form that Grafana fills in."""
        carried = (f"${{{name}:queryparam}}" for name in ("datasource", *self.carried))
        chosen = (f"var-{name}={value}" for name, value in self.choices)
        return f"/d/{self.place.uid}?{'&'.join((*carried, *chosen, '${__url_time_range}'))}"


_THIS = "${__value.raw}"
_MACHINE_OF_THE_ROW = ("instance", "${__data.fields.Machine}")
"""For tables with a column of this title."""

TO_MACHINE = Way("This machine", MACHINE, (("instance", _THIS),))
TO_DEVICE = Way("This device", MACHINE, (_MACHINE_OF_THE_ROW, ("device", _THIS)))
TO_USER = Way("This user", PEOPLE, (("username", _THIS),), carried=("instance",))
TO_ENVIRONMENT = Way("Processes of this environment", PROCESSES, (_MACHINE_OF_THE_ROW, ("eid", _THIS)))
TO_PROCESS = Way("This process", PROCESSES, (_MACHINE_OF_THE_ROW, ("pid", _THIS)))


def links_from(here: Place) -> Iterator[Builder[models.DashboardLink]]:
    """Give the links at the top of a dashboard: to all others."""
    for place in PLACES:
        if place != here:
            link = builders.DashboardLink(place.title.removeprefix("Genv ").capitalize())
            link.type(models.DashboardLinkType("link"))
            link.url(f"/d/{place.uid}")
            link.tooltip(place.tooltip)
            link.icon("dashboard")
            link.include_vars(True)
            link.keep_time(True)
            yield link
