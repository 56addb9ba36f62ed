"""Everything that the documents refer to exists: links, files, make targets, shown code, tests of symptoms."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from genvd.config.notify_files import NotifyFiles
from genvd.config.paths import SERVICE_STATE
from genvd.config.schema import Config
from genvd.publish.alertmanager import notify_files
from genvd.publish.publication import published_files
from tools.imports import FLOORS
from tools.links import inside

ROOT = Path(__file__).parents[2]

SHOWN_CODE = re.findall(
    r"^`([\w./]+)`:\n\n```python\n(.*?)```",
    (ROOT / "docs" / "adding-a-metric.md").read_text(),
    re.DOTALL | re.MULTILINE,
)

_, _, TROUBLESHOOTING = (ROOT / "docs" / "operations.md").read_text().partition("\n## Troubleshooting\n")
SYMPTOMS = {title: rest for title, _, rest in (part.partition("\n") for part in TROUBLESHOOTING.split("\n### ")[1:])}


def test_links_files_and_make_targets_exist() -> None:
    """Links to other sites are checked by ``make links`` only."""
    assert inside.problems() == []


def test_the_files_that_other_services_are_given_are_published() -> None:
    """A service with a /var/tmp of its own cannot see those that are named below /var/tmp/genv."""
    readme = (ROOT / "README.md").read_text()
    settings = re.findall(r"^(?:ARGS=\"--config.file|CONF_FILE)=([\w./-]+)", readme, re.MULTILINE)
    published = SERVICE_STATE / "metrics"
    config = Config(notify_slack_url_file=Path("/url"))
    files = {*map(str, published_files()), *notify_files(config, NotifyFiles())}
    assert len(settings) == 3
    assert {str(Path(file).relative_to(published)) for file in settings} <= files


def test_the_layout_of_the_packages_is_that_of_the_import_check() -> None:
    layout = (ROOT / "docs" / "architecture.md").read_text().partition("\n## Layout\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", layout, re.MULTILINE)
    assert [" ".join(re.findall(r"`([\w.]+)`", row)) for row in rows] == list(FLOORS)


def test_shown_code_is_in_its_file() -> None:
    assert len(SHOWN_CODE) == 3
    for file, code in SHOWN_CODE:
        source = (ROOT / file).read_text()
        assert any(indent(code.rstrip(), spaces) in source for spaces in ("", "    ")), file


@pytest.mark.parametrize("title", SYMPTOMS)
def test_each_symptom_names_tests_that_reproduce_it(title: str) -> None:
    """They are named in a comment of docs/operations.md that the reader does not see."""
    named = re.findall(r"^<!-- (\S+\.py)::(test_\w+) -->$", SYMPTOMS[title], re.MULTILINE)
    assert named
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_the_tests_that_security_names_exist() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 5
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_there_are_symptoms() -> None:
    assert len(SYMPTOMS) > 10
