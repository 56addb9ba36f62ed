"""The times that users give, and the formats of a report."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from genvd.cli.arguments import build_parsers
from genvd.common.text import clean
from genvd.common.text_width import width
from genvd.ledger.amounts import CAPACITY_STATES
from genvd.ledger.period import parse_time
from genvd.ledger.report import LABELS, Report, Row, day_labels
from genvd.ledger.report_formats import FORMATS, as_csv, as_json, parse_json
from genvd.ledger.report_table import BLOCKS, Layout, as_table

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    """Set local time to Berlin: UTC+1, and UTC+2 in summer."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-23T21:30:00+00:00"),
        ("7d", "2026-11-16T21:30:00+00:00"),
        ("1w", "2026-11-16T21:30:00+00:00"),
        ("6d24h", "2026-11-16T21:30:00+00:00"),
        ("2w", "2026-11-09T21:30:00+00:00"),
        ("1d12h", "2026-11-22T09:30:00+00:00"),
        ("today", "2026-11-22T23:00:00+00:00"),
        (" yesterday ", "2026-11-21T23:00:00+00:00"),
        ("2026-11-01", "2026-10-31T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-11-23T08:00", "2026-11-23T07:00:00+00:00"),
        ("2026-11-23 08:00:30", "2026-11-23T07:00:30+00:00"),
        ("2026-11-23T08:00Z", "2026-11-23T08:00:00+00:00"),
        ("2026-11-23T08:00+05:30", "2026-11-23T02:30:00+00:00"),
        ("2026-11-23T08:00-0500", "2026-11-23T13:00:00+00:00"),
    ],
)
def test_times_that_are_accepted(text: str, expected: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "soon",
        "-7d",
        "7 d",
        "99999999d",
        "20261123",
        "2026-02-30",
        "2026-11-23T25:00",
        "2026-13-01",
        "0000-01-01",
        "2026-11-23T08",
        "tomorrow",
        "2026-11-23T08:00+99:99",
        "1e5d",
        "\x00",
        "9999w9w",
    ],
)
def test_times_that_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected how long ago"):
        parse_time(text, NOW)


def report(by: str, *rows: Row) -> Report:
    return Report(by, NOW.timestamp() - 7 * 86400, NOW.timestamp(), rows)


PERIOD = [str(NOW.timestamp() - 7 * 86400), str(NOW.timestamp())]
USERS = report(
    "user",
    Row(("名前", 1001), 36_000.0, 18_000.0, 18_000.0, 3.6e6),
    Row(("bob", None), 90.0, None, None, None),
    Row(("", None), 3600.0, 0.0, 3600.0, 0.0),
)


def test_the_table() -> None:
    assert as_table(USERS) == (
        "2026-11-16 22:30 to 2026-11-23 22:30 CET, in GPU-h\n"
        "\n"
        "#  username   attached  active  idle  outside  in use   kWh\n"
        "1  名前         10.000    5.00  5.00        -    50 %  1.00\n"
        "2  bob           0.025       -     -        -       -     -\n"
        "3  (unknown)     1.000    0.00  1.00        -     0 %  0.00\n"
        "   total        11.025    5.00  6.00        -    45 %  1.00\n"
    )


def test_small_amounts_are_shown_in_small_units() -> None:
    few = report("user", Row(("a", 1), 18.0, 0.004, 17.996, 0.0), Row(("b", 2), 17.0, 17.0, 0.0, 42_000.0))
    lines = as_table(few).splitlines()
    assert lines[0].endswith("in GPU-s")
    assert [line.split() for line in lines[2:]] == [
        ["#", "username", "attached", "active", "idle", "outside", "in", "use", "Wh"],
        ["1", "a", "18.00", "0.0040", "18.00", "-", "<1", "%", "0.00"],
        ["2", "b", "17.00", "17.0000", "0.00", "-", "100", "%", "11.67"],
        ["total", "35.00", "17.0040", "18.00", "-", "49", "%", "11.67"],
    ]


def test_no_amount_is_rounded_to_zero() -> None:
    shown = report("user", Row(("a", 1), 3.6e6, 3.6e6, 0.0, 3.6e9), Row(("b", 2), 0.001, 0.001, 0.0, 0.001))
    assert as_table(shown).splitlines()[4].split()[1:5] == ["b", "<0.0001", "<0.0001", "0.00"]


