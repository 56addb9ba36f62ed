"""Text in the columns of a terminal, and how much of a machine fits."""

from __future__ import annotations

import pytest

from genvd.overview import overview
from genvd.terminal.columns import cut, fill, width
from genvd.terminal.paint import Piece, Style, painted
from genvd.terminal.picture import Frame, picture
from genvd.terminal.table import Column, table
from genvd.terminal.values import duration, gib, percent
from tests.support.shown import Demo, device, machine

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
    assert cut(text, columns) == expected
    assert width(fill(text, columns)) == columns


def test_nothing_in_a_piece_moves_the_cursor() -> None:
    sent = painted((Piece("\x1b]0;x\x07\r\n"), Piece("\N{RIGHT-TO-LEFT OVERRIDE}", Style.ERROR)), None, colors=True)
    assert sent == r"\x1b]0;x\x07\r\n" + "\x1b[1;31m" + r"\u202e" + "\x1b[0m"


def test_names_give_room_and_numbers_do_not() -> None:
    columns = (Column("NAME", str, gives=True), Column("N", lambda row: str(len(row)), right=True))
    lines = table(columns, ["a" * 50, "b"], 20)
    assert [painted(line, None, colors=False) for line in lines] == [
        "NAME               N",
        "aaaaaaaaaaaaaaa…  50",
        "b                  1",
    ]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 5), (1, 1)])
@pytest.mark.parametrize("devices", [0, 1, 64])
def test_a_picture_fits_its_frame(devices: int, size: tuple[int, int]) -> None:
    snapshot, _ = Demo(devices).hour() if devices < 64 else (machine(devices=tuple(map(device, range(64)))), None)
    columns, lines = size
    drawn = picture(overview(snapshot), Frame(snapshot.timestamp, columns, lines))
    assert len(drawn) <= lines
    assert all(width(painted(line, columns, colors=False)) <= columns for line in drawn)


def test_devices_have_the_most_room() -> None:
    snapshot = machine(devices=tuple(map(device, range(64))))
    drawn = picture(overview(snapshot), Frame(snapshot.timestamp, 80, 24))
    text = [painted(line, None, colors=False) for line in drawn]
    assert len(text) == 24
    assert text[-1] == "  and 45 more lines"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "-"), (-5, "0s"), (59.4, "59s"), (60, "1m"), (3600, "1h00m"), (90061, "25h01m"), (200_000, "2d")],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


def test_what_is_not_known_is_a_dash() -> None:
    assert (gib(None), percent(None)) == ("-", "-")
    assert (gib(2**30), percent(0.256)) == ("1.0", "26%")
