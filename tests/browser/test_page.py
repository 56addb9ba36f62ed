"""The page in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, Route, ViewportSize, expect

from genvd.analysis.history import EMPTY_HISTORY, POINT_SECONDS, History, HistoryRecorder
from genvd.model.device import DeviceDetails, MemoryHealth, MigInstance, Throttling, XidErrors
from genvd.model.facts import Context, MigInstanceId, ProcessOwner
from genvd.model.snapshot import (
    CollectorStatus,
    DeviceUse,
    LedgerStatus,
    MissingDevice,
    Process,
    Snapshot,
    UserUsage,
)
from tests.browser.conftest import OpenPage
from tests.support.shown import GIB, Demo, Shown, device, environment, holding, inhabited, machine

PHONE: ViewportSize = {"width": 360, "height": 740}
WATCH: ViewportSize = {"width": 240, "height": 500}
DESK: ViewportSize = {"width": 1280, "height": 800}
LAPTOP: ViewportSize = {"width": 1280, "height": 900}
COLORS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LONG_RTL = "שלום عالم " * 20
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;"

expect.set_options(timeout=20_000)


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


# --- What it shows ---------------------------------------------------------------------------------------------


def test_it_shows_the_machine(served: Shown, open_page: OpenPage) -> None:
    snapshot, past = busy()
    served.show(snapshot, past)
    page = open_page()
    expect(page.locator(".tile")).to_have_count(8)
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.locator("#version")).to_contain_text("driver 570")
    assert sorted(rows(page, "processes")) == sorted(str(process.pid) for process in snapshot.processes or ())
    assert set(rows(page, "users")) >= {user.username for user in snapshot.users or ()}


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


def test_the_first_look_answers_the_questions(served: Shown, open_page: OpenPage) -> None:
    """Which GPUs are free, who uses what, who holds one idle, what is broken: without scrolling."""
    served.show(five_states())
    page = open_page(viewport=LAPTOP)
    expect(page.locator("#verdict")).to_have_text("1 of 5 GPUs is free: 0 · 4 people · 1 GPU held idle · 1 broken")
    states = page.locator(".tile .state")
    assert states.all_text_contents() == ["free", "idle 6 h 30 min", "in use", "in use outside genv", "down"]
    users = page.locator(".tile .who").all_text_contents()
    assert users == ["nobody", "heidi", "alice", "bob", "carol"]
    assert page.locator(".tile .what").all_text_contents() == ["", "notebook", "train", "a.out 200", "lost"]
    levels = page.locator(".tile").nth(2).locator(".level .text")
    assert levels.all_text_contents() == ["50 % busy", "60 of 100 GiB"]
    assert problems(page) == ["GPU 4 does not answer."]
    expect(page.locator("#problem-list .who")).to_have_text("lost (carol)")
    assert talked(page) == [
        "heidi notebook holds GPU 1 idle for 6 h 30 min",
        "alice train 60.0 GiB on GPU 2, asked for 30.0",
        "bob a.out 200 runs on GPU 3 outside genv",
    ]
    for part in (".tile >> nth=4", "#problem-list > li", "#talk-list > li >> nth=2"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= LAPTOP["height"], part


@pytest.mark.parametrize("size", ["laptop", "phone"])
def test_eight_tiles_are_seen_at_once(served: Shown, open_page: OpenPage, size: str) -> None:
    served.show(*busy())
    viewport, most = (LAPTOP, 300) if size == "laptop" else (PHONE, 740 - 60)
    page = open_page(viewport=viewport)
    expect(page.locator(".tile")).to_have_count(8)
    boxes = page.locator(".tile").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect())")
    assert max(box["bottom"] for box in boxes) - min(box["top"] for box in boxes) <= most
    assert max(box["bottom"] for box in boxes) <= viewport["height"]


def test_what_is_not_known_is_not_called_free(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0), device(1, processes_listed=False))))
    page = open_page()
    line = page.locator("#verdict")
    expect(line).to_contain_text("1 of 2 GPUs is free: 0; 1 not known")
    expect(page.locator(".tile .state").nth(1)).to_have_text("not known")
    served.show(replace(machine(devices=(device(0),)), processes=None))
    expect(line).to_have_text("0 of 1 GPU is free; 1 not known · people not known · 0 GPUs held idle · 0 broken")
    served.show(machine(devices=None))
    expect(line).to_have_text("It is not known which GPUs are free · 0 people")


# --- Addresses -------------------------------------------------------------------------------------------------


def test_a_tile_opens_all_that_is_known_of_the_gpu(served: Shown, open_page: OpenPage) -> None:
    served.show(
        inhabited(
            (device(0, memory_used_bytes=30 * GIB), device(1, memory_used_bytes=0)),
            (environment("1", (0,), name="train", idle_seconds=1500.0, pids=(100,)),),
            (Context(100, 0, 20 * GIB, utilization=0.0), Context(200, 0, 4 * GIB)),
            {100: ProcessOwner(1001, "1", "python3"), 200: ProcessOwner(1002, None, "a.out")},
        )
    )
    page = open_page()
    page.get_by_role("link", name="GPU 0").first.click()
    assert page.url.endswith("/#gpu=0")
    for _ in range(2):
        expect(page.get_by_role("heading", name="GPU 0 · NVIDIA H200")).to_be_visible()
        expect(page.locator("#tiles")).to_be_hidden()
        expect(page.locator(".state-line .badge")).to_have_text("idle 25 min")
        page.reload()
    card = page.locator(".card")
    expect(card.locator(".facts dd").nth(0)).to_have_text("train (alice), idle")
    expect(card.locator(".facts dd").nth(1)).to_have_text("python3 100 (alice)a.out 200 (bob)")
    assert card.locator(".memory li").all_inner_texts() == [
        "train\n20.0 GiB",
        "outside genv\n4.0 GiB",
        "orphan memory\n6.0 GiB",
        "alice\n20.0 GiB",
        "bob\n4.0 GiB",
    ]
    widths = card.locator(".bar").nth(1).locator("span").evaluate_all("(all) => all.map((one) => one.style.width)")
    assert widths == ["20%", "4%", "6%"]
    expect(card.get_by_role("meter", name="Memory")).to_have_attribute("aria-valuenow", "30")
    assert page.title() == "(1) GPU 0 \N{EN DASH} gpu1"
    page.get_by_role("link", name="All GPUs").click()
    expect(page.locator(".tile")).to_have_count(2)
    page.go_back()
    expect(card).to_be_visible()


def test_a_user_has_an_address(served: Shown, open_page: OpenPage) -> None:
    served.show(five_states())
    page = open_page()
    page.locator("#talk-list").get_by_role("link", name="alice").click()
    assert page.url.endswith("/#user=alice")
    page.reload()
    expect(page.get_by_role("heading", name="User alice")).to_be_visible()
    view = page.locator("#view-content")
    expect(view.locator(".state-line")).to_have_text(
        "1 GPU attached · 1 environment · 2 GPU processes · 110 GiB of GPU memory"
    )
    expect(view.locator(".limits li")).to_contain_text("60.0 of 30.0 GiB asked for")
    expect(view.locator(".talk")).to_contain_text("60.0 GiB on GPU 2, asked for 30.0")
    expect(view.locator(".tile .index")).to_have_text(["GPU 1", "GPU 2"])
    expect(view.locator("tbody th")).to_have_text(["train", "100", "300"])
    view.get_by_role("link", name="train").first.click()
    assert page.url.endswith("/#env=2")
    expect(page.get_by_role("heading", name="Environment train")).to_be_visible()
    expect(view.locator(".tile .index")).to_have_text(["GPU 2"])


@pytest.mark.parametrize(
    "name",
    [LONG_RTL[:60], MARKUP, "a/b?c&d=e #%", "DOMAIN\\alice", "%zz"],
    ids=["rtl", "markup", "url", "domain", "percent"],
)
def test_any_name_has_an_address(served: Shown, open_page: OpenPage, name: str) -> None:
    served.show(machine(devices=(device(0),), environments=(environment("e=1&2", (0,), name=name, username=name),)))
    page = open_page()
    page.locator("#users tbody a").click()
    heading = page.locator("#view-title")
    expect(heading).to_have_text(f"User {name}")
    page.reload()
    expect(heading).to_have_text(f"User {name}")
    page.goto(f"{served.origin}/#env={quote(name, safe='')}")
    expect(heading).to_have_text(f"Environment {name}")
    page.goto(f"{served.origin}/#env={quote('e=1&2', safe='')}")
    expect(heading).to_have_text(f"Environment {name}")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("#gpu=7", "This machine has no GPU with this index."),
        ("#gpu=x", "This machine has no GPU with this index."),
        ("#user=nobody", "Uses nothing on this machine now."),
        ("#env=%E0%A4%A", "No active environment has this ID or name."),
    ],
    ids=["gpu", "word", "user", "encoding"],
)
def test_an_address_of_nothing_says_so(served: Shown, open_page: OpenPage, address: str, text: str) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page(f"/{address}")
    expect(page.locator("#view-content .state-line")).to_have_text(text)
    page.get_by_role("link", name="Environments").click()
    expect(page.locator("#environments-title")).to_be_visible()


def test_who_says_who_they_are_finds_their_gpus(served: Shown, open_page: OpenPage) -> None:
    served.show(five_states())
    page = open_page("/#me")
    page.get_by_role("link", name="heidi").click()
    page.get_by_role("button", name="This is me").click()
    expect(page.get_by_role("button", name="This is not me")).to_be_visible()
    page.goto(f"{served.origin}/")
    expect(page.locator(".tile.mine .index")).to_have_text(["GPU 1"])
    expect(page.locator(".tile.mine .who")).to_have_text("heidi (you)")
    page.reload()
    page.get_by_role("link", name="My GPUs (heidi)").click()
    expect(page.get_by_role("heading", name="User heidi")).to_be_visible()
    page.get_by_role("button", name="This is not me").click()
    expect(page.get_by_role("link", name="My GPUs", exact=True)).to_be_visible()
    expect(page.locator("#view-content")).to_contain_text("Who are you?")


# --- Curves ----------------------------------------------------------------------------------------------------


def test_a_curve_has_an_axis_and_a_value_under_the_pointer(served: Shown, open_page: OpenPage) -> None:
    served.show(*busy())
    page = open_page("/#gpu=2", timezone_id="Europe/Berlin", locale="de-DE")
    plot = page.get_by_role("slider", name="Utilisation of GPU 2 in the last hour")
    expect(plot).to_have_attribute("aria-label", re.compile(r": \d+ % to \d+ %$"))
    chart = page.locator(".chart").first
    assert (chart.locator("path").get_attribute("d") or "").count("L") > 100
    ticks = chart.locator(".axis span").all_text_contents()
    assert [bool(re.fullmatch(r"\d\d:\d\d", tick)) for tick in ticks] == [True] * 4 + [False]
    now = chart.locator(".value").inner_text()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    expect(chart.locator(".value")).to_have_text(re.compile(rf"^{ticks[2][:2]}:\d\d: \d+ %$"))
    expect(chart.locator(".pointer")).to_have_class("pointer shown")
    page.mouse.move(0, 0)
    expect(chart.locator(".value")).to_have_text(now)
    plot.focus()
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    expect(chart.locator(".value")).to_have_text(re.compile(rf"^{ticks[0][:2]}:\d\d: "))
    expect(page.locator("#version")).to_contain_text("times in Europe/Berlin (UTC+")


def test_the_last_day_is_loaded_when_it_is_wanted(served: Shown, open_page: OpenPage) -> None:
    served.show(*Demo(2).hour(24))
    requested: list[str] = []
    page = open_page("/#gpu=0", lambda page: page.on("request", lambda request: requested.append(request.url)))
    expect(page.locator(".chart path").first).to_have_attribute("d", re.compile("L"))
    assert not [url for url in requested if "day.json" in url]
    page.get_by_role("button", name="last 24 hours").click()
    plot = page.get_by_role("slider", name="Temperature of GPU 0 in the last 24 hours")
    expect(plot).to_have_attribute("aria-valuemax", re.compile("^7[0-9][0-9]$"))
    assert (page.locator(".chart path").first.get_attribute("d") or "").count("L") > 600
    assert len([url for url in requested if "day.json" in url]) == 1


def test_a_curve_ends_with_what_is_beside_it(served: Shown, open_page: OpenPage) -> None:
    """The last half minute, of which the hour has the mean, is under way."""
    history, past = HistoryRecorder(), EMPTY_HISTORY
    begin = (time.time() // POINT_SECONDS - 1) * POINT_SECONDS
    for seconds, celsius in ((0, 75), (31, 74), (33, 68)):
        snapshot = replace(machine(devices=(device(0, temperature_celsius=celsius),)), timestamp=begin + seconds)
        past = history.record(snapshot)
    served.show(snapshot, past)
    page = open_page("/#gpu=0")
    expect(page.locator(".gauge").nth(2).locator(".value")).to_have_text("68 °C")
    heat, power = page.locator(".chart").nth(2), page.locator(".chart").nth(3)
    expect(heat.locator(".value")).to_have_text("68 °C")
    expect(heat.locator(".plot")).to_have_attribute(
        "aria-label", "Temperature of GPU 0 in the last hour: 68 °C to 75 °C"
    )
    expect(power.locator(".plot")).to_have_attribute("aria-label", "Power of GPU 0 in the last hour: not known")
    expect(power.locator(".value")).to_have_text("\N{EN DASH}")


# --- Updates ---------------------------------------------------------------------------------------------------


def test_it_updates_without_being_loaded_again(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0, utilization_percent=11),), environments=(environment("1"),)))
    page = open_page()
    expect(page.locator(".tile .text").first).to_have_text("11 % busy")
    page.evaluate("window.here = document.querySelector('.tile')")
    page.get_by_label("Filter environments").fill("2")
    served.show(
        machine(
            devices=(device(0, utilization_percent=22), device(1)), environments=(environment("1"), environment("2"))
        )
    )
    expect(page.locator(".tile .text").first).to_have_text("22 % busy")
    expect(page.locator(".tile")).to_have_count(2)
    assert page.evaluate("window.here === document.querySelector('.tile')")
    expect(page.get_by_label("Filter environments")).to_be_focused()
    assert rows(page, "environments") == ["2"]
    served.show(machine(devices=(device(1),)))
    expect(page.locator(".tile")).to_have_count(1)
    assert not page.evaluate("window.here.isConnected")


def test_it_asks_only_for_what_is_new(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    calm(page)
    with page.expect_response("**/data.json") as answer:
        pass
    assert answer.value.status == 304


def test_it_asks_for_nothing_while_nobody_looks(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page(before=lambda page: page.clock.install())
    calm(page)
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
    "missing": (failing("nvml", "no driver", "missing"), "error", "No NVIDIA driver is installed."),
    "not loaded": (failing("nvml", "not loaded", "not_loaded"), "error", "The NVIDIA driver is not loaded."),
    "mismatch": (
        failing("nvml", "differ", "mismatch"),
        "error",
        "The NVIDIA driver was upgraded: the versions of",
    ),
    "hung": (failing("nvml", "does not answer in time", "hung"), "error", "The NVIDIA driver does not answer."),
    "permission": (
        failing("nvml", "no", "no_permission"),
        "error",
        "The monitor has no permission to use the NVIDIA driver.",
    ),
    "failed": (failing("nvml", "Unknown Error", "failed"), "error", "The NVIDIA driver returns an error."),
    "state": (failing("genv", "/var/tmp/genv/envs.json: no JSON"), "warning", "genv's state cannot be read."),
    "processes": (failing("processes", "/proc: no"), "warning", "Process list unavailable."),
    "accounts": (failing("accounts", "no answer"), "warning", "User accounts cannot be looked up."),
    "down": (alone(up=False, utilization_percent=None), "error", "GPU 0 does not answer."),
    "remap": (
        alone(health=MemoryHealth(remap_failed=True)),
        "error",
        "GPU 0 has defective memory that cannot be repaired.",
    ),
    "recovery": (
        alone(details=DeviceDetails(recovery_action="node_reboot")),
        "error",
        "GPU 0 needs recovery; the driver recommends: node reboot.",
    ),
    "pending": (alone(health=MemoryHealth(remap_pending=True)), "warning", "GPU 0 has memory errors and needs a"),
    "hot": (
        alone(details=DeviceDetails(throttling=(Throttling("hw_thermal", True),))),
        "warning",
        "GPU 0 is slowed down: too hot, 40 °C.",
    ),
    "xid": (alone(xids=(XidErrors(79, 1, 9e9),)), "error", "GPU 0: XID 79 (GPU has fallen off the bus), just now."),
    "ledger": (machine(ledger=LedgerStatus(write_success=False)), "warning", "GPU usage could not be written"),
    "configuration": (
        replace(machine(), service=replace(machine().service, config_reload_successful=False)),
        "warning",
        "Configuration reload failed",
    ),
    "files": (
        replace(machine(), service=replace(machine().service, publish_success=False)),
        "warning",
        "The Prometheus and Grafana files could not be written, or were changed by another program.",
    ),
}

SELF_EXPLANATORY = ("missing", "not_loaded", "no_permission")
"""Driver states for which no error message is shown."""

WRONG_TOGETHER = (
    "GPU 0: 1.0 GiB are in use that no live process accounts for.",
    "GPU 0 is oversubscribed: its environments asked for more memory than it has.",
)
"""What is wrong on that machine."""


def test_what_is_wrong_is_said_at_once_with_whom_it_hits(served: Shown, open_page: OpenPage) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page()
    expect(page.locator("#problems-title")).to_have_text("Problems (2)")
    assert problems(page) == list(WRONG_TOGETHER)
    expect(page.locator("#problem-list > li").first).to_contain_text("1 (alice)")
    assert talked(page) == [
        "alice 1 8.0 GiB on GPU 0 and 10.0 GiB on GPU 1, asked for 1.0 each",
        "alice 1 computes on GPU 1, not attached",
        "bob miner 8 runs on GPU 0 outside genv",
        "alice 1 has 1 GPU attached, asked for 0",
    ]
    assert page.title() == "(2) gpu1: 0 of 2 free"
    links = page.locator("#talk-list li").first.get_by_role("link").evaluate_all("(all) => all.map((one) => one.hash)")
    assert links == ["#user=alice", "#env=1", "#gpu=0", "#gpu=1", "#genvenvironmentovermemory"]
    page.locator("#problem-list").get_by_role("link", name="What to do").click()
    expect(page.get_by_role("heading", name="GenvOrphanMemory")).to_be_in_viewport()


def test_many_problems_are_folded_until_all_are_wanted(served: Shown, open_page: OpenPage) -> None:
    ill = MemoryHealth(remap_failed=True, remap_pending=True, channel_repair_pending=True, sram_threshold_exceeded=True)
    details = DeviceDetails(inforom_corrupted=True, recovery_action="gpu_reset")
    served.show(machine(devices=tuple(device(index, health=ill, details=details) for index in range(3))))
    page = open_page()
    expect(page.locator("#problems-title")).to_have_text("Problems (6)")
    expect(page.locator("#problem-list > li")).to_have_count(4)
    expect(page.locator("#problem-list .what").first).to_have_text(
        "GPUs 0, 1 and 2 have defective memory that cannot be repaired."
    )
    page.get_by_role("button", name="Show all 6 problems").click()
    expect(page.locator("#problem-list > li")).to_have_count(6)


def test_what_is_wrong_has_the_same_color_everywhere(served: Shown, open_page: OpenPage) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page()

    def color(of: Locator) -> str:
        return str(of.evaluate("(one) => getComputedStyle(one).color"))

    def said(words: str) -> str:
        return color(page.locator(".what", has_text=words))

    orphan = said("no live process accounts for")
    warnings = (
        page.locator("#talk-list li", has_text="outside genv"),
        page.locator("#talk-list li", has_text="asked for 1.0"),
        page.locator("#processes td", has_text="outside genv"),
        page.locator("#users tr", has_text="bob").locator("td").last,
        page.locator("#environments td", has_text="memory limit").first,
    )
    assert [color(one) for one in warnings] == [orphan] * len(warnings)
    page.goto(f"{served.origin}/#gpu=0")
    swatch = page.locator(".card .swatch.orphan").first.evaluate("(one) => getComputedStyle(one).backgroundImage")
    assert orphan in swatch


def test_it_says_what_is_wrong_and_what_to_do(served: Shown, open_page: OpenPage) -> None:
    served.show(machine())
    page = open_page()
    for name, (snapshot, severity, expected) in WRONG.items():
        served.show(replace(snapshot, timestamp=machine().timestamp))
        page.reload()
        item = page.locator("#problem-list > li", has_text=expected)
        expect(item, name).to_have_count(1)
        expect(item).to_have_class(f"problem {severity}")
        assert problems(page)[0].startswith(expected), name
        assert len(item.locator("p").all_inner_texts()[-1]) > 10, name
        detail = next((status.error for status in snapshot.collectors), None)
        if detail and snapshot.driver_state not in SELF_EXPLANATORY:
            expect(item.locator(".detail")).to_contain_text(detail)
        assert re.match(r"\([12]\) gpu1", page.title()), name


def test_with_a_dead_driver_the_rest_is_there(served: Shown, open_page: OpenPage) -> None:
    dead = failing("nvml", "dead", "hung")
    served.show(replace(dead, environments=(environment("1", (0,), name="train", pids=None),)))
    page = open_page()
    expect(page.locator("#no-devices")).to_have_text("List of GPUs unavailable.")
    expect(page.locator("#verdict")).to_have_text("It is not known which GPUs are free · people not known")
    assert rows(page, "environments") == ["train"]
    expect(page.locator("#processes .tools")).to_contain_text("List of processes unavailable.")
    expect(page.locator("#version")).to_contain_text("driver hung")


def test_before_the_first_collection_it_waits(served: Shown, open_page: OpenPage) -> None:
    served.nothing()
    page = open_page()
    waits = re.compile("^The first collection is not finished yet.")
    expect(page.locator("#verdict")).to_have_text(waits)
    expect(page.locator("#verdict")).to_have_class("muted")
    assert problems(page) == []
    assert page.title() == "Waiting \N{EN DASH} genv-monitor"
    served.show(machine(devices=(device(0),)))
    expect(page.locator(".tile")).to_have_count(1)
    calm(page)
    served.nothing()  # it was restarted
    expect(page.locator("#verdict")).to_have_text(waits)
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    expect(page.locator("#verdict")).to_contain_text("0 of 2 GPUs are free")


def test_facts_that_are_old_are_said_to_be(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    calm(page)
    served.show(replace(machine(devices=(device(0),)), timestamp=machine().timestamp - 600))
    expect(page.locator("#outages")).to_contain_text("The data is old")
    expect(page.locator("#verdict")).to_have_text(re.compile("^10 min ago: 1 of 1 GPU is free: 0"))
    expect(page.locator("#verdict .good")).to_have_count(0)
    assert page.title() == "Old data \N{EN DASH} gpu1"
    expect(page.locator("#freshness")).to_have_text("as of 10 min ago")
    expect(page.locator("#freshness")).to_have_class(re.compile("error"))


def test_a_monitor_that_does_not_answer_is_said_to_and_asked_again(
    served: Shown, open_page: OpenPage, complaints: list[str]
) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    expect(page.locator(".tile")).to_have_count(1)

    def refuse(route: Route) -> None:
        route.abort("connectionrefused")

    page.route("**/data.json", refuse)
    expect(page.locator("#outages")).to_contain_text("The monitor does not answer.")
    expect(page.locator(".tile")).to_have_count(1)  # what was last known stays in sight
    assert page.title() == "No answer \N{EN DASH} gpu1"
    page.unroute("**/data.json")
    calm(page)
    assert {complaint[:32] for complaint in complaints} == {"console: Failed to load resource"}
    complaints.clear()


# --- Much, little, and odd -------------------------------------------------------------------------------------


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
    expect(page.locator("#problem-list")).to_contain_text("The NVIDIA driver works but lists no GPU.")
    expect(page.locator("#verdict")).to_contain_text("There are no GPUs")
    expect(page.locator("#no-devices")).to_have_text("This machine has no GPU.")


def test_devices_in_mig_mode_show_their_instances(served: Shown, open_page: OpenPage) -> None:
    served.show(mig())
    page = open_page(viewport=LAPTOP)
    expect(page.locator(".tile")).to_have_count(16)
    tile = page.locator(".tile").nth(15)
    expect(tile.locator(".text").first).to_have_text("MIG, 1 of 7 in use")
    expect(tile.locator(".instance.busy")).to_have_count(1)
    tops = page.locator(".tile").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 2, "two rows of eight"
    tile.click()
    card = page.locator(".card")
    expect(card.locator(".gauge .value").first).to_have_text("unavailable in MIG mode")
    expect(card.locator(".memory > div").last.locator("li")).to_have_count(7)
    expect(card.locator(".memory li").last).to_have_text("6 1g.18gb1.0 of 16.0 GiB")


def test_a_lost_gpu_keeps_its_tile(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),), missing_devices=(MissingDevice(5, "GPU-5", None),)))
    page = open_page()
    expect(page.locator("#verdict")).to_contain_text("1 of 2 GPUs is free: 0")
    lost = page.locator(".tile.down")
    expect(lost).to_contain_text("GPU 5 lost")
    lost.click()
    expect(page.locator("#view-content .state-line")).to_have_text("The driver no longer lists this GPU.")


def test_who_used_how_much(served: Shown, open_page: OpenPage) -> None:
    used = (UserUsage("alice", 7200.0, 6480.0, 720.0), UserUsage("bob", 36_000.0, 0.0, 36_000.0), UserUsage("eve", 9.0))
    served.show(machine(devices=(device(0),), ledger=LedgerStatus(users=used)))
    page = open_page()
    assert page.locator("#usage-list li").all_inner_texts() == [
        "bob\n10.0 GPU-h, 100 % idle",
        "alice\n2.00 GPU-h, 10 % idle",
        "eve\n0.00 GPU-h",
    ]
    page.locator("#usage-list").get_by_role("link", name="alice").click()
    expect(page.locator("#view-content")).to_contain_text("2.00 GPU-h, 10 % idle")
    served.show(machine(devices=(device(0),)))
    page.goto(f"{served.origin}/")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator("#usage")).to_be_hidden()


def test_names_that_are_empty_and_values_that_are_unknown_leave_no_gap(served: Shown, open_page: OpenPage) -> None:
    served.show(
        machine(
            devices=(device(0, name="", memory_total_bytes=None, utilization_percent=None), device(1)),
            environments=(environment("77", (0,), name="", username=None, uid=None),),
            holdings=(holding("77", 0, username=None),),
        )
    )
    page = open_page()
    tile = page.locator(".tile").first
    assert tile.locator(".what").inner_text() == "77"
    assert tile.locator(".who").inner_text() == "unknown user"
    assert tile.locator(".text").all_inner_texts() == ["load not known", "0 GiB"]
    assert rows(page, "environments") == ["77"]
    tile.click()
    expect(page.get_by_role("heading", name="GPU 0", exact=True)).to_be_visible()
    values = page.locator(".gauge .value").all_inner_texts()
    assert values == ["\N{EN DASH}", "0 MiB", "40 °C", "\N{EN DASH}"]
    expect(page.locator(".facts dd").first).to_have_text("77 (unknown user)")


def test_of_many_rows_the_first_are_shown_until_all_are_wanted(served: Shown, open_page: OpenPage) -> None:
    served.show(people(500))
    page = open_page()
    expect(page.locator("#environments tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Show all 500 environments").click()
    expect(page.locator("#environments tbody tr")).to_have_count(500)
    expect(page.locator(".tile .what").first).to_have_text("job-0, job-16 and 30 more")
    page.locator(".tile").first.click()
    expect(page.locator(".card .facts dd").first).to_contain_text("and 24 more")


def test_names_are_text_and_turn_nothing_around_them(served: Shown, open_page: OpenPage) -> None:
    served.show(odd())
    page = open_page()
    expect(page.locator("#environments tbody tr")).to_have_count(4)
    assert MARKUP in rows(page, "environments")
    assert page.locator("img, main script").count() == 0
    assert page.locator("#talk-list bdi").count() == 8
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
        return page

    def heights(page: Page) -> list[int]:
        parts = map(page.locator, (".talk", ".tile", "#environments tbody tr", "#users tbody tr"))
        return [part.first.evaluate("(one) => one.offsetHeight") for part in parts]

    long = "x" * 200
    page = shown("train")
    assert page.locator("bdi[tabindex]").count() == 0
    lines = [height + spare for height, spare in zip(heights(page), (60, 5, 5, 5), strict=True)]
    page = shown(long)
    assert [height <= most for height, most in zip(heights(page), lines, strict=True)] == [True] * 4, heights(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    cell = page.locator("#environments tbody th bdi")
    expect(cell).to_have_text(long)
    expect(cell).to_have_attribute("title", long)
    page.get_by_role("button", name="Violations").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#environments tbody th a")).to_be_focused()
    assert cell.evaluate("(one) => one.scrollWidth <= one.clientWidth")


# --- On paper, and without scripts ------------------------------------------------------------------------------


def test_paper_shows_whole_tables_and_bars(served: Shown, open_page: OpenPage) -> None:
    served.show(people(150))
    page = open_page()
    expect(page.locator("#processes tbody tr")).to_have_count(100)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#processes tbody tr")).to_have_count(150)
    assert page.locator("#processes .scroll").evaluate("(one) => getComputedStyle(one).overflowX") == "visible"
    bar = page.locator(".tile .bar > span").first
    assert bar.evaluate("(one) => getComputedStyle(one).printColorAdjust") == "exact"
    expect(page.get_by_label("Filter processes")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#processes tbody tr")).to_have_count(100)


@pytest.mark.parametrize("state", ["demo", "empty", "mig", "many", "odd", "wrong", "dead"])
def test_without_scripts_there_are_plain_tables(served: Shown, open_page: OpenPage, state: str) -> None:
    snapshot, *_ = STATES[state]()
    served.show(snapshot)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    expect(page).to_have_url(f"{served.origin}/page/table.html")
    expect(page.locator("#verdict")).to_contain_text("free" if state != "empty" else "There are no GPUs")
    expect(page.locator("img, script")).to_have_count(0)
    expect(page.get_by_role("region", name="GPUs").locator("tbody tr")).to_have_count(len(snapshot.devices or ()))


def test_plain_tables_have_the_same_words(served: Shown, open_page: OpenPage) -> None:
    served.show(replace(five_states(), driver_state="ok"))
    page = open_page("/page/table.html", viewport=LAPTOP)
    assert page.get_by_role("region", name="GPUs").locator("tbody td:nth-child(2)").all_inner_texts() == [
        "free",
        "idle 6 h 30 min",
        "in use",
        "in use outside genv",
        "down",
    ]
    expect(page.get_by_role("region", name="To talk to")).to_contain_text("60.0 GiB on GPU 2, asked for 30.0")
    assert violations(page) == []


def test_tables_on_a_phone_show_that_they_scroll(served: Shown, open_page: OpenPage) -> None:
    served.show(*busy())
    table = open_page(viewport=PHONE).locator("#processes .scroll")
    expect(table).to_be_visible()
    assert table.evaluate("(one) => one.scrollWidth > one.clientWidth")
    assert "scroll" in table.evaluate("(one) => getComputedStyle(one).backgroundAttachment")
    table.evaluate("(one) => one.scrollTo(300, 0)")
    left = table.locator("tbody th").first.evaluate("(one) => one.getBoundingClientRect().left")
    assert 0 <= left < 30, "the name of the row stays in sight"


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
    for colors, size in zip(COLORS, (PHONE, DESK), strict=True):
        page.emulate_media(color_scheme=colors)
        page.set_viewport_size(size)
        assert violations(page) == [], (colors, size)


@pytest.mark.parametrize("address", ["#gpu=0", "#user=alice", "#env=1", "#me"])
def test_each_view_is_accessible_and_fits_on_a_phone(served: Shown, open_page: OpenPage, address: str) -> None:
    served.show(odd())
    page = open_page(f"/{address}")
    expect(page.locator("#version")).to_contain_text("genv-monitor")
    for colors, size in zip(COLORS, (PHONE, DESK), strict=True):
        page.emulate_media(color_scheme=colors)
        page.set_viewport_size(size)
        assert violations(page) == [], (colors, size)
    page.set_viewport_size(WATCH)
    assert page.evaluate("document.documentElement.scrollWidth") <= WATCH["width"]


def test_whoever_hears_the_page_can_tell_what_is_whose(served: Shown, open_page: OpenPage) -> None:
    served.show(five_states())
    page = open_page()
    expect(page.locator(".tile")).to_have_count(5)
    named = "GPU 1 idle 6 h 30 min heidi notebook 50 % busy 50 of 100 GiB"
    expect(page.get_by_role("link", name=named)).to_have_count(1)
    page.goto(f"{served.origin}/#gpu=1")
    for label in ("Utilisation", "Memory", "Temperature", "Power"):
        expect(page.get_by_role("meter", name=f"{label} of GPU 1", exact=True)).to_have_count(1)
        expect(page.get_by_role("slider", name=f"{label} of GPU 1 in the last hour")).to_have_count(1)
    expect(page.locator("#view-title")).to_be_focused()


@pytest.mark.parametrize("colors", COLORS)
def test_bars_are_seen_in_high_contrast(served: Shown, open_page: OpenPage, colors: Literal["light", "dark"]) -> None:
    served.show(replace(RUNNING, timestamp=machine().timestamp))
    page = open_page("/#gpu=0", color_scheme=colors, forced_colors="active")
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
    calm(page)


@pytest.mark.parametrize("colors", COLORS)
def test_the_documents_are_accessible_and_fit_on_a_phone(
    open_page: OpenPage, served: Shown, colors: Literal["light", "dark"]
) -> None:
    served.show(machine())
    page = open_page("/page/docs/", color_scheme=colors, viewport=PHONE)
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
    page.get_by_role("link", name="What can be trusted").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("link", name="All documents").click()
    page.get_by_role("link", name="Metrics", exact=True).click()
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="Definitions").click()
    expect(page.get_by_role("heading", name="Definitions")).to_be_in_viewport()
    expect(page.locator("table").first).to_be_visible()
    served.show(machine(devices=(device(0),)))  # a look of now, however long that took
    page.get_by_role("link", name="Back to the machine").click()
    calm(page)


def test_keyboards_get_past_the_head(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    calm(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_all_links_lead_somewhere(served: Shown, open_page: OpenPage) -> None:
    served.show(machine())
    page = open_page()
    links = page.locator("footer a").evaluate_all("(all) => all.map((one) => one.href)")
    assert len(links) == 7
    for link in links:
        assert page.request.get(link).ok, link
