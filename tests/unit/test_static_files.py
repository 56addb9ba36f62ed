"""The conversion of documents to web pages, and how the monitor serves them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genvd.web.response import Job, Response
from genvd.web.static_files import SOURCES, Docs
from tools.documents import to_page, write

FILES = sorted(SOURCES.glob("*.md"))


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Docs:
    directory = tmp_path_factory.mktemp("pages")
    write(SOURCES, directory)
    return Docs(directory)


def loaded(docs: Docs, path: str) -> Response:
    answer = docs.get(path)
    return answer.make() if isinstance(answer, Job) else answer


def main_of(markdown: str) -> str:
    page = to_page(markdown, titles={"c": "The C"})
    return page.partition('<main class="document">\n')[2].partition("\n</main>")[0]


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("# A `b`\n\n## A *b*", '<h1 id="a-b">A <code>b</code></h1>\n<h2 id="a-b-1">A <em>b</em></h2>'),
        ("[a `b`](c.md) [d](c.md#e) [f](#g)", '<a href="c.html">a <code>b</code></a> <a href="c.html#e">d</a>'),
        ("[d](../e) [f](f.md) [g](mailto:a@b)", "<p>d f g</p>"),
        ("[c.md](c.md) [c.md](c.md#e) [f.md](f.md)", '<a href="c.html">The C</a> <a href="c.html#e">The C</a> f.md'),
        ("<https://example.org/?a&b>", '<a href="https://example.org/?a&amp;b">https://example.org/?a&amp;b</a>'),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>'),
        ("```sh\n# <a>\n\n- b\n```", '<pre tabindex="0"><code># &lt;a&gt;\n\n- b\n</code></pre>'),
        ("a<!-- b --> c\n\n<!-- d\ne -->\n\nf", "<p>a c</p>\n<p>f</p>"),
        (
            "| b | |\n| --: | --- |\n| `c\\|d` | e |\n",
            '<div class="scroll" tabindex="0"><table>\n<thead>\n<tr>\n<th>b</th>\n<td></td>\n</tr>\n</thead>\n'
            "<tbody>\n<tr>\n<td><code>c|d</code></td>\n<td>e</td>\n</tr>\n</tbody>\n</table></div>",
        ),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert html in main_of(markdown)


@pytest.mark.parametrize(
    "markdown",
    [
        "# <script>alert(1)</script>",
        "a <b onclick='x'> <img src=x onerror=x>",
        "<script>\nalert(1)\n</script>",
        "<!-- a --><script>alert(1)</script>",
        "<!-- a --> <iframe src='x'></iframe>\n",
        "[a](javascript:alert(1)) [b](data:text/html,x) <javascript:alert(1)> [c](JaVaScRiPt:x)",
        "[a](https://x\"onclick='y') [b](<c.md#\"><script>>)",
        '[a](https://x "title\' onclick=y")',
        "![a](https://example.org/a.png) ![b](data:image/png;base64,AA==)",
        '```" onclick=x\n</code><script>\n```',
        "| <script> |\n| :-: |\n| <style>a</style> |",
    ],
)
def test_nothing_in_a_document_becomes_active(markdown: str) -> None:
    parser = Attributes()
    parser.feed(to_page(markdown, titles={"c": "The C"}).partition("<main")[2])
    assert not parser.tags & {"script", "style", "img", "iframe"}
    assert parser.attributes <= {"class", "id", "href", "title", "tabindex", "start"}
    assert all(re.match("https:|#|c.html", link) for link in parser.links)


class Attributes(HTMLParser):
    """The tags and attributes of a page, whether it is complete or not."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_a_long_document_has_a_list_of_contents() -> None:
    sections = [f"## S{number} & `c`\n\n### Sub\n\ntext\n" for number in range(4)]
    assert "Contents" not in to_page("# A\n\n" + "\n".join(sections[:3]))
    nav = to_page("# A\n\n" + "\n".join(sections)).partition('aria-label="Contents">')[2].partition("</nav>")[0]
    assert nav.count("<li>") == 4
    assert '<a href="#s3--c">S3 &amp; c</a>' in nav


def test_the_title_is_the_first_heading() -> None:
    assert "<title>A b &amp; &lt;c&gt; &ndash;" in to_page("# A `b` & <c>\n\ntext\n\n# D")


def test_a_document_is_read_once_and_may_load_nothing_from_other_sites(docs: Docs) -> None:
    path = docs.paths[0]
    first = loaded(docs, path)
    assert docs.get(path) is first
    assert first.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in dict(first.headers)["Content-Security-Policy"]


def test_before_they_are_built_documents_are_served_as_text(tmp_path: Path) -> None:
    docs = Docs(tmp_path / "not-built")
    assert set(docs.paths) == {f"/page/docs/{file.stem}.html" for file in FILES} | {"/page/docs/"}
    answer = loaded(docs, "/page/docs/runbook.html")
    assert (answer.content_type, answer.body) == ("text/plain; charset=utf-8", (SOURCES / "runbook.md").read_bytes())


def test_without_documents_there_are_none(tmp_path: Path) -> None:
    assert Docs(tmp_path / "gone", tmp_path / "gone").paths == ()
