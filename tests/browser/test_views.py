"""The views of one GPU, user or environment, and the curves, in a real browser."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from genvd.analysis.history import EMPTY_HISTORY, POINT_SECONDS, HistoryRecorder
from genvd.model.facts import Context, ProcessOwner
from tests.browser.conftest import OpenPage
from tests.browser.machines import (
    LONG_RTL,
    MARKUP,
    busy,
    five_states,
)
from tests.support.shown import GIB, Demo, Shown, device, environment, inhabited, machine

# --- Addresses ----------------------------------------------------------------------------------------------------


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
    page.locator(".tile").first.click()
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
    page.locator(".tile").get_by_role("link", name="alice").click()
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


def test_a_name_of_spaces_can_be_seen_and_clicked(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),), environments=(environment("1", (0,), username="  "),)))
    page = open_page()
    link = page.locator("#users tbody a")
    expect(link).to_be_visible()
    assert link.text_content() == '"  "'
    link.click()
    expect(page.locator("#view .tile")).to_have_count(1)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("#gpu=7", "This machine has no GPU with this index."),
        ("#gpu=x", "This machine has no GPU with this index."),
        ("#gpu=", "This machine has no GPU with this index."),
        ("#user=nobody", "Uses nothing on this machine now."),
        ("#env=%E0%A4%A", "No active environment has this ID or name."),
    ],
    ids=["gpu", "word", "empty", "user", "encoding"],
)
def test_an_address_of_nothing_says_so(served: Shown, open_page: OpenPage, address: str, text: str) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page(f"/{address}")
    expect(page.locator("#view-content .state-line")).to_have_text(text)
    page.get_by_role("link", name="Environments").click()
    expect(page.locator("#environments-title")).to_be_visible()


def test_what_a_user_does_is_said_only_as_far_as_it_is_known(served: Shown, open_page: OpenPage) -> None:
    drawing = (Context(901, 0, 2**20, type="graphics"),)
    served.show(inhabited((device(0),), (), drawing, {901: ProcessOwner(1002, None, "Xorg")}))
    page = open_page("/#user=bob")
    line = page.locator("#view-content .state-line")
    expect(line).to_have_text("0 GPUs attached · 0 environments · 1 GPU process · 1 MiB of GPU memory")
    served.show(machine(devices=None, processes=None))
    expect(line).to_have_text("Has no environment; the GPU processes are not known.")


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


# --- Curves -------------------------------------------------------------------------------------------------------


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
        snapshot = machine(devices=(device(0, temperature_celsius=celsius),))._replace(timestamp=begin + seconds)
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
