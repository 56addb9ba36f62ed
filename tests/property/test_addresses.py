"""Mail addresses of users, whatever their names are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from genvd.config.loader import ConfigError
from genvd.config.mail import ADDRESS, USERNAME, user_address
from genvd.config.notify_files import NotifyFiles, read_notify_files
from genvd.config.schema import Config
from genvd.publish.alertmanager import SAFE_USERNAME, notify_files

NAMES = st.from_regex(SAFE_USERNAME) | st.text(max_size=40) | st.text("ab.-_@,\n<>\" {}'\\", max_size=12)
TEMPLATES = st.sampled_from([f"{USERNAME}@example.org", f"gpu.{USERNAME}+idle@example.org", f"x-{USERNAME}.y@h"])
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20) | st.text(
    "ab.|()[]{}\\\"'^$*+?:#", min_size=1, max_size=10
)


@given(name=NAMES, template=TEMPLATES)
def test_a_name_that_a_route_matches_makes_one_address(name: str, template: str) -> None:
    assert user_address().parse(template) == template
    if re.fullmatch(SAFE_USERNAME, name):
        assert ADDRESS.fullmatch(template.replace(USERNAME, name))


@given(names=st.sets(PRINTABLE, min_size=1, max_size=4), other=PRINTABLE)
def test_a_route_matches_the_names_of_a_file_and_no_other(names: set[str], other: str) -> None:
    config = Config(
        notify_smarthost="h:25", notify_from="a@h", notify_admins=("b@h",), notify_user_address=Path("/addresses")
    )
    made = notify_files(config, NotifyFiles(dict.fromkeys(names, "x@h")))
    route = yaml.safe_load(made["alertmanager/alertmanager.yml"])["route"]["routes"][0]
    pattern = re.compile(json.loads(route["matchers"][1].removeprefix("username=~")))
    for name in {*names, other, f"{other}a"}:
        assert bool(pattern.fullmatch(name)) == (name in names)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("addresses") / "addresses"


@given(content=st.binary(max_size=60) | st.text("ab: @.#\n\r\x00{}", max_size=40).map(str.encode))
def test_any_file_with_addresses(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    config = Config(notify_user_address=file)
    try:
        addresses = read_notify_files(config).addresses
    except ConfigError as error:
        assert all(problem.startswith(f"{file}:") and problem.isprintable() for problem in error.problems)
    else:
        assert addresses and all(name.isprintable() and ADDRESS.fullmatch(one) for name, one in addresses.items())
