"""Whatever the configuration takes for targets and ways to get in, Prometheus takes as well."""

from __future__ import annotations

import json
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genvd.config.loader import ConfigError, load
from genvd.publish.publication import publication_for
from tests.support import debian
from tests.support.certificates import issue

_EXAMPLES = 150
"""For each that is accepted a program runs, so fewer than of the others."""

NAME = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=12)
HOST = NAME | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda address: f"[{address}]")
MACHINE = st.builds("{}:{}".format, HOST, st.integers(1, 65535))
ODD = st.text(st.sampled_from("aÄ0\"'$`{}#%&*[]|>!?@:,-\\ \n\t\0\x7f\x85\u2028\ufeff\U0001f600"), max_size=8)
ENDS = st.sampled_from([".json", ".yml", ".yaml", "*.yml", ".JSON", ".txt", ".", ""])
FILE = st.builds("/nothing/{}{}".format, ODD, ENDS)
TARGETS = st.lists(MACHINE | FILE | ODD, max_size=4) | st.lists(MACHINE, max_size=4).map(", ".join) | FILE


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files to name; promtool looks whether they are there."""
    directory = tmp_path_factory.mktemp("scraping")
    issue(directory, "c")
    return directory


@given(
    targets=TARGETS,
    scheme=st.sampled_from(["auto", "http", "https"]),
    server_name=st.none() | NAME | ODD,
    certificate=st.booleans(),
    username=st.none() | NAME | ODD,
    token=st.booleans(),
)
@settings(max_examples=_EXAMPLES)
def test_promtool_accepts_what_is_accepted(
    place: Path,
    targets: list[str] | str,
    scheme: str,
    server_name: str | None,
    certificate: bool,
    username: str | None,
    token: bool,
) -> None:
    pair = {"cert_file": str(place / "c.pem"), "key_file": str(place / "c.key"), "ca_file": str(place / "c.pem")}
    scrape: dict[str, Any] = {"scheme": scheme, **(pair if certificate else {}), "server_name": server_name}
    scrape |= {"username": username, "password_file": str(place / "c.key")} if username else {}
    scrape |= {"credentials_file": str(place / "c.key")} if token else {}
    file = place / "monitor.yaml"
    document = {"publish": {"targets": targets, "directory": str(place / "published")}, "scrape": scrape}
    file.write_text(json.dumps(document))
    try:
        config = load(file)
    except ConfigError as error:
        assert all(problem.startswith(f"{file}:1: ") for problem in error.problems)
        return
    publication_for(config, 8000).write()
    published = place / "published/prometheus/prometheus.yml"
    command = (debian.promtool(), "check", "config", str(published))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + published.read_text()
    (job,) = yaml.safe_load(published.read_text())["scrape_configs"]
    machines = job.get("static_configs", [{"targets": []}])[0]["targets"]
    files = job.get("file_sd_configs", [{"files": []}])[0]["files"]
    assert sorted([*machines, *files]) == sorted(config.publish_targets or ["localhost:8000"])
    assert job.get("basic_auth", {}).get("username") == (config.scrape_username or None)
