"""Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_PROGRAMS = ("chromium", "chromium-headless-shell")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser; leave the test out where there is none."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    need(path, "needs chromium: apt install chromium fonts-dejavu-core")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()
