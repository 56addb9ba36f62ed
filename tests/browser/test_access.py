"""The page and the documents for people with disabilities, in a real browser."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.machines import (
    COLORS,
    DESK,
    PHONE,
    RUNNING,
    STATES,
    WATCH,
    calm,
    five_states,
    odd,
    violations,
)
from tests.support.shown import Shown, device, machine


@pytest.mark.parametrize("state", ["demo", "wrong", "odd", "dead", "lost", "mig"])
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
    read = " ".join(page.locator("#tiles > li").nth(1).inner_text().split())
    assert read == "GPU 1 idle 6 h 30 min heidi notebook 50 % busy 50 of 100 GiB"
    assert page.locator("#tiles > li").nth(1).get_by_role("link").all_inner_texts() == ["GPU 1", "heidi", "notebook"]
    page.goto(f"{served.origin}/#gpu=1")
    for label in ("Utilisation", "Memory", "Temperature", "Power"):
        expect(page.get_by_role("meter", name=f"{label} of GPU 1", exact=True)).to_have_count(1)
        expect(page.get_by_role("slider", name=f"{label} of GPU 1 in the last hour")).to_have_count(1)
    expect(page.locator("#view-title")).to_be_focused()


@pytest.mark.parametrize("colors", COLORS)
def test_bars_are_seen_in_high_contrast(served: Shown, open_page: OpenPage, colors: Literal["light", "dark"]) -> None:
    served.show(RUNNING._replace(timestamp=machine().timestamp))
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
