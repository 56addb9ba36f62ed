"""Parsing the content of genv's state files. Other tests compare it with the real genv."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from genvd.collectors.genv.state_parser import Skipped, parse_attachments, parse_environments, parse_memory
from genvd.model.facts import Attachment, EnvironmentRecord

ENVIRONMENT: dict[str, Any] = {
    "eid": "13029",
    "uid": 1001,
    "creation": "23/11/2026 17:36:19",
    "username": "alice",
    "config": {"name": "train", "gpu_memory": "4g", "gpus": 2},
    "pids": [13029],
    "kernel_ids": ["a-b"],
}
CREATED = time.mktime((2026, 11, 23, 17, 36, 19, 0, 0, -1))
RECORD = EnvironmentRecord("13029", 1001, "alice", "train", 4_000_000_000, 2, CREATED, (13029,), ("a-b",))


def test_environments() -> None:
    assert parse_environments({"envs": [ENVIRONMENT]}) == (RECORD,)


def test_environments_up_to_0_9() -> None:
    old = {key: ENVIRONMENT[key] for key in ("eid", "uid", "creation", "config", "pids")}
    (record,) = parse_environments({"envs": {"13029": old}})
    assert (record.eid, record.uid, record.username, record.kernel_ids) == ("13029", 1001, None, ())


@pytest.mark.parametrize("key", ["uid", "creation", "username", "config", "pids", "kernel_ids"])
@pytest.mark.parametrize("value", [None, -1, 1e400, "", [], {}, [[]], "\ud800", 10**30, True])
def test_an_invalid_value_costs_only_itself(key: str, value: Any) -> None:
    (record, other) = parse_environments({"envs": [{**ENVIRONMENT, key: value}, {**ENVIRONMENT, "eid": "2"}]})
    assert record.eid == "13029"
    assert other == EnvironmentRecord("2", *list(record_values(RECORD))[1:])
    json.dumps([str(value) for value in record_values(record)], ensure_ascii=False).encode()


def record_values(record: EnvironmentRecord) -> list[Any]:
    return list(record)


@pytest.mark.parametrize(
    ("gpus", "memory", "malformed"),
    [(2, "4g", 0), (None, None, 0), (0, 0, 0), ("3", "4g", 1), (-1, "-1", 2), (1.5, "abc", 2), (True, "", 2)],
)
def test_an_invalid_limit_is_none_and_is_counted(gpus: Any, memory: Any, malformed: int) -> None:
    config = {"name": "train", "gpus": gpus, "gpu_memory": memory}
    skipped = Skipped()
    (record,) = parse_environments({"envs": [{**ENVIRONMENT, "config": config}]}, skipped)
    assert skipped.malformed == malformed
    assert record.gpus in (0, 2, None)
    assert record.gpu_memory_bytes in (0, 4_000_000_000, None)
    attachments = [{"eid": "1", "gpu_memory": memory}]
    skipped = Skipped()
    (attachment,) = parse_attachments({"devices": [{"index": 0, "attachments": attachments}]}, skipped)
    assert attachment.gpu_memory_bytes == record.gpu_memory_bytes
    assert skipped.malformed == (memory not in (None, 0, "4g"))


@pytest.mark.parametrize("eid", [None, "", [], {}, 1.5, True, -1])
def test_an_environment_without_id_is_skipped(eid: Any) -> None:
    assert parse_environments({"envs": [{**ENVIRONMENT, "eid": eid}, ENVIRONMENT]}) == (RECORD,)


@pytest.mark.parametrize("document", [None, [], {}, {"envs": None}, {"envs": 3}, {"envs": [None, 3, "x", []]}])
def test_a_document_without_environments(document: Any) -> None:
    assert parse_environments(document) == ()


def test_attachments() -> None:
    attachment = {"eid": "13029", "gpu_memory": "4g", "time": "23/11/2026 17:36:19"}
    document = {"devices": [{"index": 0, "total_memory": "15258mi", "attachments": [attachment]}]}
    assert parse_attachments(document) == (Attachment("13029", 0, 4_000_000_000, CREATED),)


def test_attachments_up_to_0_9() -> None:
    attachment = {"eid": "13029", "gpu_memory": None, "attached": "23/11/2026 17:36:19"}
    document = {"devices": {"3": {"total_memory": "15258mi", "eids": {"13029": attachment}}}}
    assert parse_attachments(document) == (Attachment("13029", 3, None, CREATED),)


@pytest.mark.parametrize("index", [None, -1, "0", 1.0, 10**9, True, "x"])
def test_a_device_without_index_is_skipped(index: Any) -> None:
    document = {"devices": [{"index": index, "attachments": [{"eid": "1"}]}]}
    assert parse_attachments(document) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4g", 4 * 10**9),
        ("15258mi", 15258 * 2**20),
        ("1k", 1000),
        ("1ki", 1024),
        ("2m", 2 * 10**6),
        ("2gi", 2 * 2**30),
        ("7b", 7),
        ("123", 123),
        (123, 123),
        ("1.5g", 1_500_000_000),
        ("4G", 4 * 10**9),
        ("", None),
        ("g", None),
        ("4x", None),
        ("-4g", None),
        ("4 g", 4 * 10**9),
        ("9" * 100, None),
        (None, None),
        (True, None),
        (-1, None),
        (1e400, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_memory(text: Any, expected: int | None) -> None:
    assert parse_memory(text) == expected
