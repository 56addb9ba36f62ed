"""docs/runbook.md has a section for each alert, and names metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

from genvd.metrics import ALL
from genvd.metrics.service import SERIES_DROPPED
from genvd.web.static_files import Docs
from tests.support import rules
from tools.documents import anchors, to_page

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS = rules.rules("alert")


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    sections = re.split(r"^## (?=Genv)", RUNBOOK, flags=re.MULTILINE)[1:]
    names = [section.partition("\n")[0] for section in sections]
    assert sorted(names) == sorted({alert["alert"] for alert in ALERTS})
    for path in rules.files():  # in their order
        of_file = dict.fromkeys(rule["alert"] for rule in rules.rules_of(path) if "alert" in rule)
        assert [name for name in names if name in of_file] == list(of_file), path.name
    for section in sections:
        name = section.partition("\n")[0]
        severities = list(dict.fromkeys(alert["labels"]["severity"] for alert in ALERTS if alert["alert"] == name))
        assert re.findall(r"\*(critical|warning|info)\*", section.partition("\n\n")[2].partition(".")[0]) == severities
        for part in ("**Look:**", "**Do:**", "**Silence:**"):
            assert section.count(part) == 1, f"{part} {name}"


def test_the_link_of_each_alert_leads_to_its_section_on_the_page_that_the_monitor_serves() -> None:
    sections = set(anchors(RUNBOOK))
    served = to_page(RUNBOOK)
    for alert in ALERTS:
        assert f' id="{alert["alert"]}"' in served, "the home dashboard links to it"
    for alert in ALERTS:
        page, _, section = alert["annotations"]["runbook_url"].rpartition("#")
        assert page[page.index("/page/") :].partition("{{")[0] in Docs().paths, alert["alert"]
        assert section in sections, alert["alert"]


def test_its_metrics_exist() -> None:
    used = set(re.findall(r"(?<![:\w])genv_[a-z_]+[a-z]", RUNBOOK)) - {"genv_command"}  # that is a collector
    assert used
    assert used <= {metric.name for metric in (*ALL, SERIES_DROPPED)}