def test_environments_are_shown_with_user_and_creation_time() -> None:
    rows = (
        Row(("alice", "4711", "train", 1_790_000_000), 3600.0, 3600.0, 0.0, None),
        Row(("alice", "", None, None), 0.0, None, None, 3.6e6, 7200.0),
    )
    lines = as_table(report("environment", *rows)).splitlines()
    assert lines[2].split()[:5] == ["#", "username", "environment", "name", "created"]
    assert lines[3].split()[1:] == [
        "alice",
        "4711",
        "train",
        "2026-09-21",
        "16:13",
        *["1.00", "1.00", "0.00", "-", "100", "%", "-"],
    ]
    assert lines[4].split()[1:] == ["alice", "(none)", "0.00", "-", "-", "2.00", "-", "1.00"]


NUMBERS = ("attached", "10.00", " 5.00")
DAYS = tuple(Row(day_labels(1_795_392_000 + day * 86400), 3600.0, 1800.0, 1800.0, 0.0, 0.0) for day in range(3))


def test_a_table_for_a_terminal_fits_and_has_bars() -> None:
    name = "<script>" + "x" * 60
    rows = (
        Row((name, "4711", "名前" * 30, 1_790_000_000), 36_000.0, 18_000.0, 9_000.0, 3.6e9, 18_000.0),
        Row(("bob", "12", None, None), 18_000.0, 18_000.0, 0.0, 0.0, 0.0),
    )
    nothing: dict[str, float] = dict.fromkeys(CAPACITY_STATES, 0.0)
    capacity = {**nothing, "active": 10.0, "attached": 5.0, "free": 85.0}
    whole = Report("environment", NOW.timestamp() - 7 * 86400, NOW.timestamp() + 600, rows, DAYS, capacity)
    for columns in (80, 120, 200):
        text = as_table(whole, Layout(columns, BLOCKS, NOW.timestamp()))
        lines = text.splitlines()
        assert max(map(width, lines)) <= columns
        assert "to 2026-11-23 22:30 CET (now), in GPU-h" in lines[0]
        assert "attached (use unknown) 5 %, free 85 %" in text
        attached = {width(line[: line.index(cell) + len(cell)]) for line, cell in zip(lines[2:5], NUMBERS, strict=True)}
        assert len(attached) == 1, "numbers are right-aligned, also if a column of text was left out"
        days = [line.split()[0] for line in lines if line.startswith("  2026")]
        assert days == ["2026-11-23", "2026-11-24", "2026-11-25"]
    users = Report("user", 0.0, 1.0, (Row(("bob", 12), 18_000.0, 18_000.0, 0.0, 0.0, 0.0), *USERS.rows))
    lines = as_table(users, Layout(80, BLOCKS)).splitlines()
    assert [line[-20:].count("█") for line in lines if "bob" in line or "名前" in line] == [10, 10, 0]
    assert "bars: █ active, ▒ idle, ░ outside" in lines


def test_a_long_report_has_a_line_for_each_month() -> None:
    days = tuple(Row(day_labels(1_790_000_000 + day * 86400), 3600.0, 0.0, 3600.0, None, None) for day in range(60))
    lines = as_table(Report("user", 0.0, 1.0, USERS.rows, days)).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("  2026")] == [
        ["2026-09", "10.00"],
        ["2026-10", "31.00"],
        ["2026-11", "19.00"],
    ]


def test_private_usage_shows_sums() -> None:
    text = as_table(Report("user", 0.0, 1e9, (), DAYS, None, None, private=True))
    assert "Usage is private here" in text
    assert "2026-11-24 Tue" in text


def test_json_can_be_read_again() -> None:
    whole = Report("user", 5.0, 9.0, USERS.rows, DAYS, dict.fromkeys(CAPACITY_STATES, 1.5), "bob", private=True)
    assert parse_json(as_json(whole).encode()) == whole
    for wrong in (b"null", b"{}", b"x", as_json(whole).replace("36000.0", '"x"').encode()):
        with pytest.raises(ValueError, match=r"report|Expecting|convert"):
            parse_json(wrong)


def test_a_day_is_one_of_the_machine_that_counted_it() -> None:
    """Its midnight is the evening before for who asks from further west."""
    document = json.loads(as_json(Report("user", 5.0, 9.0, USERS.rows, DAYS)))
    for number, day in enumerate(document["days"]):
        day["date"] = f"2026-10-{20 + number}"

    def days() -> list[list[str]]:
        lines = as_table(parse_json(json.dumps(document).encode())).splitlines()
        return [line.split()[:2] for line in lines if line.startswith("  2026")]

    assert days() == [["2026-10-20", "Tue"], ["2026-10-21", "Wed"], ["2026-10-22", "Thu"]]
    for day in document["days"]:  # as from an early version
        del day["date"]
    assert [date for date, _ in days()] == ["2026-11-23", "2026-11-24", "2026-11-25"]


