"""The page of a monitor that runs as a process of its own, over a driver that comes and goes."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.standin import Scenario
from tests.support.gpus import gpu
from tests.support.monitor import Monitor

LOST = 15
"""NVML_ERROR_GPU_IS_LOST."""


def test_a_driver_that_comes_and_a_device_that_is_lost(
    scenario: Scenario, nvml_library: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    options = ["-i", "0.2", "--config-dir", str(tmp_path)]
    environment = {**scenario.environment(nvml_library), "GENV_TMPDIR": str(tmp_path)}
    with Monitor(options, environment) as monitor:
        page = open_page(origin=f"http://127.0.0.1:{monitor.port}")
        driver = page.locator("#problem-list > li", has_text="The NVIDIA driver is not loaded.")
        expect(driver).to_contain_text("modprobe nvidia")
        scenario.gpus = [gpu(0), gpu(1, utilization=33)]
        scenario.write()
        expect(page.locator(".tile")).to_have_count(2)
        expect(driver).to_have_count(0)
        expect(page.locator(".tile").nth(1).locator(".text").first).to_have_text("33 % busy")
        expect(page.locator("#verdict")).to_contain_text("2 of 2 GPUs are free: 0, 1")
        scenario.gpus[1].errors["*"] = LOST
        scenario.write()
        expect(page.locator(".tile .state")).to_have_text(["free", "down"])
        expect(page.locator("#problem-list .what")).to_contain_text(["GPU 1 does not answer."])
        expect(page.locator("#verdict")).to_contain_text("1 of 2 GPUs is free: 0")
        expect(page.locator("#verdict")).to_contain_text("1 broken")
        page.close()  # before the monitor ends, which it would complain of
