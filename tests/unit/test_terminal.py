"""Text in the columns of a terminal, and how much of a machine fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genvd.common.text_width import pad, truncate, width, wrap
from genvd.model.device import Activity, MigInstance
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import CollectorStatus, Snapshot
from genvd.overview import overview
from genvd.terminal.pager import HELP, Key, Pager, pressed
from genvd.terminal.sections import duration, gib, percent
from genvd.terminal.style import ISOLATES, Piece, Style, render_line
from genvd.terminal.table import Column, table
from genvd.terminal.view import Frame, build_view
from tests.support.shown import GIB, Demo, device, environment, inhabited, machine

HEBREW = "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}"
WIDE = "\N{CJK UNIFIED IDEOGRAPH-6771}"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), (WIDE * 2, 4), ("e\N{COMBINING ACUTE ACCENT}", 1), ("\N{HANGUL JUNGSEONG A}", 0), ("é", 1)],
)
def test_how_many_columns_text_takes(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        (WIDE * 3, 4, f"{WIDE}…"),
        ("e\N{COMBINING ACUTE ACCENT}fgh", 2, "e\N{COMBINING ACUTE ACCENT}…"),
    ],
)
def test_what_is_too_long_is_cut(text: str, columns: int, expected: str) -> None:
    assert truncate(text, columns) == expected
    assert width(pad(text, columns)) == columns


def test_nothing_in_a_piece_moves_the_cursor() -> None:
    sent = render_line((Piece("\x1b]0;x\x07\r\n"), Piece("\N{RIGHT-TO-LEFT OVERRIDE}", Style.ERROR)), None, colors=True)
    assert sent == r"\x1b]0;x\x07\x0d\x0a" + "\x1b[1;31m" + r"\u202e" + "\x1b[0m"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", "abc"),
        ("é", "é"),
        (HEBREW, f"<{HEBREW}>"),
        (f"  {HEBREW} 1   ", f"  <{HEBREW} 1>   "),
        (f"{HEBREW} (alice), bob ({HEBREW})", f"<{HEBREW}> (alice), bob (<{HEBREW}>)"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "<\N{ARABIC-INDIC DIGIT ONE}>"),
    ],
)
def test_names_from_right_to_left_turn_nothing_beside_them(text: str, expected: str) -> None:
    sent = render_line((Piece(text),), 40, colors=False, isolates=True)
    assert sent == expected.replace("<", ISOLATES[0]).replace(">", ISOLATES[1])
    assert width(sent) == width(text)
    assert render_line((Piece(text),), 40, colors=False) == text


def test_names_shrink_and_numbers_do_not() -> None:
    columns = (Column("NAME", str, shrinks=True), Column("N", lambda row: str(len(row)), right=True))
    lines = table(columns, ["a" * 50, "b"], 20)
    assert [render_line(line, None, colors=False) for line in lines] == [
        "NAME               N",
        "aaaaaaaaaaaaaaa…  50",
        "b                  1",
    ]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 5), (1, 1)])
@pytest.mark.parametrize("devices", [0, 1, 64])
def test_a_view_fits_its_frame(devices: int, size: tuple[int, int]) -> None:
    snapshot, _ = Demo(devices).hour() if devices < 64 else (machine(devices=tuple(map(device, range(64)))), None)
    columns, lines = size
    drawn = Pager().visible_lines(build_view(overview(snapshot), Frame(snapshot.timestamp, columns, lines)), lines)
    assert len(drawn) <= lines
    assert all(width(render_line(line, columns, colors=False)) <= columns for line in drawn)


def shown(columns: int, lines: int, snapshot: Snapshot, keys: bytes = b"") -> list[str]:
    """Return what is on a screen of this size after these keys."""
    pager = Pager()
    whole = build_view(overview(snapshot), Frame(snapshot.timestamp, columns, lines))
    drawn = pager.visible_lines(whole, lines)
    for key in pressed(keys):
        pager.press(key)
        drawn = pager.visible_lines(whole, lines)
    return [render_line(line, columns, colors=False).rstrip() for line in drawn]


BROKEN = CollectorStatus("nvml", False, 0.1, "what the driver said, at length: " + "word " * 30, "hung")


def full(devices: int = 8) -> Snapshot:
    """Return a machine with so much on it, and so much wrong, that it does not fit."""
    return machine(
        devices=tuple(device(index) for index in range(devices)),
        environments=tuple(environment(str(number), (number,), name=f"env{number}") for number in range(9)),
        driver_state="hung",
        collectors=(BROKEN, CollectorStatus("genv", False, 0.1, "no state"), CollectorStatus("x", False, 0.1)),
    )


@pytest.mark.parametrize(("columns", "lines", "least"), [(80, 24, 8), (40, 10, 3), (80, 6, 2), (200, 60, 8)])
def test_lines_are_spent_on_devices_first(columns: int, lines: int, least: int) -> None:
    text = shown(columns, lines, full())
    assert sum("  NVIDIA" in line or "  NVID" in line for line in text) >= least
    assert any(line.startswith("! The NVIDIA driver") for line in text)
    assert lines > 24 or "" not in text


def test_why_there_is_nothing_newer_is_said_in_full_where_there_is_room() -> None:
    failure = "http://gpu1:8000: Connection refused; see 'systemctl status genv-monitor', or say where it is"
    for lines, whole in ((24, True), (6, False)):
        head = build_view(overview(full()), Frame(0, 40, lines, failure=failure)).head
        told = " ".join(render_line(line, 40, colors=False).strip() for line in head[2:])
        assert (told == f"! {failure}") == whole
        assert len(head) == (5 if whole else 3)


def test_what_is_out_of_sight_is_counted() -> None:
    text = shown(80, 24, machine(devices=tuple(map(device, range(64)))))
    assert len(text) == 24
    assert text[-1] == "  and 44 more lines (? shows the keys)"
    assert shown(80, 24, full(64), b"jj")[-1].startswith("  2 lines above, ")


def test_whatever_does_not_fit_can_be_scrolled_to() -> None:
    body = build_view(overview(full()), Frame(0, 60, 16)).body
    whole = [render_line(line, 60, colors=False).rstrip() for line in body]
    assert set(whole) <= {line for pages in range(9) for line in shown(60, 16, full(), b" " * pages)}
    words = " ".join(" ".join(whole).split())
    assert " ".join(["at length:", *["word"] * 30]) in words
    assert all(f"env{number} " in words and f" {number} NVIDIA" in words for number in range(8))


def test_mig_devices_have_lines_of_their_own() -> None:
    instances = tuple(
        MigInstance(n, f"MIG-{n}", "1g.12gb", n, 0, n * GIB, 12 * GIB, Activity(graphics_ratio=n / 10))
        for n in range(7)
    )
    devices = tuple(device(n, mig_mode="enabled", mig_instances=instances if n == 3 else ()) for n in range(16))
    text = "\n".join(shown(80, 24, machine(devices=devices), b"G"))
    for number in range(7):
        assert f"  3    {number}  1g.12gb" in text
        assert f"{number}.0/12.0  {number * 10:>3}%" in text


@pytest.mark.parametrize(
    ("seconds", "grace", "idle"),
    [(6.0, 600.0, False), (599.9, 600.0, False), (600.0, 600.0, True), (59.0, 60.0, False), (61.0, 60.0, True)],
)
def test_who_has_not_worked_for_a_short_while_is_in_use(seconds: float, grace: float, idle: bool) -> None:
    snapshot = inhabited((device(0),), (environment("1", (0,), idle_seconds=seconds),), (), {})
    snapshot = replace(snapshot, service=replace(snapshot.service, idle_grace_seconds=grace))
    seen = overview(snapshot)
    assert seen.devices and seen.devices[0].holders and seen.environments
    assert seen.devices[0].holders[0].idle is idle
    since = snapshot.timestamp - seconds if idle else None
    assert seen.devices[0].idle_since == seen.environments[0].idle_since == since
    text = "\n".join(shown(100, 60, snapshot))
    assert ("in use" not in text) is idle
    assert ("1 environment (1 idle)" in text) is idle


def test_a_gpu_that_is_used_but_not_attached_is_shown_as_such() -> None:
    snapshot = inhabited(
        (device(0), device(1), device(2, mig_mode="enabled")),
        (environment("1", (1,), pids=(8,)),),
        (Context(7, 0, GIB), Context(8, 1, GIB), Context(9, 2, GIB)),
        {7: ProcessOwner(1001), 8: ProcessOwner(1001, "1"), 9: ProcessOwner(1001)},
    )
    rows = [line for line in shown(100, 60, snapshot) if "  NVIDIA H200  " in line]
    assert rows[0].endswith("  nobody       used, not attached")
    assert rows[1].endswith("  1 (alice)    in use")
    assert rows[2].endswith("  nobody       MIG, used, not attached")


def test_keys_scroll_within_what_there_is() -> None:
    top, bottom = shown(80, 12, full()), shown(80, 12, full(), b"G")
    assert bottom[-1].endswith(" 0 below (? shows the keys)")
    assert shown(80, 12, full(), b"kb") == top
    assert shown(80, 12, full(), b"G \x1b[Bj") == bottom
    assert shown(80, 12, full(), b"G\x1b[H") == top == shown(80, 12, full(), b"j\x1bOA")
    assert shown(80, 12, full(), b"jjjjjjjjjj") != shown(80, 12, full(), b" ") == shown(80, 12, full(), b" \x1b[6~b")
    assert shown(80, 12, full(), b"?")[-1] == HELP
    assert shown(80, 12, full(), b"?h") == top
    assert shown(80, 40, machine(devices=(device(0),)), b"h")[-1] == HELP


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"q", [Key.QUIT]),
        (b"\x1bq", [Key.QUIT]),
        (b"x\x1b[1;5A\x1b[3~\xc3\xa9", []),
        (b"\x1b[5~\x1b[6~j", [Key.PAGE_UP, Key.PAGE_DOWN, Key.DOWN]),
        (b"\x1b[", []),
    ],
)
def test_keys_are_recognised(typed: bytes, expected: list[Key]) -> None:
    assert pressed(typed) == expected


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("", 5, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        (f"a {WIDE * 3}", 4, ["a", WIDE * 2, WIDE]),
    ],
)
def test_text_is_broken_at_spaces(text: str, columns: int, expected: list[str]) -> None:
    assert wrap(text, columns) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "-"), (-5, "0s"), (59.4, "59s"), (60, "1m"), (3600, "1h00m"), (90061, "25h01m"), (200_000, "2d")],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


def test_what_is_not_known_is_a_dash() -> None:
    assert (gib(None), percent(None)) == ("-", "-")
    assert (gib(2**30), percent(0.256)) == ("1.0", "26%")