def test_a_report_without_rows() -> None:
    assert as_table(report("device")) == "2026-11-16 22:30 to 2026-11-23 22:30 CET: no GPU was attached or used.\n"
    assert as_csv(report("device")).splitlines() == [
        "device,allocated_device_seconds,active_device_seconds,idle_device_seconds,energy_joules,"
        "since_timestamp_seconds,until_timestamp_seconds,outside_device_seconds"
    ]
    assert json.loads(as_json(report("device")))["rows"] == []


def test_a_report_of_unknown_users_says_so() -> None:
    assert as_table(Report("user", 5.0, 9000.0, (), user="")).startswith("(unknown), 1970-01-01 ")


def test_a_period_without_a_stored_hour() -> None:
    moment = NOW.timestamp()
    assert as_table(Report("user", moment, moment, ())) == (
        "2026-11-23 22:30: no stored hour or day begins in this period; choose a longer one.\n"
    )


def test_csv_and_json_have_seconds_and_joules() -> None:
    rows = list(csv.reader(as_csv(USERS).splitlines()))
    assert rows[:3] == [
        [
            *("username", "uid", *(f"{kind}_device_seconds" for kind in ("allocated", "active", "idle"))),
            *("energy_joules", "since_timestamp_seconds", "until_timestamp_seconds", "outside_device_seconds"),
        ],
        ["名前", "1001", "36000.0", "18000.0", "18000.0", "3600000.0", *PERIOD, ""],
        ["bob", "", "90.0", "", "", "", *PERIOD, ""],
    ]
    document = json.loads(as_json(USERS))
    assert document["rows"][1] == {
        "username": "bob",
        "uid": None,
        "allocated_device_seconds": 90.0,
        "active_device_seconds": None,
        "idle_device_seconds": None,
        "energy_joules": None,
        "outside_device_seconds": None,
    }
    assert (document["since_timestamp_seconds"], document["by"]) == (NOW.timestamp() - 7 * 86400, "user")


@pytest.mark.parametrize("name", ["\x1b[2J", "a,b", 'a"b', "a\nb", "\u202eevil"])
def test_no_name_breaks_a_format(name: str) -> None:
    """--ledger may name a file of somebody else."""
    shown = report("user", Row((name, 1), 1.0, 1.0, 0.0, None))
    assert len(as_table(shown).splitlines()) == 4
    assert "\x1b" not in as_table(shown) + as_csv(shown)
    assert len(list(csv.reader(as_csv(shown).splitlines()))) == 2


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\uff1d1", "=cmd|' /C calc'!A1"],
)
def test_no_spreadsheet_takes_a_name_for_a_formula(name: str) -> None:
    shown = report("environment", Row((name, name, name, 1), -1.0, None, None, None))
    _, cells = csv.reader(as_csv(shown).splitlines())
    assert [cell[:1] for cell in cells[:3]] == ["'", "'", "'"]
    assert cells[3:5] == ["1", "-1.0"]
    assert json.loads(as_json(shown))["rows"][0]["username"] == clean(name)


@pytest.mark.parametrize("name", ["alice", "a=b", "a-b", "a+b@example.org", "'=1", "0x1", ""])
def test_a_harmless_name_is_unchanged_in_csv(name: str) -> None:
    _, cells = csv.reader(as_csv(report("user", Row((name, 1), 1.0, None, None, None))).splitlines())
    assert cells[0] == name


def test_a_time_beyond_the_calendar_is_shown_as_a_number() -> None:
    shown = report("environment", Row(("a", "1", None, 2**62), 1.0, None, None, None))
    assert str(2**62)[:6] in as_table(shown)


def test_the_command_line_accepts_all_formats() -> None:
    parser, _ = build_parsers("genv-monitor")
    for by in LABELS:
        assert parser.parse_args(["report", "--by", by]).by == by
    for form in FORMATS:
        assert parser.parse_args(["report", "--format", form]).format == form
    options = parser.parse_args(["report"])
    assert options.until - options.since == timedelta(days=7)
    assert (options.by, options.format, options.ledger) == ("user", "table", None)
