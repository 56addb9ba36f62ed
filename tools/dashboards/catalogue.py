"""Which dashboards there are, by the names of their files."""

from collections.abc import Callable, Mapping

from tools.dashboards import overview
from tools.dashboards.frame import Page

PAGES: Mapping[str, Callable[[], Page]] = {
    "overview.json": overview.page,
}
