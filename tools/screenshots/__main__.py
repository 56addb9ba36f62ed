"""``python -m tools.screenshots`` takes the pictures in docs/images anew; it needs Debian's package chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.support.chromium import chromium
from tests.support.monitor import PROGRAM
from tests.support.shown import Demo, serving
from tests.support.terminal import Terminal
from tools.screenshots.terminal_page import as_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

_PAGES: dict[str, tuple[Literal["light", "dark"], int, int]] = {
    "page-light": ("light", 1280, 1000),
    "page-dark": ("dark", 1280, 1000),
    "page-phone": ("light", 360, 760),
}
_COLUMNS, _LINES = 120, 34


def main() -> None:
    """Take all pictures."""
    with chromium() as browser:
        _take_pages(browser)
        _take_terminal(browser)


def _take_pages(browser: Browser) -> None:
    with serving() as shown:
        shown.show(*Demo().hour())
        for name, (colors, width, height) in _PAGES.items():
            page = browser.new_page(color_scheme=colors, viewport={"width": width, "height": height})
            page.goto(shown.origin)
            page.locator(".card").first.wait_for()
            page.screenshot(path=IMAGES / f"{name}.png")
            page.close()


def _take_terminal(browser: Browser) -> None:
    with Terminal([PROGRAM, "top", "--demo"], columns=_COLUMNS, lines=_LINES) as terminal:
        terminal.wait_until_shown("ENVIRONMENT", "PID")
        page = browser.new_page(viewport={"width": 1010, "height": 640})
        page.set_content(as_html(terminal, _COLUMNS, _LINES))
        page.locator("pre").screenshot(path=IMAGES / "top.png")


if __name__ == "__main__":
    main()
