"""Text in the columns of a terminal, what fits on a screen, and what keys and the mouse do there."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import pytest

from genvd.common.text_width import pad, truncate, width, wrap
from genvd.model.device import Activity, MigInstance
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import CollectorStatus, LedgerStatus, MissingDevice, Snapshot, UserUsage
from genvd.terminal.client import TimedSnapshot
from genvd.terminal.controls import Click, Controls, Event, Wheel
from genvd.terminal.curves import LEVELS, Curve, parse_curves, sparkline
from genvd.terminal.layout import screen_lines
from genvd.terminal.machine import machine_of
from genvd.terminal.style import ISOLATES, Piece, Style, render_line
from genvd.terminal.table import Block, Column, Table
from genvd.terminal.values import duration, gib, percent
from genvd.terminal.view import Frame
from genvd.web.json_documents import page_document
from tests.support.shown import GIB, Demo, device, environment, half_used, holding, inhabited, machine, visited

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
    block = Block(Table("t", columns, ["a" * 50, "b"], str), (0, 1), 20)
    assert [render_line(block.line(place), None, colors=False) for place in range(len(block))] == [
        " NAME              N",
        " aaaaaaaaaaaaaa…  50",
        " b                 1",
    ]


def test_what_matters_least_is_left_out_and_a_curve_takes_what_is_left() -> None:
    columns = (
        Column("NAME", str, shrinks=True),
        Column("MORE", lambda _: "12345678", optional=1),
        Column("", lambda _: "", draw=lambda _, size: "#" * size, widths=(4, 9), optional=2),
    )
    table = Table("t", columns, ["abcdef"], str)
    rows = {size: render_line(Block(table, (0,), size).line(1), None, colors=False) for size in (40, 24, 18, 12, 5)}
    assert rows == {
        40: " abcdef  12345678  #########",
        24: " abcdef  12345678  #####",
        18: " abcdef  12345678",
        12: " abcdef",
        5: " abcdef",
    }
    assert render_line(Block(table, (0,), None).line(1), None, colors=False) == " abcdef  12345678"


class Top:
    """The screen of a machine, without a terminal."""

    def __init__(self, snapshot: Snapshot, columns: int = 80, lines: int = 24, user: str | None = None) -> None:
        self.columns, self.lines, self.controls = columns, lines, Controls()
        self.timed = TimedSnapshot(snapshot, snapshot.timestamp)
        self.user = user
        self.failure: str | None = None
        self.draw()

    def draw(self) -> list[str]:
        """Return the lines of the screen."""
        frame = Frame(self.timed.now, self.columns, self.lines, failure=self.failure)
        shown = machine_of(self.timed, self.user)
        self.drawn = screen_lines(shown, frame, self.controls, self.columns, self.lines)
        return [render_line(line, self.columns, colors=False).rstrip() for line in self.drawn]

    def press(self, *events: Event) -> list[str]:
        """Return the lines of the screen after these keys."""
        for event in events:
            assert self.controls.press(event)
            self.draw()
        return self.draw()

    @property
    def selected(self) -> str | None:
        """What is selected, as "TABLE KEY"."""
        target = self.controls.selected
        return f"{target.table} {target.key}" if target else None

    def column(self, heading: str) -> list[str]:
        """Return the first column of the table whose heading starts so."""
        lines = self.draw()
        start = next(number for number, line in enumerate(lines) if line.strip().startswith(heading)) + 1
        end = next(number for number, line in enumerate([*lines, ""]) if number >= start and not line)
        return [line.split()[0] for line in lines[start:end]]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 5), (1, 1)])
@pytest.mark.parametrize("devices", [0, 1, 64])
def test_a_view_fits_its_screen(devices: int, size: tuple[int, int]) -> None:
    snapshot = Demo(devices).hour()[0] if devices < 64 else machine(devices=tuple(map(device, range(64))))
    columns, lines = size
    top = Top(snapshot, columns, lines)
    for event in ("KEY_DOWN", "\n", "\x1b", "p", "?", "\x1b", "/", "x", "\x1b", "KEY_END"):
        drawn = top.press(event)
        assert len(drawn) == lines if lines > 5 else len(drawn) <= lines
        assert all(width(line) <= columns for line in drawn)


BROKEN = CollectorStatus("nvml", False, 0.1, "what the driver said, at length: " + "word " * 30, "hung")


def full(devices: int = 8) -> Snapshot:
    """Return a machine with so much on it, and so much wrong, that it does not fit."""
    return machine(
        devices=tuple(device(index) for index in range(devices)),
        environments=tuple(environment(str(number), (number,), name=f"env{number}") for number in range(9)),
        holdings=tuple(holding(str(number), number) for number in range(9)),
        driver_state="hung",
        collectors=(BROKEN, CollectorStatus("genv", False, 0.1, "no state"), CollectorStatus("x", False, 0.1)),
    )


@pytest.mark.parametrize(("columns", "lines", "least"), [(80, 24, 8), (40, 10, 4), (80, 8, 1), (200, 60, 8)])
def test_lines_are_spent_on_gpus_first(columns: int, lines: int, least: int) -> None:
    text = Top(full(), columns, lines).draw()
    assert sum(" in use" in line for line in text) >= least
    assert any(line.startswith("! The NVIDIA driver") for line in text)


def test_the_first_lines_say_who_has_what_and_what_is_free() -> None:
    snapshot = inhabited(
        tuple(map(device, range(4))),
        (
            environment("1", (0,), name="train", username="alice", pids=(7,)),
            environment("2", (1,), name="notebook", username="bob", idle_seconds=23_400.0),
        ),
        (Context(7, 0, GIB), Context(8, 2, GIB)),
        {7: ProcessOwner(1001, "1"), 8: ProcessOwner(1002, command="python3")},
    )
    text = Top(snapshot).draw()
    assert text[1].startswith("1 of 4 GPUs is free: 3  2 people  1 held idle")
    assert "4x NVIDIA H200" in text[0]
    rows = [line.split() for line in text[3:7]]
    assert rows[0][:4] == ["0", "alice", "in", "use"]
    assert rows[1][:7] == ["1", "bob", "idle", "6", "h", "30", "min"]
    assert rows[2][:6] == ["2", "+bob", "in", "use", "outside", "genv"]
    assert rows[3][:2] == ["3", "free"]
    assert "NVIDIA" not in "".join(text[1:])


def test_who_computes_on_a_gpu_of_somebody_else_has_a_plus() -> None:
    first, second = (line.split() for line in Top(visited(), 160).draw()[3:5])
    assert first[:7] == ["0", "dave,", "+alice,", "+bob", "idle", "2", "h"]
    assert " ".join(first).endswith("held, train, a.out 200")
    assert second[:2] == ["1", "alice"]
    alone = Top(visited(), 160, user="alice").draw()
    assert [line.split()[0] for line in alone[3:5]] == ["0", "1"], "also the GPU that she only uses"


def test_who_works_on_some_gpus_and_holds_others_idle() -> None:
    top = Top(half_used(), 160, 40)
    text = top.draw()
    assert "2 held idle" in text[1]
    states = [" ".join(line.split()[2:5]) for line in text[4:8]]
    assert states == ["in use 90%", "in use 90%", "idle 2 h", "idle 24 h"]
    assert "24 h     alice  four" in "\n".join(text), "the user, and not the environment"
    assert "four on 8,9,10,11: 45%, 80.0 GiB, idle on 10,11\n" in "\n".join(top.press("\t", "\t", "\n"))
    details = "\n".join(top.press("\x1b", "\t", "\n"))
    for words in ("90%, 40.0 GiB\n", "0%, 0.0 GiB, idle 2 h\n", "0%, 0.0 GiB, idle 24 h\n"):
        assert words in details


def test_problems_do_not_move_the_tables() -> None:
    well = machine(devices=tuple(map(device, range(4))))
    broken = well._replace(collectors=(BROKEN, CollectorStatus("genv", False, 0.1, "no state")))
    for lines in (24, 12, 40):
        before, after = Top(well, 80, lines).draw(), Top(broken, 80, lines).draw()
        assert before[2:8] == after[2:8]
        assert "! The NVIDIA driver returns an error." in "".join(after)
    top = Top(well)
    before = top.draw()
    top.failure = "http://gpu1:8000: Connection refused; see 'systemctl status genv-monitor', or say where it is"
    after = top.draw()
    assert before[:8] == after[:8]
    assert "".join(after[-3:-1]).startswith("! http://gpu1:8000: Connection refused")


def test_what_is_out_of_sight_is_counted_and_can_be_scrolled_to() -> None:
    top = Top(machine(devices=tuple(map(device, range(64)))))
    assert top.draw()[-1].endswith("44 more lines below")
    assert width(top.draw()[-1]) < top.columns, "the last cell of the screen stays empty"
    assert top.press("KEY_NPAGE")[-1].endswith("23 more lines below")
    seen = {line.split()[0] for _ in range(4) for line in top.press(" ")[2:-1]}
    assert "63" in seen
    assert not top.draw()[-1].endswith("below")
    assert top.press("g")[-1].endswith("44 more lines below")
    assert top.press(Wheel(1))[-1].endswith("41 more lines below")
    assert top.press("G", Wheel(-1))[-1].endswith("3 more lines below")


def test_all_problems_and_all_of_them_are_shown_on_demand() -> None:
    top = Top(full(), 60, 16)
    pages = [top.press("p"), *(top.press(" ") for _ in range(4))]
    words = " ".join(" ".join(line for page in pages for line in page[2:-1]).split())
    assert " ".join(["at length:", *["word"] * 9]) in words
    assert "genv's state cannot be read." in words
    assert top.press("\x1b")[1:] == Top(full(), 60, 16).draw()[1:]  # the first line has the time of day


def test_arrows_and_tab_select_and_enter_shows_details() -> None:
    snapshot = inhabited(
        (device(0), device(1)),
        (environment("11", (0,), name="train", username="alice", pids=(7,)),),
        (Context(7, 0, GIB),),
        {7: ProcessOwner(1001, "11", "python3")},
    )
    top = Top(snapshot)
    assert top.selected is None
    places: list[str | None] = []
    for event in ("\n", "\x1b", "KEY_DOWN", "j", "KEY_DOWN", "KEY_UP", "\t", "\t", "KEY_BTAB"):
        top.press(event)
        places.append(top.selected)
    assert places == [
        "gpu 0",
        None,
        "gpu 0",
        "gpu 1",
        "user alice",
        "gpu 1",
        "user alice",
        "environment 11",
        "user alice",
    ]
    (selected,) = [line for line in top.drawn if any(piece.style is Style.SELECTED for piece in line)]
    assert render_line(selected, None, colors=False).startswith(" alice")
    text = "\n".join(top.press("\t", "\n"))
    assert "Environment train" in text
    assert "7 python3 (alice, train)" in text
    assert "USER" not in text
    assert top.press("\x1b") == top.press("\n", "KEY_ENTER")
    for event, words in (("KEY_UP", "User alice"), ("KEY_UP", "GPU 1"), ("KEY_UP", "GPU 0")):
        assert words in top.press(event, "\n", "x")[2]
        top.press("\x7f")
    top.press("\x1b")
    assert top.selected is None


def test_details_of_a_gpu_say_what_is_wrong_with_it() -> None:
    top = Top(machine(devices=(device(0), device(1, up=False))))
    words = " ".join(" ".join(top.press("j", "j", "\n")).split())
    assert "state down" in words
    assert "GPU 1 does not answer." in words
    top.press("\x1b", "k", "\n")
    assert "does not answer" not in " ".join(top.draw())


def test_details_of_a_row_that_is_gone_say_so() -> None:
    top = Top(machine(devices=(device(0),)))
    top.press("j", "\n")
    top.timed = TimedSnapshot(machine(), time.time())
    assert "This is no longer there." in top.draw()
    assert top.press("\x1b", "j")[1] == "There are no GPUs  0 people  1 problem"


def test_a_problem_can_be_selected_and_read() -> None:
    top = Top(full(), 80, 24)
    top.press("KEY_BTAB")
    assert (top.selected or "").startswith("problem The NVIDIA driver does not answer.")
    assert any("Look for 'NVRM: Xid'" in line for line in top.press("\n"))
    top.press("\x1b", "j", "j")
    assert any("! Collector x fails." in line for line in top.draw())


def test_the_filter_shows_only_what_has_the_text() -> None:
    top = Top(Demo().hour()[0], 120, 40)
    everything = top.draw()
    name = sorted(environment.username or "" for environment in top.timed.snapshot.environments or ())[0]
    top.press("/", *name.upper())
    assert top.draw()[-1].startswith(f"/{name.upper()}")
    shown = "\n".join(top.press("\n"))
    assert f"filter: {name.upper()}" in shown
    assert top.column("USER   COMMAND") and set(top.column("USER   COMMAND")) == {name}
    assert "quit" in top.press("/", "\x15", "q", "\x7f", "\x1b")[-1]
    assert top.draw() == everything
    assert "No row has the text nobody-here" in "\n".join(top.press("/", *"nobody-here", "\n"))
    assert top.press("\x1b") == everything


def test_keys_and_titles_sort() -> None:
    devices = tuple(
        device(index, utilization_percent=(10, 90, 50)[index], memory_used_bytes=(3, 1, 2)[index] * GIB)
        for index in range(3)
    )
    snapshot = inhabited(
        devices,
        (
            environment("1", (0,), name="b", username="bob", idle_seconds=900.0),
            environment("2", (1,), name="c", username="carol", idle_seconds=90_000.0),
            environment("3", (2,), name="a", username="alice"),
        ),
        (),
        {},
    )
    top = Top(snapshot)
    orders = {}
    for key in "muni":
        top.press(key)
        orders[key] = top.column("GPU  USER")
        assert "sorted by" in top.draw()[-1]
        top.press(key)
        assert top.column("GPU  USER") == ["0", "1", "2"]
    assert orders == {"m": ["0", "2", "1"], "u": ["1", "2", "0"], "n": ["2", "0", "1"], "i": ["1", "0", "2"]}
    heading = top.draw()[2]
    top.press(Click(2, heading.index("UTIL") + 1))
    assert top.column("GPU  USER") == orders["u"]


def test_the_mouse_selects_and_opens() -> None:
    top = Top(machine(devices=(device(0), device(1))))
    top.press(Click(4, 30))
    assert top.selected == "gpu 1"
    assert top.press(Click(4, 3))[2] == "GPU 1"
    assert top.press(Click(10, 3))[2].startswith("GPU  USER")
    for click in (Click(0, 0), Click(20, 79), Click(500, 500)):
        top.press(click)
        assert top.selected == "gpu 1"


def test_q_leaves_but_not_while_a_filter_is_typed() -> None:
    controls = Controls()
    for key in ("q", "Q", "\x03", "\x04"):
        assert not controls.press(key)
    assert controls.press("/") and controls.press("q")
    assert controls.filter == "q"


def test_who_computes_is_seen_while_it_is_unknown_who_has_the_gpus() -> None:
    nobody = environment("1", (1,), username=None)
    running = inhabited((device(0), device(1)), (nobody,), (Context(7, 0, 1),), {7: ProcessOwner(1002, None, "a.out")})
    assert [line.split()[:2] for line in Top(running).draw()[3:5]] == [["0", "+bob"], ["1", "-"]]
    unknown = running._replace(environments=None, holdings=None, users=None)
    row = Top(unknown).draw()[3].split()
    assert row[:2] == ["0", "bob"] and row[-2:] == ["a.out", "7"]


def test_a_lost_gpu_has_a_row_as_it_is_counted() -> None:
    lost = (MissingDevice(1, "GPU-1", "0000:41:00.0"), MissingDevice(2, "GPU-old", None))
    top = Top(machine(devices=(device(0), device(2)))._replace(missing_devices=lost))
    assert top.draw()[1].startswith("2 of 4 GPUs are free: 0, 2")
    assert [line.split()[:3] for line in top.draw()[3:6]] == [
        ["0", "free", "50%"],
        ["1", "-", "lost"],
        ["2", "free", "50%"],
    ]
    assert top.press("j", "j", "\n")[2] == "GPU 1"


def test_one_user_sees_what_is_theirs() -> None:
    snapshot = inhabited(
        tuple(map(device, range(4))),
        (environment("1", (0,), name="train", username="alice"), environment("2", (1,), name="x", username="alicea")),
        (Context(8, 2, GIB), Context(9, 3, GIB)),
        {8: ProcessOwner(1001), 9: ProcessOwner(1002)},
    )
    top = Top(snapshot, 100, 40, user="alice")
    assert top.column("GPU  USER") == ["0", "2"]
    assert top.column("USER   ENVIRONMENT") == ["alice"]
    assert "only alice" in top.draw()[0]
    assert "GPUs" in top.draw()[1]
    assert "There is no GPU, environment or GPU process of zoe." in Top(snapshot, user="zoe").draw()


def test_one_user_sees_the_problems_that_are_theirs() -> None:
    snapshot = visited()._replace(missing_devices=(MissingDevice(5, "GPU-5", None),))
    everybody = Top(snapshot, 100, 40).draw()
    assert any(line.startswith("PROBLEMS (1), TO TALK TO (2)") for line in everybody)
    assert "1 problem" in everybody[1]
    for user, heading in {"alice": "TO TALK TO (1)", "bob": "TO TALK TO (1)", "dave": None, "zoe": None}.items():
        found = [line for line in Top(snapshot, 100, 40, user=user).draw() if "what to do" in line]
        assert [line.split("  ")[0] for line in found] == ([heading] if heading else []), user


def test_who_used_how_much_is_beside_who_has_something() -> None:
    used = (UserUsage("zoe", 360_000.0, 180_000.0, 90_000.0), UserUsage("alice", 3600.0, 3600.0, 0.0))
    snapshot = inhabited((device(0),), (environment("1", (0,), name="train"),), (), {})._replace(
        ledger=LedgerStatus(used, True, 1.0)
    )
    text = Top(snapshot).draw()
    rows = [line.split() for line in text[5:8]]
    assert rows[0][-3:] == ["GPU-HOURS", "IDLE", "SHARE"]
    assert (rows[1][0], rows[1][-2:]) == ("alice", ["1.00", "0%"])
    assert (rows[2][0], rows[2][-2:]) == ("zoe", ["100", "25%"])


def test_the_last_hour_is_drawn_where_there_is_room() -> None:
    now = time.time()
    times = [now - 3600 + 30 * n for n in range(121)]
    curve = Curve(times, [1.0] * 60 + [0.0] * 61, [0.5] * 121)
    top = Top(machine(devices=(device(0),)), 120, 40)
    assert "LAST HOUR" not in "".join(top.draw())
    top.timed = replace(top.timed, curves={0: curve})
    assert "GPU  USER" in top.draw()[3] and "UTIL, LAST HOUR" in top.draw()[3]
    assert "████████" in top.draw()[4]
    assert "LAST HOUR" not in "".join(Top(machine(devices=(device(0),)), 119, 40).draw())
    wide = Top(machine(devices=(device(0),)), 200, 50)
    wide.timed = replace(wide.timed, curves={0: curve})
    assert "▄" * 40 in wide.draw()[4]


def test_a_curve_has_the_mean_of_each_time_and_gaps() -> None:
    times = [0.0, 10.0, 3000.0, 3599.0, 3600.0]
    assert sparkline(times, [0.0, 1.0, math.nan, 0.01, 0.01], 3600.0, 4, LEVELS) == "▄  ▁"
    assert sparkline([], [], 0.0, 3, LEVELS) == "   "
    assert sparkline([-9e9, 9e9], [1.0, 1.0], 3600.0, 3, LEVELS) == "   "


def test_the_hour_of_the_service_is_understood() -> None:
    snapshot, past = Demo(2).hour()
    curves = parse_curves(json.loads(page_document(snapshot, past)))
    assert list(curves) == [0, 1]
    assert len(curves[0].times) == len(curves[0].utilization) == len(curves[0].memory) > 100


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"history": None},
        {"history": {"times": [1], "devices": [{}]}, "devices": [{"index": 0}]},
        {"history": {"times": [1], "devices": [{"utilization": [1, 2], "memory": [1]}]}, "devices": [{"index": 0}]},
        {"history": {"times": ["x"], "devices": []}, "devices": []},
        {"history": {"times": [1], "devices": [{"utilization": [{}], "memory": [1]}]}, "devices": [{"index": 0}]},
    ],
    ids=str,
)
def test_an_hour_of_another_kind_is_none(document: object) -> None:
    assert parse_curves(document) == {}


def test_mig_devices_have_lines_of_their_own() -> None:
    instances = tuple(
        MigInstance(n, f"MIG-{n}", "1g.12gb", n, 0, n * GIB, 12 * GIB, Activity(graphics_ratio=n / 10))
        for n in range(7)
    )
    devices = tuple(device(n, mig_mode="enabled", mig_instances=instances if n == 3 else ()) for n in range(16))
    text = "\n".join(Top(machine(devices=devices)).press("G"))
    for number in range(7):
        assert f"  3    {number}  1g.12gb" in text
        assert f"{number}.0/12.0  {number * 10:>3}%" in text


@pytest.mark.parametrize(
    ("seconds", "grace", "idle"),
    [(6.0, 600.0, False), (599.9, 600.0, False), (600.0, 600.0, True), (59.0, 60.0, False), (61.0, 60.0, True)],
)
def test_who_has_not_worked_for_a_short_while_is_in_use(seconds: float, grace: float, idle: bool) -> None:
    snapshot = inhabited((device(0),), (environment("1", (0,), idle_seconds=seconds),), (), {})
    snapshot = snapshot._replace(service=snapshot.service._replace(idle_grace_seconds=grace))
    text = "\n".join(Top(snapshot, 100, 60).draw())
    assert ("in use" not in text) is idle
    assert ("1 held idle" in text) is idle


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
    [
        (None, "-"),
        (-5, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (23_400, "6 h 30 min"),
        (90061, "25 h 1 min"),
        (200_000, "2 d"),
    ],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


def test_what_is_not_known_is_a_dash() -> None:
    assert (gib(None), percent(None)) == ("-", "-")
    assert (gib(2**30), percent(0.256)) == ("1.0", "26%")
