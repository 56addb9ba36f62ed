"""Keys and the mouse in ``genv-monitor top``, in a real terminal, and what it costs."""

from __future__ import annotations

import getpass
import re
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import Snapshot
from tests.support.monitor import PROGRAM, Monitor
from tests.support.shown import GIB, Demo, Shown, device, environment, inhabited, machine, serving
from tests.support.terminal import Terminal
from tests.support.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ARROW_DOWN = ("\x1b[B", "\x1bOB")
"""What the key sends in the two modes of a terminal."""


@pytest.fixture(scope="module")
def served() -> Iterator[Shown]:
    with serving() as shown:
        yield shown


def of(shown: Shown, *arguments: str) -> list[str | Path]:
    return [PROGRAM, "top", "--url", shown.origin, "-i", "0.2", *arguments]


def shared() -> Snapshot:
    """Return a machine that alice and bob share."""
    return inhabited(
        tuple(device(index, utilization_percent=20 + 10 * index) for index in range(4)),
        (
            environment("11", (0, 1), name="train", username="alice", pids=(7,)),
            environment("12", (2,), name="notebook", username="bob", idle_seconds=23_400.0),
        ),
        (Context(7, 0, 3 * GIB),),
        {7: ProcessOwner(1001, "11", "python3")},
    )


def line_with(terminal: Terminal, text: str) -> int:
    """Return the number of the first line with this text."""
    return next(number for number, line in enumerate(terminal.display) if text in line)


def is_selected(terminal: Terminal, text: str) -> bool:
    """Return whether a line with this text is shown as selected."""
    return any(
        text in line and terminal.cell[number][line.index(text)].reverse for number, line in enumerate(terminal.display)
    )


@pytest.mark.parametrize("down", ARROW_DOWN, ids=["usual", "application"])
def test_arrows_tab_and_enter(served: Shown, down: str) -> None:
    served.show(shared())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("1 of 4 GPUs is free: 3", "idle 6 h 30 min")
        terminal.type(down + down + down)
        wait_for(lambda: is_selected(terminal, "idle 6 h 30 min"), "selected")
        terminal.type("\r")
        terminal.wait_until_shown("GPU 2", "attached to", "notebook (bob, idle)")
        terminal.type("\x1b")
        terminal.wait_until_shown("GPU  USER")
        terminal.type("\t")
        wait_for(lambda: is_selected(terminal, "alice"), "the next table")
        terminal.type("\t\t\x1b[Z\n")
        terminal.wait_until_shown("Environment train", "7 python3 (alice, train)")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_filter_is_typed_and_taken_back(served: Shown) -> None:
    served.show(shared())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("1 of 4 GPUs is free: 3", "bob")
        terminal.type("/ALI")
        wait_for(lambda: "bob" not in terminal.text, "only alice")
        terminal.type("\r")
        terminal.wait_until_shown("filter: ALI", "alice", "train")
        terminal.type("\x1b")
        terminal.wait_until_shown("bob", "notebook")
        terminal.type("/free\n")
        wait_for(lambda: "alice" not in terminal.text, "only what is free")
        assert terminal.display[line_with(terminal, "GPU  USER") + 1].split()[:2] == ["3", "free"]


def test_the_mouse_selects_sorts_opens_and_scrolls(served: Shown) -> None:
    served.show(shared()._replace(devices=tuple(device(n, utilization_percent=n) for n in range(60))))
    with Terminal(of(served), columns=100, lines=30) as terminal:
        terminal.wait_until_shown("of 60 GPUs", "GPU  USER")

        def click(line: int, column: int, button: int = 0) -> None:
            terminal.type(f"\x1b[<{button};{column + 1};{line + 1}M\x1b[<{button};{column + 1};{line + 1}m")

        heading = line_with(terminal, "GPU  USER")
        click(heading + 2, 10)
        wait_for(lambda: is_selected(terminal, "train"), "selected")
        click(heading, terminal.display[heading].index("UTIL"))
        terminal.wait_until_shown("sorted by utilisation", " 59 ")
        click(heading + 1, 10)
        click(heading + 1, 10)
        terminal.wait_until_shown("GPU 59", "Esc back")
        terminal.type("\x1b")
        terminal.wait_until_shown("more lines below")
        before = terminal.display[-1]
        click(heading + 4, 10, button=65)
        wait_for(lambda: terminal.display[-1] != before, "scrolled")


def test_scrolling_asks_nothing_unusual_of_a_terminal(served: Shown) -> None:
    served.show(machine(devices=tuple(map(device, range(64)))))
    with Terminal(of(served, "-i", "1h"), columns=80, lines=24) as terminal:
        terminal.wait_until_shown("of 64 GPUs", "? keys")

        def shows(indices: list[int]) -> bool:
            rows = [line for line in terminal.display[2:-1] if re.match(r"^ +\d+ ", line)]
            return [int(row.split()[0]) for row in rows] == indices

        for key, first in (("\x1b[6~", 20), (" ", 41), ("b", 20), ("\x1b[<65;1;9M", 23), ("\x1b[<64;1;9M", 20)):
            terminal.type(key)
            expected = list(range(first, min(64, first + 21)))
            wait_for(partial(shows, expected), f"{key!r} scrolls to {first}")
        assert not re.search(r"\x1b\[\d*[STZ]|\t", terminal.raw)


