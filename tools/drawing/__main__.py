"""``python -m tools.drawing`` draws a dashboard into docs/images; needs Debian's packages prometheus and chromium."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack, contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.chromium import chromium
from tests.support.monitor import Monitor
from tests.support.prometheus import Prometheus, each_second
from tools.drawing.answers import Answers
from tools.drawing.panels import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "genvd/publish/files/grafana/dashboards"
_WIDTH, _HEIGHT = 1280, 900
_MARGIN = 16
_STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m tools.drawing", description=__doc__, allow_abbrev=False)
    parser.add_argument("dashboard", nargs="?", default="overview")
    parser.add_argument(
        "--prometheus", help="URL of a Prometheus to ask; by default one is started on simulated machines"
    )
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20, help="minutes to wait for data and to show")
    parser.add_argument("--whole", action="store_true", help="draw all panels, not only what is seen without scrolling")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/home-dashboard.png")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        url = arguments.prometheus
        if not url:
            url = stack.enter_context(_simulated(arguments.machines))
            time.sleep(60 * arguments.minutes)
        page = draw(DASHBOARDS / f"{arguments.dashboard}.json", url, 60 * arguments.minutes)
    _photograph(page, arguments.output, whole=arguments.whole)


@contextmanager
def _simulated(machines: int) -> Iterator[str]:
    """Start a Prometheus that scrapes simulated machines each second, and yield its URL."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        monitors = [
            stack.enter_context(Monitor(("--demo", "8", "--interval", "1", "--config-dir", directory / str(number))))
            for number in range(machines)
        ]
        config = each_second(directory / "0/prometheus/prometheus.yml")
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        content["scrape_configs"][0]["static_configs"] = [
            {"targets": [f"127.0.0.1:{monitor.port}"], "labels": {"instance": f"gpu{number}:8000"}}
            for number, monitor in enumerate(monitors, start=1)
        ]
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        yield f"http://127.0.0.1:{stack.enter_context(Prometheus(config, directory / 'data')).port}"


def draw(file: Path, url: str, seconds: float) -> str:
    """Return a dashboard as a page of HTML.

    Args:
        file: the JSON of the dashboard.
        url: of the Prometheus that is asked.
        seconds: how long the time range is.
    """
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    answers = Answers(url, seconds)
    answers.choose_all(dashboard)
    marks = [mark for one in dashboard["annotations"]["list"] for mark in answers.marks(one)]
    page = Page(_WIDTH - 2 * _MARGIN, (answers.start, answers.end), marks)
    panels = "".join(page.panel(one, answers.of_panel(one)) for one in dashboard["panels"])
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>'
        f"<header><p><b>{escape(dashboard['title'])}</b><em>Drawn from real query results, not by Grafana</em></p>"
        f"<p>{''.join(_variables(dashboard, answers.choices))}</p></header><main>{panels}</main>"
    )


def _variables(dashboard: Json, choices: Mapping[str, str]) -> Iterator[str]:
    for variable in dashboard["templating"]["list"]:
        chosen = variable.get("current", {}).get("text") or choices[variable["name"]]
        yield f"<span>{escape(variable['label'])}: {escape(chosen if isinstance(chosen, str) else chosen[0])}</span>"


def _photograph(page: str, file: Path, *, whole: bool) -> None:
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        tab.set_content(page)
        if whole:
            height = tab.evaluate(
                "Math.max(...[...document.querySelectorAll('main > *')].map(e => e.getBoundingClientRect().bottom))"
            )
            tab.set_viewport_size({"width": _WIDTH, "height": int(height) + _MARGIN})
        tab.screenshot(path=file)


if __name__ == "__main__":
    main()
