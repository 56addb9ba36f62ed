"""Parsing genv's state files with any content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property import holds

ODD = st.sampled_from(
    [None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, float("inf"), float("nan"), "", "\ud800", "\x1b[2J", "9" * 70]
)
ANY = st.recursive(
    ODD | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def of_kind(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Entries with some of these keys, and anything in them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, ANY))


MEMORY = st.from_regex(r"\A[0-9]{1,20}(\.[0-9]{1,10})?[a-zA-Z ]{0,3}\Z")
ENVIRONMENT = of_kind("eid", "uid", "creation", "username", "config", "pids", "kernel_ids") | st.fixed_dictionaries(
    {"eid": st.text(max_size=300), "config": st.fixed_dictionaries({"name": ANY, "gpu_memory": MEMORY, "gpus": ANY})},
    optional={"pids": st.lists(ANY, max_size=5), "creation": st.from_regex(r"\A../../[0-9]{4} ..:..:..\Z")},
)
ATTACHMENT = of_kind("eid", "gpu_memory", "time", "attached")
DEVICE = of_kind("index", "attachments", "eids") | st.fixed_dictionaries(
    {"index": st.integers(-1, 5000), "attachments": st.lists(ATTACHMENT, max_size=4)}
)


def listed(entry: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A list of entries, or what versions up to 0.9 wrote instead."""
    return st.lists(entry | ANY, max_size=5) | st.dictionaries(st.text(max_size=5), entry | ANY, max_size=5)


DOCUMENT = st.fixed_dictionaries({}, optional={"envs": listed(ENVIRONMENT), "devices": listed(DEVICE)})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "envs.json"


@given(content=st.binary(max_size=200))
def test_any_bytes(file: Path, content: bytes) -> None:
    holds.state(content, file)


@given(document=DOCUMENT | ANY)
def test_any_document(file: Path, document: Any) -> None:
    assert holds.state(json.dumps(document).encode(), file) is not None


@given(document=DOCUMENT, data=st.data())
def test_any_half_of_a_document(file: Path, document: Any, data: st.DataObject) -> None:
    content = json.dumps(document).encode()
    holds.state(content[: data.draw(st.integers(0, len(content)))], file)


@given(
    eid=st.integers(0, 2**62) | st.from_regex(r"\A[a-z0-9-]{1,40}\Z"),
    pids=st.lists(st.integers(1, 2**22), max_size=5, unique=True),
    uid=st.integers(0, 2**32 - 1),
)
def test_what_genv_writes_is_read_back(file: Path, eid: int | str, pids: list[int], uid: int) -> None:
    document = {"envs": [{"eid": eid, "pids": pids, "uid": uid, "username": "alice"}]}
    read = holds.state(json.dumps(document).encode(), file)
    assert read is not None
    (environment,) = read[0]
    assert (environment.eid, environment.pids, environment.uid) == (str(eid), tuple(pids), uid)
