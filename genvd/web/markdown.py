"""The documents as HTML: as much of Markdown as they use, in the way of CommonMark and GitHub, and no more.

That is headings, paragraphs, lists of one level, tables, blocks and pieces of code, emphasis, links and comments. What
else a document has appears as it is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from html import escape

Lead = Callable[[str], "str | None"]
"""Says where a link leads that is written in this way; None if that is nowhere."""

_COMMENT = re.compile(r"^<!--[\s\S]*?-->\n?", re.MULTILINE)
_BLOCK = re.compile(
    r"""
    ^```.*\n(?P<code>[\s\S]*?)^```$
    | ^(?P<level>\#{1,6})\ +(?P<heading>.+)$
    | (?P<table>^\|.*\n\|[\ :|-]+$(?:\n\|.*)*)
    | (?P<items>^(?:[-*]|\d+\.)\ .*(?:\n(?=[-*]\ |\d+\.\ |\ +\S).*)*)
    | (?P<more>^\ +\S.*(?:\n(?!\||\#|```|[-*]\ |\d+\.\ ).*\S.*)*)  # of an item, after a table or an empty line
    | (?P<paragraph>^.*\S.*(?:\n(?!\||\#|```|[-*]\ |1\.\ ).*\S.*)*)
    """,
    re.MULTILINE | re.VERBOSE,
)
_ITEM = re.compile(r"^(?:[-*]|(\d+)\.) +", re.MULTILINE)
_CELL_END = re.compile(r"(?<!\\)\|")
_INLINE = re.compile(
    r"""
    (?P<fence>`+)(?P<code>[\s\S]+?)(?P=fence)
    | \[(?P<text>[^\]]+)\]\(<?(?P<target>[^)>\s]+)>?\)
    | <(?P<address>https?://[^>\s]+)>
    | \*\*(?P<strong>(?=\S)[\s\S]+?)\*\*
    | \*(?P<em>(?=[^\s*])[^*]+?)\*
    | \\(?P<literal>[\\`*_\[\]<>|\#])
    """,
    re.VERBOSE,
)


def to_html(text: str, lead: Lead) -> str:
    """Return a document in Markdown as HTML, without what goes around it."""
    return _Writer(lead).blocks(_COMMENT.sub("", text))


def plain(text: str) -> str:
    """Return what a piece of Markdown says, without its marks."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")


def slug_of(heading: str) -> str:
    """Return the fragment that leads to a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", plain(heading).lower()).replace(" ", "-")


class _Writer:
    """Writes one document."""

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self._slugs: Counter[str] = Counter()

    def blocks(self, text: str) -> str:
        return "\n".join(self._block(found) for found in _BLOCK.finditer(text))

    def _block(self, found: re.Match[str]) -> str:
        kind = found.lastgroup
        text = found[kind] if kind else ""
        if kind == "code":
            return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
        if kind == "heading":
            return self._heading(len(found["level"]), text)
        if kind == "table":
            return self._table(text)
        if kind == "items":
            return self._list(text)
        return f"<p>{self._inline(text.strip())}</p>"

    def _heading(self, level: int, text: str) -> str:
        slug = slug_of(text)
        before = self._slugs[slug]
        self._slugs[slug] += 1
        return f'<h{level} id="{escape(slug)}{f"-{before}" if before else ""}">{self._inline(text)}</h{level}>'

    def _table(self, text: str) -> str:
        head, _, *rows = text.splitlines()
        lines = [
            f"<thead>{self._row(head, 'th')}</thead>",
            "<tbody>",
            *(self._row(row, "td") for row in rows),
            "</tbody>",
        ]
        return f'<div class="scroll" tabindex="0"><table>{"".join(lines)}</table></div>'

    def _row(self, line: str, tag: str) -> str:
        cells = (cell.strip() for cell in _CELL_END.split(line.strip())[1:-1])
        tags = ((tag if cell else "td", cell.replace(r"\|", "|")) for cell in cells)
        return f"<tr>{''.join(f'<{name}>{self._inline(cell)}</{name}>' for name, cell in tags)}</tr>"

    def _list(self, text: str) -> str:
        begins = [*_ITEM.finditer(text)]
        ends = [*(item.start() for item in begins[1:]), len(text)]
        items = (text[item.end() : end].strip() for item, end in zip(begins, ends, strict=True))
        inside = "".join(f"<li>{self._inline(item)}</li>" for item in items)
        number = begins[0][1]
        return f'<ol start="{number}">{inside}</ol>' if number else f"<ul>{inside}</ul>"

    def _inline(self, text: str) -> str:
        written, end = [], 0
        for found in _INLINE.finditer(text):
            written += [escape(text[end : found.start()], quote=False), self._span(found)]
            end = found.end()
        return "".join((*written, escape(text[end:], quote=False)))

    def _span(self, found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        text = found[kind]
        if kind == "code":
            return f"<code>{escape(text, quote=False)}</code>"
        if kind == "target":
            return self._link(text, self._inline(found["text"]))
        if kind == "address":
            return self._link(text, escape(text))
        if kind == "literal":
            return escape(text)
        return f"<{kind}>{self._inline(text)}</{kind}>"

    def _link(self, target: str, content: str) -> str:
        leads = self._lead(target)
        return content if leads is None else f'<a href="{escape(leads)}">{content}</a>'
