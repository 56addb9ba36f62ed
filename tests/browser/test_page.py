"""The page in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, Route, ViewportSize, expect

from genvd.analysis.history import EMPTY_HISTORY, POINT_SECONDS, History, HistoryRecorder
from genvd.model.device import DeviceDetails, MemoryHealth, MigInstance, Throttling, XidErrors
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import CollectorStatus, LedgerStatus, Snapshot
from tests.browser.conftest import OpenPage
from tests.support.shown import GIB, Demo, Shown, device, environment, inhabited, machine

PHONE: ViewportSize = {"width": 360, "height": 740}
WATCH: ViewportSize = {"width": 240, "height": 500}
DESK: ViewportSize = {"width": 1280, "height": 800}
COLORS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LONG_RTL = "שלום عالم " * 20
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;"

expect.set_options(timeout=20_000)


def problems(page: Page) -> list[str]:
    return page.locator("#problems .what").all_inner_texts()


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


# --- What it shows ---------------------------------------------------------------------------------------------


def test_it_shows_the_machine(served: Shown, open_page: OpenPage) -> None:
    snapshot, past = busy()
    served.show(snapshot, past)
    page = open_page()
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#simulated")).to_be_visible()
    tiles = dict(
        page.locator(".glance > div").evaluate_all(
            "(all) => all.map((one) => [...one.children].map((c) => c.firstChild.data))"
        )
    )
    assert tiles["GPUs"] == "8"
    assert tiles["Environments"] == str(len(snapshot.environments or ()))
    assert tiles["Driver"] == "works"
    assert sorted(rows(page, "processes")) == sorted(str(process.pid) for process in snapshot.processes or ())
    assert set(rows(page, "users")) >= {user.username for user in snapshot.users or ()}
    curve = page.locator(".spark path").first.get_attribute("d") or ""
    assert curve.count("L") > 100
    assert re.fullmatch(
        r"Utilisation of GPU 0 in the last hour: \d+ % to \d+ %",
        page.locator(".spark").first.get_attribute("aria-label") or "",
    )


def test_a_card_says_whose_device_it_is(served: Shown, open_page: OpenPage) -> None:
    served.show(
        inhabited(
            (device(0, memory_used_bytes=30 * GIB), device(1, memory_used_bytes=0)),
            (environment("1", (0,), name="train", idle_seconds=1500.0, pids=(100,)),),
            (Context(100, 0, 20 * GIB, utilization=0.0), Context(200, 0, 4 * GIB)),
            {100: ProcessOwner(1001, "1", "python3"), 200: ProcessOwner(1002, None, "a.out")},
        )
    )
    first, second = (open_page().locator(".card").nth(number) for number in range(2))
    expect(first.locator(".badge")).to_have_text(re.compile(r"idle since .* \(25 min\)"))
    expect(first.locator(".facts dd").nth(0)).to_have_text("train (alice), idle")
    expect(first.locator(".facts dd").nth(1)).to_have_text("python3 100 (alice)a.out 200 (bob)")
    expect(second.locator(".badge")).to_have_text("free")
    first.locator("summary").click()
    assert first.locator(".memory li").all_inner_texts() == [
        "train\n20.0 GiB",
        "outside genv\n4.0 GiB",
        "orphan memory\n6.0 GiB",
        "alice\n20.0 GiB",
        "bob\n4.0 GiB",
    ]
    widths = first.locator(".bar").nth(1).locator("span").evaluate_all("(all) => all.map((one) => one.style.width)")
    assert widths == ["20%", "4%", "6%"]
    expect(first.get_by_role("meter", name="Memory")).to_have_attribute("aria-valuenow", "30")


def test_a_curve_ends_with_what_is_beside_it(served: Shown, open_page: OpenPage) -> None:
    """The last half minute, of which the hour has the mean, is under way."""
    history, past = HistoryRecorder(), EMPTY_HISTORY
    begin = (time.time() // POINT_SECONDS - 1) * POINT_SECONDS
    for seconds, celsius in ((0, 75), (31, 74), (33, 68)):
        snapshot = replace(machine(devices=(device(0, temperature_celsius=celsius),)), timestamp=begin + seconds)
        past = history.record(snapshot)
    served.show(snapshot, past)
    heat = open_page().locator(".gauge").nth(2)
    expect(heat.locator(".value")).to_have_text("68 °C")
    expect(heat.locator(".spark")).to_have_attribute(
        "aria-label", "Temperature of GPU 0 in the last hour: 68 °C to 75 °C"
    )
    expect(heat.locator(".range")).to_have_text("68\N{EN DASH}75 °C")
    expect(heat.locator("..").locator(".range").first).to_have_text("50 %")
    expect(heat.locator("..").locator(".range").last).to_have_text("\N{EN DASH}")


def test_it_updates_without_being_loaded_again(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0, utilization_percent=11),), environments=(environment("1"),)))
    page = open_page()
    expect(page.locator(".gauge .value").first).to_have_text("11 %")
    page.evaluate("window.here = document.querySelector('.card')")
    page.get_by_label("Filter environments").fill("2")
    served.show(
        machine(
            devices=(device(0, utilization_percent=22), device(1)), environments=(environment("1"), environment("2"))
        )
    )
    expect(page.locator(".gauge .value").first).to_have_text("22 %")
    expect(page.locator(".card")).to_have_count(2)
    assert page.evaluate("window.here === document.querySelector('.card')")
    expect(page.get_by_label("Filter environments")).to_be_focused()
    assert rows(page, "environments") == ["2"]
    served.show(machine(devices=(device(1),)))
    expect(page.locator(".card")).to_have_count(1)
    assert not page.evaluate("window.here.isConnected")


def test_it_asks_only_for_what_is_new(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    expect(page.locator("#verdict")).to_have_text("No problems.")
    with page.expect_response("**/data.json") as answer:
        pass
    assert answer.value.status == 304


def test_it_asks_for_nothing_while_nobody_looks(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page(before=lambda page: page.clock.install())
    expect(page.locator("#verdict")).to_have_text("No problems.")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    look = (
        "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.evaluate(look, True)
    page.clock.run_for(2_000)  # what was under way is done
    asked.clear()
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_response("**/data.json"):
        page.evaluate(look, False)


# --- Sorting and filtering -------------------------------------------------------------------------------------


def test_tables_sort_by_keyboard(served: Shown, open_page: OpenPage) -> None:
    served.show(
        machine(
            environments=(
                environment("9", name="beta", gpu_memory_bytes=GIB),
                environment("10", name="alpha"),
                environment("11", name="gamma", gpu_memory_bytes=5 * GIB),
            )
        )
    )
    page = open_page()
    expect(page.locator("#environments tbody tr")).to_have_count(3)
    assert rows(page, "environments") == ["alpha", "beta", "gamma"]
    page.get_by_label("Filter environments").focus()
    for _ in range(3):  # the scrolling region, then the buttons of the columns
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name=re.compile(r"^ID\b"))).to_be_focused()
    page.keyboard.press("Enter")
    assert rows(page, "environments") == ["beta", "alpha", "gamma"]  # 9, 10, 11
    page.keyboard.press("Space")
    assert rows(page, "environments") == ["gamma", "alpha", "beta"]
    sorted_by = page.locator("#environments th[aria-sort]")
    expect(sorted_by).to_have_count(1)
    expect(sorted_by).to_have_attribute("aria-sort", "descending")
    asked_for = page.get_by_role("button", name="Limit per GPU")
    asked_for.click()
    assert rows(page, "environments") == ["gamma", "beta", "alpha"]  # what is not known is last
    asked_for.click()
    assert rows(page, "environments") == ["beta", "gamma", "alpha"]


def test_tables_filter_by_all_that_they_show(served: Shown, open_page: OpenPage) -> None:
    served.show(people(30))
    page = open_page()
    field = page.get_by_label("Filter processes")
    field.fill("OB-2")
    expect(page.locator("#processes tbody tr")).to_have_count(11)
    expect(page.locator("#processes [role=status]")).to_have_text("11 of 30 processes found")
    field.fill("no such thing")
    expect(page.locator("#processes .scroll")).to_be_hidden()
    field.fill("")
    expect(page.locator("#processes tbody tr")).to_have_count(30)


def test_each_word_may_be_in_another_column(served: Shown, open_page: OpenPage) -> None:
    served.show(
        machine(
            environments=(
                environment("1", name="resnet", username="heidi"),
                environment("2", name="resnet", username="judy"),
                environment("3", name="bert", username="heidi"),
            )
        )
    )
    page = open_page()
    field = page.get_by_label("Filter environments")
    field.fill(" heidi  resnet ")
    expect(page.locator("#environments tbody tr")).to_have_count(1)
    expect(page.locator("#environments tbody td").first).to_have_text("1")
    field.fill("heidi judy")
    expect(page.locator("#environments .scroll")).to_be_hidden()


def test_filter_and_order_outlive_a_reload_but_not_the_tab(served: Shown, open_page: OpenPage) -> None:
    named = tuple(environment(str(number), name=f"job-{number}", gpu_memory_bytes=GIB * number) for number in range(12))
    served.show(machine(environments=named))
    page = open_page()
    page.get_by_label("Filter environments").fill("job-1")
    page.get_by_role("button", name=re.compile(r"^ID\b")).click()
    page.get_by_role("button", name=re.compile(r"^ID\b")).click()
    assert rows(page, "environments") == ["job-11", "job-10", "job-1"]
    page.reload()
    expect(page.locator("#environments tbody tr")).to_have_count(3)
    assert rows(page, "environments") == ["job-11", "job-10", "job-1"]
    expect(page.get_by_label("Filter environments")).to_have_value("job-1")
    expect(open_page().locator("#environments tbody tr")).to_have_count(12)


@pytest.mark.parametrize("found", ["x", "{}", '{"filter": "", "sortedBy": 99, "descending": true}', None])
def test_what_was_kept_may_be_anything_or_refused(served: Shown, open_page: OpenPage, found: str | None) -> None:
    served.show(machine(environments=(environment("1", name="train"),)))
    refuse = "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no'); }})"
    script = refuse if found is None else f"sessionStorage.setItem('filter-environments', {found!r})"
    page = open_page(before=lambda page: page.add_init_script(script))
    expect(page.locator("#environments tbody tr")).to_have_count(1)
    page.get_by_label("Filter environments").fill("train")
    expect(page.locator("#environments [role=status]")).to_have_text("1 environments found")


# --- What is wrong ---------------------------------------------------------------------------------------------


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

WRONG = {
    "missing": (failing("nvml", "no driver", "missing"), "No NVIDIA driver is installed."),
    "not loaded": (failing("nvml", "not loaded", "not_loaded"), "The NVIDIA driver is not loaded."),
    "mismatch": (
        failing("nvml", "differ", "mismatch"),
        "The NVIDIA driver was upgraded: the versions of",
    ),
    "hung": (failing("nvml", "does not answer in time", "hung"), "The NVIDIA driver does not answer."),
    "permission": (failing("nvml", "no", "no_permission"), "The monitor has no permission to use the NVIDIA driver."),
    "failed": (failing("nvml", "Unknown Error", "failed"), "The NVIDIA driver returns an error."),
    "state": (failing("genv", "/var/tmp/genv/envs.json: no JSON"), "genv's state cannot be read."),
    "processes": (failing("processes", "/proc: no"), "Process list unavailable."),
    "accounts": (failing("accounts", "no answer"), "User accounts cannot be looked up."),
    "down": (alone(up=False, utilization_percent=None), "GPU 0 does not answer."),
    "remap": (alone(health=MemoryHealth(remap_failed=True)), "GPU 0 has defective memory that cannot be repaired."),
    "recovery": (
        alone(details=DeviceDetails(recovery_action="node_reboot")),
        "GPU 0 needs recovery; the driver recommends: node reboot.",
    ),
    "pending": (alone(health=MemoryHealth(remap_pending=True)), "Warning: GPU 0 has memory errors and needs a"),
    "hot": (
        alone(details=DeviceDetails(throttling=(Throttling("hw_thermal", True),))),
        "Warning: GPU 0 is slowed down: too hot.",
    ),
    "xid": (alone(xids=(XidErrors(79, 1, 9e9),)), "Warning: GPU 0: XID 79 (GPU has fallen off the bus), 0 min ago."),
    "ledger": (machine(ledger=LedgerStatus(write_success=False)), "GPU usage could not be written"),
    "configuration": (
        replace(machine(), service=replace(machine().service, config_reload_successful=False)),
        "Configuration reload failed",
    ),
    "files": (
        replace(machine(), service=replace(machine().service, publish_success=False)),
        "The Prometheus and Grafana files could not be written, or were changed by another program.",
    ),
}

SELF_EXPLANATORY = ("missing", "not_loaded", "no_permission")
"""Driver states for which no error message is shown."""

WRONG_TOGETHER = (
    "1 environment uses more GPU memory than its limit.",
    "1 environment computes on a GPU that is not attached.",
    "1 environment has more GPUs than it asked for.",
    "Warning: 1 GPU process runs outside genv, so genv still shows its GPU as free.",
    "Warning: GPU 0: 1.0 GiB are in use that no live process accounts for.",
    "Warning: GPU 0 is oversubscribed: its environments asked for more memory than it has.",
)
"""What is wrong on that machine."""


def test_what_is_wrong_is_said_at_once_the_worst_first(served: Shown, open_page: OpenPage) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page()
    expect(page.locator("#verdict")).to_have_text("3 errors, 3 warnings:")
    assert problems(page) == list(WRONG_TOGETHER)
    expect(page.locator("#problems > li").first).to_contain_text("1 (alice)")


def test_what_is_wrong_has_the_same_color_everywhere(served: Shown, open_page: OpenPage) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page()

    def color(of: Locator) -> str:
        return str(of.evaluate("(one) => getComputedStyle(one).color"))

    def said(words: str) -> str:
        return color(page.locator(".what", has_text=words))

    outside, broken = said("outside genv"), said("more GPU memory than")
    assert outside != broken
    assert color(page.locator("#processes td", has_text="outside genv")) == outside
    users = page.locator("#users tr", has_text="bob").locator("td").last
    assert color(users) == outside
    assert color(page.locator("#environments td", has_text="memory limit").first) == broken
    swatch = page.locator(".card .swatch.orphan").first.evaluate("(one) => getComputedStyle(one).backgroundImage")
    assert said("no live process accounts for") in swatch


def test_it_says_what_is_wrong_and_what_to_do(served: Shown, open_page: OpenPage) -> None:
    served.show(machine())
    page = open_page()
    for name, (snapshot, expected) in WRONG.items():
        served.show(replace(snapshot, timestamp=machine().timestamp))
        page.reload()
        item = page.locator("#problems > li", has_text=expected.removeprefix("Warning: "))
        expect(item, name).to_have_count(1)
        warning = expected.startswith("Warning: ")
        expect(item).to_have_class(f"problem {'warning' if warning else 'error'}")
        assert item.locator(".what").inner_text().startswith(expected), name
        assert len(item.locator("p").all_inner_texts()[-1]) > 10, name
        detail = next((status.error for status in snapshot.collectors), None)
        if detail and snapshot.driver_state not in SELF_EXPLANATORY:
            expect(item.locator(".detail")).to_contain_text(detail)
        expect(page.locator("#verdict")).to_have_class("warning" if warning else "error")


def test_with_a_dead_driver_the_rest_is_there(served: Shown, open_page: OpenPage) -> None:
    dead = failing("nvml", "dead", "hung")
    served.show(replace(dead, environments=(environment("1", (0,), name="train", pids=None),)))
    page = open_page()
    expect(page.locator("#no-devices")).to_have_text("GPU list unavailable.")
    assert rows(page, "environments") == ["train"]
    expect(page.locator("#processes .tools")).to_contain_text("List of processes unavailable.")
    expect(page.locator(".glance dd").first).to_have_text("hung")


def test_before_the_first_collection_it_waits(served: Shown, open_page: OpenPage) -> None:
    served.nothing()
    page = open_page()
    waits = re.compile("^The first collection is not finished yet.")
    expect(page.locator("#verdict")).to_have_text(waits)
    expect(page.locator("#verdict")).to_have_class("muted")
    assert problems(page) == []
    served.show(machine(devices=(device(0),)))
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#verdict")).to_have_text("No problems.")
    served.nothing()  # it was restarted
    expect(page.locator("#verdict")).to_have_text(waits)
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    expect(page.locator("#verdict")).to_have_class("error")


def test_facts_that_are_old_are_said_to_be(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    expect(page.locator("#verdict")).to_have_text("No problems.")
    served.show(replace(machine(devices=(device(0),)), timestamp=machine().timestamp - 600))
    expect(page.locator("#problems")).to_contain_text("The data is old")
    expect(page.locator("#freshness")).to_have_text("as of 10 min ago")
    expect(page.locator("#freshness")).to_have_class(re.compile("error"))


def test_a_monitor_that_does_not_answer_is_said_to_and_asked_again(
    served: Shown, open_page: OpenPage, complaints: list[str]
) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    expect(page.locator(".card")).to_have_count(1)

    def refuse(route: Route) -> None:
        route.abort("connectionrefused")

    page.route("**/data.json", refuse)
    expect(page.locator("#problems")).to_contain_text("The monitor does not answer.")
    expect(page.locator(".card")).to_have_count(1)  # what was last known stays in sight
    page.unroute("**/data.json")
    expect(page.locator("#verdict")).to_have_text("No problems.")
    assert {complaint[:32] for complaint in complaints} == {"console: Failed to load resource"}
    complaints.clear()


# --- Much, little, and odd -------------------------------------------------------------------------------------


def mig() -> Snapshot:
    def instances(index: int) -> tuple[MigInstance, ...]:
        return tuple(
            MigInstance(number, f"MIG-{index}-{number}", "1g.18gb", memory_used_bytes=GIB, memory_total_bytes=16 * GIB)
            for number in range(7)
        )

    return machine(
        devices=tuple(
            device(index, utilization_percent=None, mig_mode="enabled", mig_instances=instances(index))
            for index in range(16)
        )
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
    "wrong": lambda: (replace(RUNNING, timestamp=machine().timestamp),),
    "dead": lambda: (failing("nvml", "x" * 300, "hung"),),
}


@pytest.mark.parametrize("state", STATES)
def test_it_fits_on_a_phone(served: Shown, open_page: OpenPage, state: str) -> None:
    served.show(*STATES[state]())
    page = open_page(viewport=PHONE)
    expect(page.locator("#version")).to_contain_text("genv-monitor")
    for size in (PHONE, WATCH):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_rows_are_a_line_high_on_a_phone(served: Shown, open_page: OpenPage) -> None:
    served.show(*busy())
    lines = open_page(viewport=PHONE).locator("#processes tbody tr")
    expect(lines.first).to_be_visible()
    assert max(lines.evaluate_all("(all) => all.map((one) => one.offsetHeight)")) < 40


def test_without_devices_it_says_so(served: Shown, open_page: OpenPage) -> None:
    served.show(machine())
    page = open_page()
    expect(page.locator("#problems")).to_contain_text("The NVIDIA driver works but lists no GPU.")
    expect(page.locator("#no-devices")).to_have_text("This machine has no GPU.")


def test_devices_in_mig_mode_show_their_instances(served: Shown, open_page: OpenPage) -> None:
    served.show(mig())
    page = open_page()
    expect(page.locator(".card")).to_have_count(16)
    card = page.locator(".card").nth(15)
    expect(card.locator(".gauge .value").first).to_have_text("unavailable in MIG mode")
    card.locator("summary").click()
    expect(card.locator(".memory > div").last.locator("li")).to_have_count(7)
    expect(card.locator(".memory li").last).to_have_text("6 1g.18gb1.0 of 16.0 GiB")


def test_of_many_rows_the_first_are_shown_until_all_are_wanted(served: Shown, open_page: OpenPage) -> None:
    served.show(people(500))
    page = open_page()
    expect(page.locator("#environments tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Show all 500 environments").click()
    expect(page.locator("#environments tbody tr")).to_have_count(500)
    expect(page.locator(".card").first.locator(".facts dd").first).to_contain_text("and 24 more")


def test_names_are_text_and_turn_nothing_around_them(served: Shown, open_page: OpenPage) -> None:
    served.show(odd())
    page = open_page()
    expect(page.locator("#environments tbody tr")).to_have_count(4)
    assert MARKUP in rows(page, "environments")
    assert page.locator("img, main script").count() == 0
    assert page.locator("#problems bdi").count() == 4
    isolated = page.locator("#environments tbody bdi").first.evaluate("(one) => getComputedStyle(one).unicodeBidi")
    assert isolated == "isolate"
    widths = page.locator("tbody .name").evaluate_all("(all) => all.map((one) => one.clientWidth)")
    assert max(widths) < 400


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_long_names_are_shortened_until_they_have_the_focus(
    served: Shown, open_page: OpenPage, size: ViewportSize
) -> None:
    def shown(name: str) -> Page:
        environments = (environment("1", (0,), name=name, username=name, pids=(7,), gpus=0),)
        owners = {7: ProcessOwner(1001, "1", "python3")}
        served.show(inhabited((device(0, name=name),), environments, (Context(7, 0, GIB),), owners))
        page = open_page(viewport=size)
        expect(page.locator("#environments tbody tr")).to_have_count(1)
        page.locator("summary").click()
        return page

    def heights(page: Page) -> list[int]:
        parts = map(page.locator, (".problem", ".card", "#environments tbody tr", "#users tbody tr"))
        return [part.first.evaluate("(one) => one.offsetHeight") for part in parts]

    long = "x" * 200
    page = shown("train")
    assert page.locator("bdi[tabindex]").count() == 0
    lines = [height + spare for height, spare in zip(heights(page), (60, 140, 5, 5), strict=True)]
    page = shown(long)
    assert [height <= most for height, most in zip(heights(page), lines, strict=True)] == [True] * 4, heights(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    cell = page.locator("#environments tbody th bdi")
    expect(cell).to_have_text(long)
    expect(cell).to_have_attribute("title", long)
    page.get_by_role("button", name="Violations").focus()
    page.keyboard.press("Tab")
    expect(cell).to_be_focused()
    assert cell.evaluate("(one) => one.scrollWidth <= one.clientWidth")


# --- For everybody ---------------------------------------------------------------------------------------------


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong for people with disabilities."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']][:3]}" for one in found]


@pytest.mark.parametrize("state", ["demo", "wrong", "odd", "dead"])
def test_it_is_accessible(served: Shown, open_page: OpenPage, state: str) -> None:
    served.show(*STATES[state]())
    page = open_page()
    expect(page.locator("#version")).to_contain_text("genv-monitor")
    page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    for colors, size in zip(COLORS, (PHONE, DESK), strict=True):
        page.emulate_media(color_scheme=colors)
        page.set_viewport_size(size)
        assert violations(page) == [], (colors, size)


def test_whoever_hears_the_page_can_tell_what_is_whose(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0), device(1))))
    page = open_page()
    expect(page.locator(".card")).to_have_count(2)
    for number in range(2):
        card = page.locator(".card").nth(number)
        expect(card.locator("summary")).to_have_accessible_name(f"Memory by owner on GPU {number}")
        for label in ("Utilisation", "Memory", "Temperature", "Power"):
            expect(card.get_by_role("meter", name=f"{label} of GPU {number}", exact=True)).to_have_count(1)
    names = page.locator(".spark").evaluate_all("(all) => all.map((one) => one.getAttribute('aria-label'))")
    assert len(set(names)) == len(names) == 8


@pytest.mark.parametrize("colors", COLORS)
def test_bars_are_seen_in_high_contrast(served: Shown, open_page: OpenPage, colors: Literal["light", "dark"]) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page(color_scheme=colors, forced_colors="active")
    bar = page.locator(".bar").first
    expect(bar.locator("span")).to_have_count(1)
    styles = (bar, bar.locator("span"), page.locator(".swatch").first)
    frame, share, swatch = (one.evaluate("(one) => ({...getComputedStyle(one)})") for one in styles)
    assert frame["borderTopStyle"] == "solid"
    assert share["backgroundColor"] != frame["backgroundColor"]
    assert swatch["backgroundColor"] != frame["backgroundColor"]


@pytest.mark.parametrize("colors", COLORS)
def test_the_help_is_accessible_and_leads_back(open_page: OpenPage, served: Shown, colors: str) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page("/page/help.html", color_scheme=colors, viewport=PHONE)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("link", name="Back").click()
    expect(page.locator("#verdict")).to_have_text("No problems.")


@pytest.mark.parametrize("colors", COLORS)
def test_the_documents_are_accessible_and_fit_on_a_phone(
    open_page: OpenPage, served: Shown, colors: Literal["light", "dark"]
) -> None:
    served.show(machine())
    page = open_page("/page/docs/README.html", color_scheme=colors, viewport=PHONE)
    for name in ("README", "metrics", "runbook", "scaling"):
        page.goto(f"{served.origin}/page/docs/{name}.html")
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name


def test_from_the_page_one_gets_to_what_to_do_and_back(open_page: OpenPage, served: Shown) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    page.get_by_role("link", name="Glossary").click()
    page.get_by_role("link", name="Runbook").click()
    page.get_by_role("link", name="GenvDeviceXid").first.click()
    expect(page.get_by_role("heading", name="GenvDeviceXid", exact=True)).to_be_in_viewport()
    page.get_by_role("link", name="trust.md").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("link", name="All documents").click()
    page.get_by_role("link", name="metrics.md").click()
    expect(page.locator("table").first).to_be_visible()
    served.show(machine(devices=(device(0),)))  # a look of now, however long that took
    page.get_by_role("link", name="Back to the machine").click()
    expect(page.locator("#verdict")).to_have_text("No problems.")


def test_keyboards_get_past_the_head(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    expect(page.locator("#verdict")).to_have_text("No problems.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_all_links_lead_somewhere(served: Shown, open_page: OpenPage) -> None:
    served.show(machine())
    page = open_page()
    links = page.locator("footer a").evaluate_all("(all) => all.map((one) => one.href)")
    assert len(links) == 6
    for link in links:
        assert page.request.get(link).ok, link
