"""One browser, and one server of this process whose machine tests choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from genvd.web import static_files
from tests.support.chromium import chromium
from tests.support.shown import Shown, serving
from tools import documents

_PATIENCE_MS = 20_000

expect.set_options(timeout=_PATIENCE_MS)

OpenPage = Callable[..., Page]
"""Opens a path of an origin, after doing something ``before``; further keywords are those of a browser context."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for this folder only: its Playwright has an event loop in this thread, and others want one of their own."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    pages = tmp_path_factory.mktemp("docs")
    documents.write(documents.ROOT / "docs", pages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_files, "PAGES", pages)
        with serving() as shown:
            yield shown


@pytest.fixture
def complaints() -> list[str]:
    """What pages did that they should not; nothing may be left in it when the test ends."""
    return []


@pytest.fixture
def open_page(browser: Browser, served: Shown, complaints: list[str]) -> Iterator[OpenPage]:
    with ExitStack() as stack:

        def open_one(
            path: str = "/",
            before: Callable[[Page], object] = lambda _: None,
            origin: str = served.origin,
            **context: Any,
        ) -> Page:
            made = browser.new_context(**context)
            stack.callback(made.close)
            made.set_default_timeout(_PATIENCE_MS)
            page = made.new_page()
            watch(page, origin, complaints)
            before(page)
            page.goto(f"{origin}{path}")
            return page

        yield open_one
    assert complaints == []


def watch(page: Page, origin: str, complaints: list[str]) -> None:
    """Complain of messages in the console, of errors, and of requests to anybody else."""
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: None if request.url.startswith(f"{origin}/") else complaints.append(f"asks {request.url}"),
    )