def test_one_user_and_me(served: Shown) -> None:
    served.show(shared())
    with Terminal(of(served, "--user", "bob")) as terminal:
        terminal.wait_until_shown("only bob", "1 of 4 GPUs is free: 3", "notebook")
        assert "alice" not in terminal.text
    with Terminal(of(served, "--me")) as terminal:
        terminal.wait_until_shown(f"only {getpass.getuser()}")


def test_once_is_printed_in_a_terminal_too(served: Shown) -> None:
    served.show(shared())
    with Terminal(of(served, "--once")) as terminal:
        assert terminal.end() == 0
        assert "\x1b[?1049h" not in terminal.raw
        assert "1 of 4 GPUs is free: 3" in terminal.raw


def test_problems_that_come_and_go_do_not_move_the_tables(served: Shown) -> None:
    served.show(shared())
    with Terminal(of(served), columns=80, lines=24) as terminal:
        terminal.wait_until_shown("1 of 4 GPUs is free: 3", "GPU  USER")
        before = [line_with(terminal, text) for text in ("GPU  USER", "notebook", "USER   GPUS")]
        served.show(shared()._replace(driver_state="hung", holders_unknown=(3,)))
        terminal.wait_until_shown("driver hung", "PROBLEMS (")
        assert [line_with(terminal, text) for text in ("GPU  USER", "notebook", "USER   GPUS")] == before


def test_the_hour_of_the_service_is_drawn(served: Shown) -> None:
    served.show(*Demo().hour())
    with Terminal(of(served), columns=120, lines=40) as terminal:
        terminal.wait_until_shown("LAST HOUR")
        column = terminal.display[line_with(terminal, "LAST HOUR")].index("UTIL, LAST HOUR")
        curves = [line[column:] for line in terminal.display[4:12]]
        assert any(set(curve) & set("▁▂▃▄▅▆▇█") for curve in curves)
    with Terminal(of(served), columns=120, lines=40, environment={"TERM": "linux"}) as terminal:
        terminal.wait_until_shown("LAST HOUR")
        assert not set(terminal.text) & set("▁▂▃▅▆▇")


# --- What it costs ---------------------------------------------------------------------------------------------

KEY_SECONDS = 0.05
"""A key is answered within this time on a machine that has nothing else to do."""

REST_BYTES = 1000
"""Bytes per second that are sent at rest at most, on a machine whose values change."""

REST_SECONDS = 10.0


def large() -> Snapshot:
    """Return a machine with 500 environments and 2,000 processes."""
    environments = tuple(environment(str(n), (n % 16,), name=f"environment-{n}") for n in range(500))
    contexts = tuple(Context(100 + n, n % 16, GIB, utilization=0.01) for n in range(2000))
    owners = {100 + n: ProcessOwner(1001, str(n % 500), "python3") for n in range(2000)}
    return inhabited(tuple(map(device, range(16))), environments, contexts, owners)


ANSWERS = (("?", "Esc back"), ("?", "? keys"), ("m", "by memory"), ("m", "? keys  /"))
"""Keys, pressed one after the other, and what is in the last line then."""


def seconds_until_answered(terminal: Terminal, key: str, expected: str) -> float:
    start = time.perf_counter()
    terminal.type(key)
    while expected not in terminal.display[-1]:
        assert time.perf_counter() - start < PATIENCE, terminal.text
        time.sleep(0.001)
    return time.perf_counter() - start


@pytest.mark.parametrize("snapshot", [shared, large], ids=["small", "large"])
def test_a_key_is_answered_at_once(served: Shown, snapshot: Callable[[], Snapshot]) -> None:
    served.show(snapshot())
    fastest = dict.fromkeys(ANSWERS, PATIENCE)
    with Terminal(of(served), columns=120, lines=40) as terminal:
        terminal.wait_until_shown("? keys", "GPU  USER")

        def are_all_fast() -> bool:
            """Press them all again. What counts is the fastest time of each: others may have had the processor."""
            for answer in ANSWERS:
                fastest[answer] = min(fastest[answer], seconds_until_answered(terminal, *answer))
            return max(fastest.values()) < KEY_SECONDS

        wait_for(are_all_fast, f"each key answered within {KEY_SECONDS} s")


def test_only_what_has_changed_is_sent(tmp_path: Path) -> None:
    options: list[str | Path] = ["--demo", "-i", "1", "--config-dir", tmp_path]
    with (
        Monitor(options) as monitor,
        Terminal([PROGRAM, "top", "--url", f"http://127.0.0.1:{monitor.port}"], columns=120, lines=40) as terminal,
    ):
        terminal.wait_until_shown("? keys", "GPU  USER")
        first, start = len(terminal.sent), time.monotonic()
        wait_for(lambda: time.monotonic() - start > REST_SECONDS, "some refreshes")
        sent = len(terminal.sent) - first
        assert 0 < sent < REST_BYTES * (time.monotonic() - start), sent


def test_nothing_is_sent_while_nothing_changes(served: Shown) -> None:
    served.show(machine(devices=(device(0),))._replace(timestamp=time.time() + 3600))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("? keys", "1 of 1 GPU is free: 0")
        first, start = len(terminal.sent), time.monotonic()
        wait_for(lambda: time.monotonic() - start > 3, "some refreshes")
        assert len(terminal.sent) == first
