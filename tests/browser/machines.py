"""The machines that the page shows in the tests, and what the tests read from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Literal

from playwright.sync_api import Page, ViewportSize, expect

from genvd.analysis.history import History
from genvd.model.device import MigInstance
from genvd.model.facts import Context, MigInstanceId, ProcessOwner
from genvd.model.snapshot import (
    CollectorStatus,
    DeviceUse,
    MissingDevice,
    Process,
    Snapshot,
)
from tests.support.shown import GIB, Demo, device, environment, inhabited, machine

PHONE: ViewportSize = {"width": 360, "height": 740}
WATCH: ViewportSize = {"width": 240, "height": 500}
DESK: ViewportSize = {"width": 1280, "height": 800}
LAPTOP: ViewportSize = {"width": 1280, "height": 900}
COLORS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LONG_RTL = "שלום عالم " * 20
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;"


def problems(page: Page) -> list[str]:
    texts = page.locator("#problem-list .what").all_text_contents()
    return [re.sub("^(warning|info): ", "", text) for text in texts]


def talked(page: Page) -> list[str]:
    """Return whom to talk to, and about what."""
    return [text.removesuffix("What to do").strip() for text in page.locator("#talk-list li").all_inner_texts()]


def calm(page: Page) -> None:
    """Wait until the page shows a machine without problems."""
    expect(page.locator("#problems-title")).to_have_text("No problems")
    expect(page.locator("#outages > li")).to_have_count(0)


def rows(page: Page, section: str) -> list[str]:
    """Return what the first column of a table has, from top to bottom."""
    return page.locator(f"#{section} tbody th").all_inner_texts()


def people(count: int) -> Snapshot:
    """Return a machine with so many environments, each with a process, on sixteen devices."""
    environments = tuple(
        environment(str(number), (number % 16,), name=f"job-{number}", pids=(10_000 + number,))
        for number in range(count)
    )
    contexts = tuple(Context(10_000 + number, number % 16, GIB * (number % 7)) for number in range(count))
    owners = {10_000 + number: ProcessOwner(1001, str(number), "python3") for number in range(count)}
    return inhabited(tuple(device(index) for index in range(16)), environments, contexts, owners)


def five_states() -> Snapshot:
    """Return a machine whose GPUs are free, idle, in use, used outside genv, and down."""
    devices = (
        device(0, memory_used_bytes=0),
        device(1, memory_used_bytes=50 * GIB),
        device(2, memory_used_bytes=60 * GIB),
        device(3, memory_used_bytes=4 * GIB),
        device(4, up=False),
    )
    environments = (
        environment("1", (1,), name="notebook", username="heidi", idle_seconds=23_400.0),
        environment("2", (2,), name="train", idle_seconds=0.0, pids=(100,), gpu_memory_bytes=30 * GIB),
        environment("3", (4,), name="lost", username="carol"),
    )
    contexts = (Context(100, 2, 60 * GIB, utilization=0.5), Context(200, 3, 4 * GIB), Context(300, 1, 50 * GIB))
    owners = {
        100: ProcessOwner(1001, "2", "python3"),
        200: ProcessOwner(1002, None, "a.out"),
        300: ProcessOwner(1001, "1", "jupyter"),
    }
    return inhabited(devices, environments, contexts, owners)


def failing(name: str, error: str, state: str = "ok") -> Snapshot:
    unknown: dict[str, None] = dict.fromkeys(("devices", "processes", "holdings")) if name == "nvml" else {}
    return machine(collectors=(CollectorStatus(name, False, 0.1, error, state),), driver_state=state, **unknown)


def alone(**values: object) -> Snapshot:
    return machine(devices=(device(0, **values),))


RUNNING = inhabited(
    (device(0, memory_used_bytes=9 * GIB), device(1)),
    (environment("1", (0,), gpu_memory_bytes=GIB, gpus=0), environment("2", (0,))),
    (Context(7, 0, 8 * GIB), Context(7, 1, 10 * GIB), Context(8, 0, 0)),
    {7: ProcessOwner(1001, "1", "python3"), 8: ProcessOwner(1002, None, "miner")},
)


def mig() -> Snapshot:
    def instances(index: int) -> tuple[MigInstance, ...]:
        return tuple(
            MigInstance(
                number,
                f"MIG-{index}-{number}",
                "1g.18gb",
                gpu_instance=number,
                compute_instance=0,
                memory_used_bytes=GIB,
                memory_total_bytes=16 * GIB,
            )
            for number in range(7)
        )

    use = DeviceUse(15, GIB, mig_places=(MigInstanceId(2, 0),))
    return machine(
        processes=(Process(7, (use,), username="alice", uid=1001, command="python3"),),
        devices=tuple(
            device(index, utilization_percent=None, mig_mode="enabled", mig_instances=instances(index))
            for index in range(16)
        ),
    )


def odd() -> Snapshot:
    names = (LONG_RTL[:200], MARKUP, "x" * 200, "\N{FULLWIDTH LATIN CAPITAL LETTER A}" * 100)
    environments = tuple(
        environment(str(number), (0,), name=name, username=name, gpus=0, pids=(number + 50,))
        for number, name in enumerate(names)
    )
    contexts = tuple(Context(number + 50, 0, GIB) for number in range(len(names)))
    owners = {number + 50: ProcessOwner(1001, str(number), name[:15]) for number, name in enumerate(names)}
    return inhabited((device(0, name="\N{FULLWIDTH LATIN CAPITAL LETTER G}" * 200),), environments, contexts, owners)


def lost() -> Snapshot:
    """Return a machine of which one GPU does not answer, and another is no longer listed."""
    return five_states()._replace(missing_devices=(MissingDevice(5, "GPU-5", None),))


@cache
def busy() -> tuple[Snapshot, History]:
    """Return the simulated machine after an hour."""
    return Demo().hour()


STATES: dict[str, Callable[[], tuple[Snapshot] | tuple[Snapshot, History]]] = {
    "demo": busy,
    "empty": lambda: (machine(),),
    "mig": lambda: (mig(),),
    "many": lambda: (people(500),),
    "odd": lambda: (odd(),),
    "wrong": lambda: (RUNNING._replace(timestamp=machine().timestamp),),
    "dead": lambda: (failing("nvml", "x" * 300, "hung"),),
    "missing": lambda: (failing("nvml", "no driver", "missing"),),
    "lost": lambda: (lost(),),
}


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong for people with disabilities."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']][:3]}" for one in found]
