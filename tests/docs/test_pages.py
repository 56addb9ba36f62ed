"""The documents as web pages: complete text and markup, with working links."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genvd.web.static_files import SOURCES
from tools.documents import write

FILES = sorted(SOURCES.glob("*.md"))
VOID = {"meta", "link"}


class Page(HTMLParser):
    """The parsed page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.prose = ""
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [] if tag in VOID else [tag]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()
        self.text += " " if tag in {"th", "td", "li"} else ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open.count("nav") and "main" in self.open else data  # without the list of contents
        if "code" not in self.open:
            self.prose += data


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    directory = tmp_path_factory.mktemp("pages")
    write(SOURCES, directory)
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in directory.iterdir()}


def test_each_document_is_a_page(pages: dict[str, Page]) -> None:
    assert {"README.html", "metrics.html", "configuration.html", "operations.html", "runbook.html"} <= pages.keys()
    assert len(pages) == len(FILES)


def test_markup_is_complete_and_no_markdown_is_left(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.open == [], name
        assert not page.tags & {"script", "style", "img", "iframe"}, name
        assert re.findall(r"\*\*|```|\]\(|^\||^#|<!--|`|\\", page.prose, re.MULTILINE) == [], name


def title(name: str) -> str:
    """Return the first heading of a document, which names the links to it."""
    return (SOURCES / f"{name}.md").read_text().partition("\n")[0].removeprefix("# ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_word_is_lost(pages: dict[str, Page], file: Path) -> None:
    source = re.sub(r"\[([\w-]+)\.md\]\(\1\.md", lambda link: f"[{title(link[1])}](", file.read_text())
    source = re.sub(r"<!--[\s\S]*?-->|\]\([^)]*\)|^```\w+$|^\d+\.", " ", source, flags=re.MULTILINE)
    shown = re.findall(r"\w+", pages[f"{file.stem}.html"].text.partition("All documents")[2])
    assert shown == re.findall(r"\w+", source)


def test_links_between_pages_work(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, fragment = link.partition("#")
            if target != "../.." and not link.startswith("https:"):
                assert target in {"", *pages}, f"{name}: {link}"
                assert not fragment or fragment in pages[target or name].ids, f"{name}: {link}"
