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
        driver = page.locator("#problems > li", has_text="The NVIDIA driver is not loaded.")
        expect(driver).to_contain_text("modprobe nvidia")
        scenario.gpus = [gpu(0), gpu(1, utilization=33)]
        scenario.write()
        expect(page.locator(".card")).to_have_count(2)
        expect(driver).to_have_count(0)
        expect(page.locator(".card").nth(1).locator(".value").first).to_have_text("33 %")
        scenario.gpus[1].errors["*"] = LOST
        scenario.write()
        expect(page.locator(".card").nth(1).locator(".badge")).to_have_text("does not answer")
        expect(page.locator("#problems .what")).to_contain_text(["GPU 1 does not answer."])
        expect(page.locator(".card").nth(0).locator(".badge")).not_to_have_text("does not answer")
