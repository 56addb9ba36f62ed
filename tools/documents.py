"""Converts the documents of docs/ to the web pages that the monitor serves.

The build of a wheel calls the hook below, which adds the pages. In a checkout the first ``make run`` writes them, and
``make documents`` again; before that the monitor serves the documents as text.
"""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
SERVED = Path("genvd/web/docs")
"""Directory of the pages, relative to the root of a checkout or of a wheel."""

_MIN_SECTIONS = 4
"""A document with so many sections has a list of them."""

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} &ndash; genv-monitor</title>
<link rel="icon" href="../icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../page.css">
</head>
<body>
<header><nav aria-label="Back">
<a href="../..">Back to the machine</a>
<a href="README.html">All documents</a>
</nav></header>
<main class="document">
{content}</main>
</body>
</html>
"""


class DocumentsHook(BuildHookInterface[BuilderConfig]):
    """Build hook that adds the pages to a wheel, except to an editable one."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages to a temporary directory that the wheel includes."""
        if version != "editable":
            self._pages = TemporaryDirectory()
            write(Path(self.root, "docs"), Path(self._pages.name))
            build_data["force_include"][self._pages.name] = str(SERVED)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary directory."""
        if version != "editable":
            self._pages.cleanup()


def write(source: Path, target: Path) -> None:
    """Convert each Markdown file of one directory to a page in another one, which is created if needed."""
    target.mkdir(parents=True, exist_ok=True)
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(source.glob("*.md"))}
    titles = {name: title_of(text) for name, text in texts.items()}
    for name, text in texts.items():
        (target / f"{name}.html").write_text(to_page(text, titles), encoding="utf-8")


def title_of(text: str) -> str:
    """Return the first heading of a document."""
    return next((_text_of(inline) for _, inline in _headings(_MARKDOWN.parse(text))), "")


def to_page(text: str, titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a document as a complete page, with its first heading as the title.

    Args:
        text: CommonMark with tables. Comments are removed; other HTML is shown as text.
        titles: the titles of all documents by their names without ``.md``. Links to them become links to their pages,
            named by the title if they are named by the file; of links to other files only the text is kept.
    """
    head, end, rest = _MARKDOWN.render(text, {"titles": titles}).partition("</h1>\n")
    content = f"{head}{end}{_contents(text)}{rest}"
    return _PAGE.format(title=escape(title_of(text)), content=content)


def _contents(text: str) -> str:
    """Return the list of the sections of a long document."""
    sections = [(heading, inline) for heading, inline in _headings(_MARKDOWN.parse(text)) if heading.tag == "h2"]
    if len(sections) < _MIN_SECTIONS:
        return ""
    items = "\n".join(
        f'<li><a href="#{escape(str(heading.attrGet("id")))}">{escape(_text_of(inline))}</a></li>'
        for heading, inline in sections
    )
    return f'<nav class="contents" aria-label="Contents"><ul>\n{items}\n</ul></nav>\n'


def anchors(text: str) -> list[str]:
    """Return the anchors of the headings of a document in order, as GitHub creates them."""
    return [str(heading.attrGet("id")) for heading, _ in _headings(_MARKDOWN.parse(text))]


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """Yield the opening token and the content of each heading."""
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            yield token, tokens[index + 1]


def _text_of(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _add_anchors(state: StateCore) -> None:
    seen: Counter[str] = Counter()
    for heading, inline in _headings(state.tokens):
        slug = re.sub(r"[^\w\- ]", "", _text_of(inline).lower()).replace(" ", "-")
        heading.attrSet("id", f"{slug}-{seen[slug]}" if seen[slug] else slug)
        if not seen[slug] and re.fullmatch(r"[A-Za-z]+", _text_of(inline)):
            heading.meta["name"] = _text_of(inline)
        seen[slug] += 1


def _simplify_tables(state: StateCore) -> None:
    for index, token in enumerate(state.tokens):
        token.attrs.pop("style", None)  # alignment, which the content security policy does not allow
        if token.type == "th_open" and not state.tokens[index + 1].content:
            token.tag = state.tokens[index + 2].tag = "td"  # a heading without text confuses screen readers


def _resolve_links(state: StateCore) -> None:
    titles = state.env.get("titles", {})
    for inline in state.tokens:
        leads = True
        for place, token in enumerate(inline.children or ()):
            if token.type == "link_open":
                link = str(token.attrGet("href"))
                target = _target(link, titles)
                leads = target is not None
                token.attrSet("href", target or "")
                _name_by_title((inline.children or [])[place + 1], link, titles)
            if token.type in ("link_open", "link_close"):
                token.hidden = not leads


def _name_by_title(text: Token, link: str, titles: Mapping[str, str]) -> None:
    """Replace the name of a file as the text of a link by the title of the document."""
    if text.type == "text" and text.content == link.partition("#")[0]:
        text.content = titles.get(text.content.removesuffix(".md"), text.content)


def _target(link: str, documents: Collection[str]) -> str | None:
    """Return the target of a link on a page; None if it has none there."""
    if re.match("https?:|#", link):
        return link
    name, mark, fragment = link.partition("#")
    name = name.removesuffix(".md")
    return f"{name}.html{mark}{fragment}" if name in documents else None


def _markdown() -> MarkdownIt:
    """Return the parser: CommonMark with tables, without active content."""
    markdown = MarkdownIt("commonmark").enable("table").disable("image")
    for rule in (_add_anchors, _simplify_tables, _resolve_links):
        markdown.core.ruler.push(rule.__name__, rule)

    def without_comments(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
        return escape(_COMMENT.sub("", tokens[index].content), quote=False)

    def code(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
        return f'<pre tabindex="0"><code>{escape(tokens[index].content, quote=False)}</code></pre>\n'

    def heading(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        """Return the opening tag. A name, such as that of an alert, is an anchor as it is written as well: who links to
        it, such as a dashboard, may not be able to write it in small letters."""
        name = tokens[index].meta.get("name")
        anchor = f'<span id="{name}"></span>' if name and name != tokens[index].attrGet("id") else ""
        return str(renderer.renderToken(tokens, index, options, env)) + anchor

    markdown.add_render_rule("heading_open", heading)
    for kind in ("html_block", "html_inline"):
        markdown.add_render_rule(kind, without_comments)
    for kind in ("fence", "code_block"):
        markdown.add_render_rule(kind, code)
    # Wide content scrolls on a phone, so it must be focusable by the keyboard.
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return markdown


_MARKDOWN = _markdown()


if __name__ == "__main__":
    write(ROOT / "docs", ROOT / SERVED)
