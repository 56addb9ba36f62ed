"""Machines with much, little and odd things, paper, and no scripts, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import (
    LedgerStatus,
    MissingDevice,
    UserUsage,
)
from tests.browser.conftest import OpenPage
from tests.browser.machines import (
    DESK,
    LAPTOP,
    MARKUP,
    PHONE,
    STATES,
    WATCH,
    busy,
    five_states,
    mig,
    odd,
    people,
    rows,
    violations,
)
from tests.support.shown import GIB, Shown, device, environment, holding, inhabited, machine

# --- Much, little, and odd ----------------------------------------------------------------------------------------


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


def test_the_memory_of_a_large_gpu_fits_into_one_of_many_tiles(served: Shown, open_page: OpenPage) -> None:
    large = {"memory_used_bytes": 100 * GIB, "memory_total_bytes": 140 * GIB}
    served.show(machine(devices=tuple(device(index, **large) for index in range(16))))
    page = open_page(viewport=LAPTOP)
    expect(page.locator(".tile .text", has_text="100 of 140 GiB")).to_have_count(16)
    ends = page.locator(".tile").evaluate_all(
        """(all) => all.map((tile) => {
          const text = document.createRange();
          text.selectNodeContents(tile.querySelector(".level:last-child .text"));
          return tile.getBoundingClientRect().right - text.getBoundingClientRect().right;
        })"""
    )
    assert min(ends) > 0


def test_a_lost_gpu_keeps_its_tile(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),), missing_devices=(MissingDevice(5, "GPU-5", None),)))
    page = open_page()
    expect(page.locator("#verdict")).to_contain_text("1 of 2 GPUs is free: 0")
    lost = page.locator(".tile.down")
    expect(lost).to_contain_text("GPU 5 lost")
    lost.click()
    expect(page.locator("#view-content .state-line")).to_have_text("The driver no longer lists this GPU.")


def test_who_has_a_lost_gpu_attached_is_seen(served: Shown, open_page: OpenPage) -> None:
    held = inhabited((device(0),), (environment("7", (1,), name="train", username="carol"),), (), {})
    served.show(held._replace(holdings=(), missing_devices=(MissingDevice(1, "GPU-1", None),)))
    page = open_page()
    tile = page.locator(".tile.down")
    expect(tile.locator(".who a")).to_have_text("carol")
    expect(page.locator("#problem-list")).to_contain_text("GPU 1 (GPU-1), attached to train (carol)")
    tile.locator(".who a").click()
    expect(page.locator("#view-content .tile.down")).to_contain_text("GPU 1 lost")
    page.locator("#view-content .tile .index").click()
    state = page.locator("#view-content .state-line")
    expect(state).to_have_text("The driver no longer lists this GPU. Attached to: train (carol)")


def test_who_used_how_much(served: Shown, open_page: OpenPage) -> None:
    used = (
        UserUsage("alice", 7200.0, 6480.0, 720.0),
        UserUsage("bob", 36_000.0, 0.0, 36_000.0, outside_seconds=1800.0),
        UserUsage("carol", 0.0, outside_seconds=9000.0),
        UserUsage("eve", 9.0),
    )
    served.show(machine(devices=(device(0),), ledger=LedgerStatus(users=used)))
    page = open_page()
    expect(page.locator("#usage-list li")).to_have_count(4)
    assert page.locator("#usage-list li").all_inner_texts() == [
        "bob\n10.0 GPU-h, 100 % idle, 0.50 outside",
        "carol\n2.50 GPU-h outside",
        "alice\n2.00 GPU-h, 10 % idle",
        "eve\n0.00 GPU-h",
    ]
    page.locator("#usage-list").get_by_role("link", name="alice").click()
    expect(page.locator("#view-content")).to_contain_text("2.00 GPU-h, 10 % idle")
    served.show(machine(devices=(device(0),)))
    page.goto(f"{served.origin}/")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator("#used")).to_be_hidden()


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
    page.locator(".tile .whole").first.click()
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


# --- On paper, and without scripts --------------------------------------------------------------------------------


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
    expect(page.locator("#processes thead").get_by_text("Command")).to_be_visible()
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
    served.show(five_states()._replace(driver_state="ok"))
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
