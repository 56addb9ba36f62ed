"""What the page says is wrong, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Route, expect

from genvd.model.device import DeviceDetails, MemoryHealth, Throttling, XidErrors
from genvd.model.snapshot import (
    LedgerStatus,
)
from tests.browser.conftest import OpenPage
from tests.browser.machines import (
    RUNNING,
    alone,
    calm,
    failing,
    problems,
    rows,
    talked,
)
from tests.support.shown import Shown, device, environment, inhabited, machine

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
        machine()._replace(service=machine().service._replace(config_reload_successful=False)),
        "warning",
        "Configuration reload failed",
    ),
    "files": (
        machine()._replace(service=machine().service._replace(publish_success=False)),
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
    served.show(RUNNING._replace(timestamp=machine().timestamp))
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


def test_more_people_to_talk_to_than_are_listed_are_counted(served: Shown, open_page: OpenPage) -> None:
    idle = tuple(environment(str(number), (0,), idle_seconds=7200.0) for number in range(120))
    served.show(inhabited((device(0),), idle, (), {}))
    page = open_page()
    expect(page.locator("#talks-title")).to_have_text("To talk to (120)")
    page.get_by_role("button", name="Show 100 of 120 entries").click()
    expect(page.locator("#talk-list > li")).to_have_count(101)
    expect(page.locator("#talk-list > li").last).to_have_text("and 20 more")


def test_what_is_wrong_has_the_same_color_everywhere(served: Shown, open_page: OpenPage) -> None:
    served.show(RUNNING._replace(timestamp=machine().timestamp))
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
        served.show(snapshot._replace(timestamp=machine().timestamp))
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
    served.show(dead._replace(environments=(environment("1", (0,), name="train", pids=None),)))
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
    served.show(RUNNING._replace(timestamp=machine().timestamp))
    expect(page.locator("#verdict")).to_contain_text("0 of 2 GPUs are free")


def test_facts_that_are_old_are_said_to_be(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page()
    calm(page)
    served.show(machine(devices=(device(0),))._replace(timestamp=machine().timestamp - 600))
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


def test_a_monitor_that_hangs_is_not_said_to_answer(served: Shown, open_page: OpenPage) -> None:
    served.show(machine(devices=(device(0),)))
    page = open_page(before=lambda page: page.clock.install())
    calm(page)
    page.route("**/data.json", lambda _: None)  # the request waits, as at a process that was stopped
    page.clock.run_for(10_000)
    (said,) = page.locator("#outages > li .what").all_text_contents()  # at once: the request itself ends after a while
    assert said == "The monitor does not answer."
    assert page.title() == "No answer \N{EN DASH} gpu1"
    page.unroute_all(behavior="ignoreErrors")
