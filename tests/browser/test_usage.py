"""Who used how much, in a real browser: by user, and which GPU was whose in each hour."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Page, expect

from genvd.ledger.amounts import Capacity, Consumer, Usage
from genvd.ledger.store import HOUR
from genvd.model.snapshot import LedgerStatus
from tests.browser.conftest import OpenPage
from tests.browser.machines import COLORS, DESK, MARKUP, PHONE, WATCH, violations
from tests.support.ledger import new_pending
from tests.support.shown import FixedLedger, Shown, device, machine

WHOLE = HOUR * 1000
"""Milliseconds of an hour."""

ALICE, CAROL, ODD = Consumer("alice", "7", None, 1001, "train"), Consumer("carol", uid=1003), Consumer(MARKUP, "9")
BERLIN = {"timezone_id": "Europe/Berlin", "locale": "de-DE"}


def counted(now: float) -> FixedLedger:
    """Return a ledger of three GPUs.

    Alice had GPU 0 for the last ten hours, a quarter of each active, and ten days ago for one hour. Carol used GPU 1
    for two hours without it being attached. Somebody with an odd name had it in the hour before for half an hour.
    """
    pending, hour = new_pending(), int(now) // HOUR * HOUR
    for number in range(1, 11):
        used = Usage(WHOLE, WHOLE // 4, WHOLE - WHOLE // 4, 3_600_000_000, outside=0)
        usages = {(ALICE, "GPU-0"): used}
        capacity: dict[str, Capacity] = {"GPU-0": {"active": WHOLE // 4, "idle": WHOLE - WHOLE // 4}}
        capacity["GPU-2"] = {"free": WHOLE} if number > 1 else {"down": WHOLE}
        if number <= 2:
            usages[CAROL, "GPU-1"] = Usage(energy=1_800_000_000, outside=WHOLE)
            capacity["GPU-1"] = {"outside": WHOLE}
        if number == 3:
            usages[ODD, "GPU-1"] = Usage(WHOLE // 2, WHOLE // 2, 0, 0, outside=0)
            capacity["GPU-1"] = {"active": WHOLE // 2, "free": WHOLE // 2}
        pending.add(usages, hour - number * HOUR, capacity)
    pending.add({(ALICE, "GPU-0"): Usage(WHOLE, WHOLE, 0, 0, outside=0)}, hour - 10 * 24 * HOUR)
    made = FixedLedger(pending, past=False)
    made.set_devices((), now)
    return made


@pytest.fixture
def used(served: Shown) -> Iterator[Shown]:
    before, now = served.site.usage.ledger, time.time()
    served.site.usage.ledger = cast("Any", counted(now))
    served.show(machine(devices=tuple(device(index) for index in range(3)), ledger=LedgerStatus()))
    yield served
    served.site.usage.ledger, served.site.usage.visible = before, "all"


def lines(page: Page) -> list[str]:
    """Return what the table of users says, with the bars left out."""
    return [" ".join(text.split()) for text in page.locator("table.used tr").all_inner_texts()]


def test_it_says_who_used_how_much(used: Shown, open_page: OpenPage) -> None:
    requested: list[str] = []
    page = open_page("/", lambda page: page.on("request", lambda request: requested.append(request.url)))
    expect(page.locator("#version")).to_contain_text("genv-monitor")
    assert not [url for url in requested if "usage?" in url], "only who looks at it asks for it"
    page.get_by_role("link", name="Usage", exact=True).click()
    assert page.url.endswith("/#usage")
    expect(page.get_by_role("heading", name="Usage")).to_be_visible()
    expect(page.locator("table.used tbody tr")).to_have_count(3)
    assert lines(page) == [
        "User Time GPU-hours Active Idle Outside Share idle kWh",
        "alice 10.0 2.50 7.50 0.00 75 % 10.0",
        "carol 2.00 0.00 0.00 2.00 \N{EN DASH} 1.00",
        f"{MARKUP} 0.50 0.50 0.00 0.00 0 % 0.00",
        "All users 12.5 3.00 7.50 2.00 71 % 11.0",
    ]
    widths = (
        page.locator("table.used .bar").first.locator("span").evaluate_all("all => all.map(one => one.style.width)")
    )
    assert widths == ["25%", "75%"]
    expect(page.locator(".capacity p")).to_have_text(
        re.compile(r"23\.0 GPU-hours of all GPUs: active 13 %\s+idle 33 %\s+outside genv 9 %\s+free 41 %\s+down 4 %")
    )
    page.get_by_role("button", name="30 days").click()
    expect(page.locator("table.used tbody tr").first).to_contain_text("11.0")
    expect(page.get_by_role("slider", name="Hours of GPU 0")).to_have_attribute("aria-valuemax", "720")
    page.reload()
    expect(page.get_by_role("button", name="30 days")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("table.used tbody tr").first).to_contain_text("11.0")
    assert "Usage \N{EN DASH} gpu1" in page.title()


def test_an_hour_is_explained_under_the_pointer_and_at_the_keys(used: Shown, open_page: OpenPage) -> None:
    page = open_page("/#usage", **BERLIN)
    first, second = (page.get_by_role("slider", name=f"Hours of GPU {index}") for index in (0, 1))
    readout = page.locator(".readout")
    first.focus()
    page.keyboard.press("ArrowLeft")
    expect(readout).to_have_text(re.compile(r"^GPU 0, \w+\.?,? .*\d\d:00: alice 60 min \(45 min idle\)$"))
    expect(first).to_have_attribute("aria-valuetext", re.compile(r"alice 60 min"))
    page.keyboard.press("ArrowDown")
    expect(second).to_be_focused()
    expect(readout).to_have_text(re.compile(r"^GPU 1, .*: carol 60 min \(outside genv\)$"))
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    expect(readout).to_have_text(re.compile(re.escape(f": {MARKUP} 30 min, free 30 min") + "$"))
    page.keyboard.press("Home")
    expect(readout).to_have_text(re.compile(": not known 60 min$"))
    box = page.get_by_role("slider", name="Hours of GPU 2").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * (1 - 1.5 / 169), box["y"] + 5)
    expect(readout).to_have_text(re.compile("^GPU 2, .*: down 60 min$"))
    page.mouse.move(0, 0)
    expect(readout).to_contain_text("Point at an hour")
    zone = page.locator(".choice .muted")
    expect(zone).to_have_text(re.compile(r"times in Europe/Berlin \(UTC\+\d\)$"))


def test_no_day_is_cut_off_at_the_end_of_the_axis(used: Shown, open_page: OpenPage) -> None:
    """Nine hours after midnight there is a place for the line of the day, but not for its name."""
    east = (9 - time.gmtime().tm_hour + 11) % 24 - 11
    page = open_page("/#usage", timezone_id=f"Etc/GMT{-east:+d}", viewport=DESK)
    expect(page.locator(".hours-axis span")).to_have_count(6)
    assert page.locator(".hours-axis").evaluate("axis => axis.scrollWidth <= axis.clientWidth")


def test_users_differ_without_their_colours(used: Shown, open_page: OpenPage) -> None:
    page = open_page("/#usage", forced_colors="active")
    expect(page.locator(".hours-row path.user-0").first).to_be_attached()
    fills = [
        page.locator(f".hours-row path.user-{number}").first.evaluate("one => getComputedStyle(one).fill")
        for number in range(3)
    ]
    assert [re.findall("pattern-([0-9]+)", fill) for fill in fills] == [["0"], ["1"], ["2"]]
    marks = page.locator("pattern .marks").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    assert len(set(marks[:8])) == 8
    assert page.locator(".hours-row path.outside").count() == 1
    assert {"alice", "carol"} <= set(page.locator(".key a").all_inner_texts())
    expect(page.locator(".key", has_text="pale: idle")).to_contain_text("outside genv")


def test_a_user_sees_what_they_used(used: Shown, open_page: OpenPage) -> None:
    page = open_page("/#user=alice")
    expect(page.locator("table.used tbody th")).to_have_text(["alice"])
    expect(page.locator("table.used tfoot")).to_contain_text("12.5")
    page.get_by_role("slider", name="Hours of GPU 1").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout")).to_have_text(re.compile(": others 60 min$"))
    assert "carol" not in page.locator(".usage-view").inner_text()
    page.goto(f"{used.origin}/#usage")
    page.locator("table.used").get_by_role("link", name=MARKUP).click()
    expect(page.locator("table.used tbody th")).to_have_text([MARKUP])


def test_private_usage_is_sums_and_says_so(used: Shown, open_page: OpenPage, complaints: list[str]) -> None:
    used.site.usage.visible = "own"
    page = open_page("/#usage")
    expect(page.locator(".usage-view .problem")).to_have_text(
        "Usage is private here, so only sums are shown. To see your own, ask the administrator for a login"
        " (basic_auth_users). More"
    )
    assert lines(page)[1:] == ["All users 12.5 3.00 7.50 2.00 71 % 11.0"]
    page.get_by_role("slider", name="Hours of GPU 1").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout")).to_have_text(re.compile(": others 60 min$"))
    assert "carol" not in page.locator("body").inner_text()
    page.goto(f"{used.origin}/#user=carol")
    expect(page.locator(".choice .muted")).to_contain_text("Usage is private here (usage.visible: own): log in")
    expect(page.locator("table.used")).to_be_hidden()
    complaints[:] = [text for text in complaints if "403" not in text]


def test_a_machine_without_a_ledger_says_so(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page("/#usage")
    expect(page.locator(".choice .muted")).to_have_text("The ledger is off; see ledger.enabled in monitor.yaml.")


@pytest.mark.parametrize("address", ["#usage", "#user=alice"])
def test_it_is_accessible_and_fits_on_a_phone(used: Shown, open_page: OpenPage, address: str) -> None:
    page = open_page(f"/{address}")
    expect(page.locator("table.used tbody tr").first).to_be_visible()
    for colors, size in zip(COLORS, (PHONE, DESK), strict=True):
        page.emulate_media(color_scheme=colors)
        page.set_viewport_size(size)
        assert violations(page) == [], (colors, size)
    page.set_viewport_size(WATCH)
    assert page.evaluate("document.documentElement.scrollWidth") <= WATCH["width"]
