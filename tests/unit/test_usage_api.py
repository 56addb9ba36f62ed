"""The JSON of usage: what is in it, who may see it, and its limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genvd.config.schema import Config
from genvd.ledger import usage
from genvd.ledger.amounts import Consumer, Usage
from genvd.ledger.ledger import Ledger
from genvd.ledger.store import HOUR, Store
from genvd.model.device import Device
from genvd.web.request import Headers, Request
from genvd.web.response import Job, Response
from genvd.web.usage_api import REPORT_PATH, USAGE_PATH, UsageApi
from tests.support.ledger import NOW, new_pending, snapshot, write

DEVICES = (Device(0, "GPU-0"), Device(1, "GPU-1"))
MACHINE = snapshot(timestamp=float(NOW + 1800))._replace(devices=DEVICES)


@pytest.fixture
def api(tmp_path: Path) -> UsageApi:
    """One with a ledger in which alice used GPU 0 for two hours, and carol computed on GPU 1 outside."""
    store, pending = Store(tmp_path, "live"), new_pending()
    hour = HOUR * 1000
    alice, carol = Consumer("alice", "7", None, 1001, "train"), Consumer("carol", uid=1003)
    for number in range(2):
        used = {(alice, "GPU-0"): Usage(hour, hour // 4, hour - hour // 4, 3_600_000_000, outside=0)}
        outside = {(carol, "GPU-1"): Usage(outside=hour // 2)}
        capacity = {"GPU-0": {"active": hour // 4, "idle": hour - hour // 4}, "GPU-1": {"outside": hour}}
        pending.add({**used, **outside}, NOW - number * HOUR, capacity)  # type: ignore[arg-type]
    pending.add({(alice, "GPU-0"): Usage(hour, hour, 0, 0, outside=0)}, NOW - 20 * 24 * HOUR)
    write(store, pending)
    store.close()
    ledger = Ledger(Config(ledger_directory=tmp_path / "other"), "live")
    ledger.stop()
    ledger.directory = tmp_path
    made = UsageApi("run")
    made.ledger = ledger
    return made


def ask(api: UsageApi, target: str = USAGE_PATH, login: str | None = None, tag: str = "") -> Response:
    path, _, query = target.partition("?")
    fields = (("if-none-match", tag),) if tag else ()
    request = Request("GET", path, "localhost", Headers(fields), (), (), query, login)
    answer = api.respond(request, MACHINE)
    return answer.make() if isinstance(answer, Job) else answer


def document(api: UsageApi, target: str = USAGE_PATH, login: str | None = None) -> Any:
    answer = ask(api, target, login)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_the_document_says_who_used_what(api: UsageApi) -> None:
    shown = document(api)
    day, month = shown["periods"]["24h"], shown["periods"]["30d"]
    assert [user["username"] for user in day["users"]] == ["alice", "carol"]
    alice, carol = day["users"]
    assert (alice["allocated_device_seconds"], alice["device_seconds"], alice["idle_ratio"]) == (7200, 7200, 0.75)
    assert alice["energy_joules"] == 7.2e6
    assert (carol["outside_device_seconds"], carol["device_seconds"], carol["idle_ratio"]) == (3600, 3600, None)
    assert month["users"][0]["allocated_device_seconds"] == 3 * 3600
    assert day["total"]["device_seconds"] == 3 * 3600
    assert day["capacity_device_seconds"]["outside"] == 7200
    assert day["until_timestamp_seconds"] == MACHINE.timestamp, "until now, not until the end of the hour"
    grid = shown["grid"]
    first, second = grid["devices"]
    assert (first["index"], second["device"], grid["users"]) == (0, "GPU-1", ["alice", "carol"])
    last = grid["hours"] - 1
    assert first["cells"] == [[hour, 0, 3600, 900, 2700, 0] for hour in (last - 1, last)]
    assert second["cells"] == [[hour, 1, 0, None, None, 1800] for hour in (last - 1, last)]
    assert second["states"][0] == [last - 1, 0, 0, 0, 3600, 0, 0, 0]


def test_the_same_for_one_user(api: UsageApi) -> None:
    shown = document(api, f"{USAGE_PATH}?user=carol&hours=24")
    assert [user["username"] for user in shown["periods"]["30d"]["users"]] == ["carol"]
    assert shown["periods"]["30d"]["total"]["allocated_device_seconds"] == 3 * 3600, "the total is that of everybody"
    assert [len(device["cells"]) for device in shown["grid"]["devices"]] == [0, 2]
    for nobody in ("%00%0a<script>", ""):  # the empty name is that of unknown users, and does not mean everybody
        assert document(api, f"{USAGE_PATH}?user={nobody}")["periods"]["30d"]["users"] == []
        assert document(api, f"{REPORT_PATH}?user={nobody}")["rows"] == []


@pytest.mark.parametrize("target", [USAGE_PATH, REPORT_PATH, f"{REPORT_PATH}?by=environment"])
def test_private_usage_shows_sums_without_a_login_and_own_rows_with_one(api: UsageApi, target: str) -> None:
    api.visible = "own"
    everything = ask(api, target).body
    assert b"alice" not in everything
    assert b"carol" not in everything
    assert b"3600" in everything
    own = ask(api, target, "carol").body
    assert b"carol" in own
    assert b"alice" not in own
    other = "&" if "?" in target else "?"
    assert ask(api, f"{target}{other}user=alice", "carol").status == 403
    assert ask(api, f"{target}{other}user=alice").status == 403
    api.visible = "all"
    assert b"alice" in ask(api, target).body, "no cached document is shown to somebody else"


def test_an_unchanged_document_is_not_sent_again(api: UsageApi) -> None:
    tag = dict(ask(api).headers)["ETag"]
    assert ask(api, tag=tag).status == 304
    assert ask(api, login="carol", tag=tag).status == 200, "somebody else's"


@pytest.mark.parametrize(
    "query",
    [
        "hours=0",
        "hours=",
        "hours=nan",
        "hours=721",
        "hours=x",
        "user=a&user=b",
        "by=user",
        "x",
        "user=%ff",
        "&".join(["hours=1"] * 9),
    ],
)
def test_wrong_parameters_are_rejected(api: UsageApi, query: str) -> None:
    assert ask(api, f"{USAGE_PATH}?{query}").status == 400
    assert ask(api, f"{REPORT_PATH}?by=person").status == 400


def test_a_report_over_http_is_that_of_the_command(api: UsageApi) -> None:
    shown = document(api, f"{REPORT_PATH}?since={NOW - 30 * 24 * HOUR}&by=environment")
    assert [(row["username"], row["environment"]) for row in shown["rows"]] == [("alice", "7"), ("carol", "")]
    assert [day["allocated_device_seconds"] for day in shown["days"]] == [3600.0, 7200.0]


def test_the_document_is_bounded(api: UsageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_USERS", 1)
    monkeypatch.setattr(usage, "MAX_CELLS", 2)
    shown = document(api)
    assert len(shown["periods"]["30d"]["users"]) == 1
    assert shown["grid"]["hours"] == 1, "the hours of two GPUs"
    monkeypatch.setattr(usage, "MAX_CELLS", 3)
    grid = document(api)["grid"]
    assert (grid["hours"], [len(device["cells"]) for device in grid["devices"]]) == (1, [1, 1])


def test_without_a_ledger_it_says_so(api: UsageApi, tmp_path: Path) -> None:
    assert api.ledger is not None
    api.ledger.directory = tmp_path / "nothing"
    answer = ask(api)
    assert (answer.status, b"not been written" in answer.body) == (503, True)
    api.ledger = None
    assert ask(api).status == 404
