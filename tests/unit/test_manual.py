"""The documents as the page shows them: all that they say, in markup that is whole, with links that lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genvd.web.manual import DIRECTORY, Manual
from genvd.web.markdown import to_html
from genvd.web.response import Job, Response
from tools.links.document import Document

FILES = sorted(DIRECTORY.glob("*.md"))
VOID = {"meta", "link"}


class Page(HTMLParser):
    """A page as a browser reads it, as far as it matters here."""

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
        self.text += data
        if "code" not in self.open:
            self.prose += data


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    manual = Manual()
    return {path.rpartition("/")[2]: Page(rendered(manual, path).body.decode()) for path in manual.paths}


def rendered(manual: Manual, path: str) -> Response:
    answer = manual.at(path)
    return answer.make() if isinstance(answer, Job) else answer


def written(markdown: str) -> str:
    return to_html(markdown, lambda target: None if target.startswith("..") else target)


def test_all_documents_are_there(pages: dict[str, Page]) -> None:
    assert {"README.html", "metrics.html", "configuration.html", "operations.html", "runbook.html"} <= pages.keys()
    assert len(pages) == len(FILES)


def test_their_markup_is_whole_and_none_of_it_is_left_as_it_was_written(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.open == [], name
        assert not page.tags & {"script", "style", "img", "iframe"}, name
        assert re.findall(r"\*\*|```|\]\(|^\||^#|<!--|`|\\", page.prose, re.MULTILINE) == [], name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_word_is_lost(pages: dict[str, Page], file: Path) -> None:
    source = re.sub(r"<!--[\s\S]*?-->|\]\([^)]+\)|^```\w+$|^\d+\.", " ", file.read_text(), flags=re.MULTILINE)
    shown = re.findall(r"\w+", pages[f"{file.stem}.html"].text.partition("All documents")[2])
    assert shown == re.findall(r"\w+", source)


def test_their_links_lead_to_what_is_there(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, fragment = link.partition("#")
            if target != "../.." and not link.startswith("https:"):
                assert target in {"", *pages}, f"{name}: {link}"
                assert not fragment or fragment in pages[target or name].ids, f"{name}: {link}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_headings_are_found_by_the_fragments_that_links_to_them_have(pages: dict[str, Page], file: Path) -> None:
    assert set(pages[f"{file.stem}.html"].ids) == Document(file, file.read_text()).anchors


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("# A `b`\n\n# A b", '<h1 id="a-b">A <code>b</code></h1>\n<h1 id="a-b-1">A b</h1>'),
        ("a\nb\n\nc", "<p>a\nb</p>\n<p>c</p>"),
        ("a <b> & *c* **d**", "<p>a &lt;b&gt; &amp; <em>c</em> <strong>d</strong></p>"),
        ("`<a>*b*` ``c`d``", "<p><code>&lt;a&gt;*b*</code> <code>c`d</code></p>"),
        ("[a `b`](c.md) [d](../e)", '<p><a href="c.md">a <code>b</code></a> d</p>'),
        ("[a](x\"onclick='y')", '<p><a href="x&quot;onclick=&#x27;y&#x27;">a</a></p>'),
        (
            "<https://example.org/?a&b>",
            '<p><a href="https://example.org/?a&amp;b">https://example.org/?a&amp;b</a></p>',
        ),
        ("a:\n- b\n  c\n- d\n\ne", "<p>a:</p>\n<ul><li>b\n  c</li><li>d</li></ul>\n<p>e</p>"),
        ("3. a\n\n   b\n4. c", '<ol start="3"><li>a</li></ol>\n<p>b</p>\n<ol start="4"><li>c</li></ol>'),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("```sh\n# <a>\n\n- b\n```\nc", '<pre tabindex="0"><code># &lt;a&gt;\n\n- b\n</code></pre>\n<p>c</p>'),
        ("a<!-- b -->\n<!-- c\nd -->\n2 * 3 * 4", "<p>a&lt;!-- b --&gt;\n2 * 3 * 4</p>"),
        (
            "a\n| b | |\n| --- | --- |\n| `c\\|d` | e |\n",
            '<p>a</p>\n<div class="scroll" tabindex="0"><table><thead><tr><th>b</th><td></td></tr></thead>'
            "<tbody><tr><td><code>c|d</code></td><td>e</td></tr></tbody></table></div>",
        ),
    ],
)
def test_as_much_of_markdown_as_they_use(markdown: str, html: str) -> None:
    assert written(markdown) == html


def test_a_document_is_rendered_once() -> None:
    manual = Manual()
    path = manual.paths[0]
    first = rendered(manual, path)
    assert manual.at(path) is first


def test_where_there_are_no_documents_it_has_none(tmp_path: Path) -> None:
    assert Manual(tmp_path / "gone").paths == ()
