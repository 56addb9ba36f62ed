"""The first look of the page in a real browser, its updates and its tables."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.machines import (
    LAPTOP,
    PHONE,
    busy,
    calm,
    five_states,
    people,
    problems,
    rows,
    talked,
    violations,
)
from tests.support.shown import GIB, Shown, device, environment, half_used, machine, visited

# --- What it shows ------------------------------------------------------------------------------------------------


def test_it_shows_the_machine(served: Shown, open_page: OpenPage) -> None:
    snapshot, past = busy()
    served.show(snapshot, past)
    page = open_page()
    expect(page.locator(".tile")).to_have_count(8)
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.locator("#version")).to_contain_text("driver 570")
    assert sorted(rows(page, "processes")) == sorted(str(process.pid) for process in snapshot.processes or ())
    assert set(rows(page, "users")) >= {user.username for user in snapshot.users or ()}


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


def test_a_tile_names_who_computes_on_a_gpu_of_somebody_else(served: Shown, open_page: OpenPage) -> None:
    served.show(visited())
    page = open_page(viewport=LAPTOP)
    tile = page.locator(".tile").first
    expect(tile.locator(".who")).to_have_text("dave, +not attached: alice and 1 more")
    expect(tile.locator(".what")).to_have_text("held, train and 1 more")
    assert violations(page) == []
    page = open_page("/page/table.html")
    cells = page.get_by_role("region", name="GPUs").locator("tbody tr >> nth=0").locator("td").all_inner_texts()
    assert cells[:3] == ["idle 2 h", "dave, +alice, +bob", "held, train, a.out 200"]


def test_a_gpu_is_held_idle_by_somebody_who_works_on_others(served: Shown, open_page: OpenPage) -> None:
    served.show(half_used())
    page = open_page(viewport=LAPTOP)
    expect(page.locator("#verdict")).to_have_text("0 of 4 GPUs are free · 1 person · 2 GPUs held idle · 0 broken")
    assert page.locator(".tile .state").all_text_contents() == ["in use", "in use", "idle 2 h", "idle 24 h"]
    assert talked(page) == ["alice four holds GPUs 10 and 11 idle for 2 h, works on GPUs 8 and 9"]
    page = open_page("/#env=4")
    notes = ["90 % of its time"] * 2 + [f"0 % of its time, idle for {duration}" for duration in ("2 h", "24 h")]
    expect(page.locator(".limits .muted")).to_have_text(notes)
    assert violations(page) == []
    page = open_page("/page/table.html")
    cells = page.get_by_role("region", name="To talk to").locator("tbody td").all_inner_texts()
    assert cells == ["four", "holds GPUs 10 and 11 idle, works on GPUs 8 and 9", "2 h"]


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
    served.show(machine(devices=(device(0),))._replace(processes=None))
    expect(line).to_have_text("0 of 1 GPU is free; 1 not known · people not known · 0 GPUs held idle · 0 broken")
    served.show(machine(devices=(device(0),))._replace(holdings=None))
    expect(line).to_contain_text("people not known · idle GPUs not known · 0 broken")
    served.show(machine(devices=None))
    expect(line).to_have_text("It is not known which GPUs are free · 0 people")


# --- Updates ------------------------------------------------------------------------------------------------------


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


def test_it_asks_once_a_minute_while_nobody_looks(served: Shown, open_page: OpenPage) -> None:
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
    page.clock.run_for(55_000)
    assert asked == []
    served.show(machine(devices=(device(0, up=False),)))
    with page.expect_response("**/data.json"):
        page.clock.run_for(10_000)
    expect(page).to_have_title("(1) gpu1: 0 of 1 free")
    assert len(asked) == 1
    with page.expect_response("**/data.json"):
        page.evaluate(look, False)


# --- Sorting and filtering ----------------------------------------------------------------------------------------


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
