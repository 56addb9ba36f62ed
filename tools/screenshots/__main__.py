"""``python -m tools.screenshots`` writes the screenshots in docs/images; needs Debian's package chromium."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from genvd.model.identity import device_keys
from tests.support.chromium import chromium
from tests.support.ledger import new_pending
from tests.support.monitor import PROGRAM
from tests.support.shown import Demo, FixedLedger, Shown, serving
from tests.support.terminal import Terminal
from tools.screenshots.terminal_page import as_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

_PAGES: dict[str, tuple[Literal["light", "dark"], int, int, str, str]] = {
    "page-light": ("light", 1280, 900, "/", ".tile"),
    "page-dark": ("dark", 1280, 900, "/", ".tile"),
    "page-phone": ("light", 390, 844, "/", ".tile"),
    "page-usage": ("light", 1280, 900, "/#usage", ".hours-name"),
}
"""By name: colours, size, address, and what has to be there."""
_COLUMNS, _LINES = 120, 40


def main() -> None:
    """Take all screenshots."""
    demo = Demo()
    snapshot, past = demo.hour()
    snapshot = snapshot._replace(service=snapshot.service._replace(host="gpu1"), ledger=demo.usage())
    with chromium() as browser, serving() as shown:
        ledger = FixedLedger(new_pending(), past=True)
        ledger.set_devices(device_keys(snapshot.devices or ()).values(), snapshot.timestamp)
        shown.site.usage.ledger = cast("Any", ledger)
        for name, (colors, width, height, address, there) in _PAGES.items():
            shown.show(snapshot._replace(timestamp=time.time()), past)  # old data would look different
            page = browser.new_page(color_scheme=colors, viewport={"width": width, "height": height})
            page.goto(f"{shown.origin}{address}")
            page.locator(there).first.wait_for()
            page.screenshot(path=IMAGES / f"{name}.png")
            page.close()
        shown.show(snapshot._replace(timestamp=time.time()), past)
        _take_terminal(browser, shown)


def _take_terminal(browser: Browser, shown: Shown) -> None:
    with Terminal([str(PROGRAM), "top", "--url", shown.origin], columns=_COLUMNS, lines=_LINES) as terminal:
        terminal.wait_until_shown("LAST HOUR", "q quit")
        page = browser.new_page(viewport={"width": 1010, "height": 900})
        page.set_content(as_html(terminal, _COLUMNS, _LINES))
        page.locator("pre").screenshot(path=IMAGES / "top.png")


if __name__ == "__main__":
    main()
