"""``genv-monitor free``, for scripts."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from genvd.model import snapshot_json
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import Snapshot
from tests.support.answering import answering, http
from tests.support.monitor import PROGRAM
from tests.support.needs import need_localhost
from tests.support.ports import free_port
from tests.support.shown import GIB, Shown, device, environment, inhabited, machine, serving
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def served() -> Iterator[Shown]:
    with serving() as shown:
        yield shown


def free(*arguments: str | Path) -> tuple[int, str, str]:
    """Return the exit status, standard output and standard error."""
    command = [str(one) for one in (PROGRAM, "free", *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def taken(*attached: int, gpus: int = 4) -> Snapshot:
    """Return a machine on which these GPUs are attached to an environment."""
    return inhabited(tuple(map(device, range(gpus))), (environment("1", attached),), (), {})


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (taken(0, 1), (0, "2,3\n", "")),
        (taken(0, 1, 2), (0, "3\n", "")),
        (taken(), (0, "0,1,2,3\n", "")),
        (taken(0, 1, 2, 3), (1, "", "")),
        (machine(), (1, "", "")),
        (taken(0, 1, 2)._replace(devices=(*map(device, range(3)), device(3, up=False))), (1, "", "")),
    ],
    ids=["two", "one", "all", "none", "no GPUs", "one is down"],
)
def test_the_free_gpus_are_one_line(served: Shown, snapshot: Snapshot, expected: tuple[int, str, str]) -> None:
    served.show(snapshot._replace(timestamp=time.time()))
    assert free("--url", served.origin) == expected


def test_a_gpu_that_is_used_outside_genv_is_not_free(served: Shown) -> None:
    served.show(inhabited((device(0), device(1)), (), (Context(7, 0, GIB),), {7: ProcessOwner(1001)}))
    assert free("--url", served.origin) == (0, "1\n", "")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"devices": None}, "it is not known which GPUs are free"),
        ({"processes": None}, "it is not known whether GPU 3 is free"),
        ({"holders_unknown": (3,)}, "it is not known whether GPU 3 is free"),
        ({"timestamp": 1e9}, "the data of the service is too old"),
    ],
    ids=["GPUs", "processes", "holders", "old"],
)
def test_what_is_not_known_is_neither_free_nor_taken(served: Shown, parts: dict[str, object], reason: str) -> None:
    served.show(taken(0, 1, 2)._replace(**parts))  # type: ignore[arg-type]
    status, output, error = free("--url", served.origin)
    assert (status, output) == (3, "")
    (line,) = error.splitlines()
    assert reason in line


def test_what_is_known_to_be_free_is_printed_whatever_else_is_not(served: Shown) -> None:
    served.show(taken(0)._replace(holders_unknown=(1, 2)))
    assert free("--url", served.origin) == (0, "3\n", "")


def test_without_an_answer_it_is_not_known() -> None:
    status, output, error = free("--url", "http://127.0.0.1:1")
    assert (status, output) == (3, "")
    assert "http://127.0.0.1:1: Connection refused" in error


def test_it_waits_until_one_is_free_even_if_the_service_is_restarted() -> None:
    none, one = (http("200 OK", snapshot_json.dump(taken(*attached))) for attached in ((0, 1, 2, 3), (0, 1, 3)))
    with answering(none, none, http("503 Service Unavailable", b"Not yet."), b"", none, one) as url:
        status, output, error = free("--wait", "--url", url, "-i", "0.1")
    assert (status, output) == (0, "2\n")
    assert "still waiting" in error
    assert "the service answers again" in error.splitlines()[-1]


def test_a_service_that_is_gone_at_the_end_of_the_wait_is_not_known() -> None:
    with answering(http("200 OK", snapshot_json.dump(taken(0, 1, 2, 3))), b"") as url:
        status, output, error = free("--wait", "1s", "--url", url, "-i", "0.1")
    assert (status, output) == (3, "")
    assert "no longer answers" in error.splitlines()[-1]


def test_it_waits_no_longer_than_it_is_told(served: Shown) -> None:
    served.show(taken(0, 1, 2, 3))
    assert free("--wait", "1s", "--url", served.origin, "-i", "0.1")[:2] == (1, "")


def test_without_a_service_it_looks_by_itself(tmp_path: Path) -> None:
    need_localhost()  # where a service without an address is asked
    config = tmp_path / "monitor.yaml"
    config.write_text(f"listen: {{port: {free_port()}}}\n")
    status, output, _ = free("-c", config)
    assert (status == 0) == bool(output)
    assert status in (0, 1, 3)


def test_a_simulated_machine_can_be_asked() -> None:
    status, output, _ = free("--demo", "64")
    assert status == 0
    assert [int(index) for index in output.split(",")] == sorted({int(index) for index in output.split(",")})


def test_in_a_terminal_it_says_that_none_is_free(served: Shown) -> None:
    served.show(taken(0, 1, 2, 3))
    with Terminal([PROGRAM, "free", "--url", served.origin]) as terminal:
        assert terminal.end() == 1
        assert terminal.raw == "no GPU is free\r\n"
