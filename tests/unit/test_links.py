"""The check of links in documents, on documents of the test's own."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tools.documents import anchors
from tools.links import inside, outside
from tools.links.document import Document


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a](gone.md)", "the link gone.md points to a missing file"),
        ("![a](images/gone.png)", "the link images/gone.png points to a missing file"),
        ('<img src="gone.png">', "the link gone.png points to a missing file"),
        ("[a]: gone.md\n", "the link gone.md points to a missing file"),
        ("[a](../../elsewhere)", "the link ../../elsewhere points outside the repository"),
        ("[a](#nowhere)", "the link #nowhere points to a missing heading"),
        ("[a](other.md#nowhere)", "the link other.md#nowhere points to a missing heading"),
        ("`genvd/gone.py`", "genvd/gone.py does not exist"),
        ("```shell\nmake nothing\n```", "'make nothing' is not a make target"),
    ],
)
def test_broken_references_are_found(tmp_path: Path, text: str, problem: str) -> None:
    _tree(tmp_path, text)
    assert inside.problems(tmp_path) == [f"docs/page.md: {problem}"]


@pytest.mark.parametrize(
    "text",
    [
        "[a](other.md#two-words) [b](other.md#two-words-1) [c](../docs/other.md) [d](#here)\n\n# Here",
        "`[a](gone.md)`",
        "```\n[a](gone.md)\n```",
        "<!-- [a](gone.md) -->",
        "[a](https://example.org/gone.md) <mailto:a@example.org>",
        "`genvd/*.py`, `genvd/NAME`, `docs/other.md` and `make test`",
    ],
)
def test_valid_references_are_accepted(tmp_path: Path, text: str) -> None:
    _tree(tmp_path, text)
    (tmp_path / "genvd" / "NAME").touch()
    assert inside.problems(tmp_path) == []


@pytest.mark.parametrize(
    ("heading", "slug"),
    [
        ("Two words", "two-words"),
        ("What is `genv monitor`?", "what-is-genv-monitor"),
        ("Health of device memory (`metrics.memory_health`)", "health-of-device-memory-metricsmemory_health"),
        ("See [there](x.md): a-b", "see-there-a-b"),
    ],
)
def test_headings_have_the_fragments_of_github(heading: str, slug: str) -> None:
    assert anchors(f"# {heading}\n\n## {heading}") == [slug, f"{slug}-1"]


def test_links_to_other_sites_are_known() -> None:
    assert "https://www.apache.org/licenses/" not in outside.links()
    assert any(link.startswith("https://github.com/") for link in outside.links())
    assert Document(Path("x.md"), "<https://example.org/a> [b](http://localhost:8000/x)").links == [
        "http://localhost:8000/x",
        "https://example.org/a",
    ]


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "problem"), [(200, None), (403, None), (404, "404 Not Found"), (500, "500 Internal Server Error")]
)
def test_another_site_has_the_page_or_not(status: int, problem: str | None) -> None:
    with HTTPServer(("127.0.0.1", 0), _Site) as site:
        threading.Thread(target=site.handle_request, daemon=True).start()
        assert outside.problem_of(f"http://127.0.0.1:{site.server_port}/{status}") == problem


def test_a_site_that_does_not_answer_is_reported() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert "refused" in (outside.problem_of(f"http://127.0.0.1:{nobody.getsockname()[1]}/") or "")


def _tree(root: Path, text: str) -> None:
    (root / "Makefile").write_text("test:\n")
    for name in ("docs", "genvd"):
        (root / name).mkdir()
    (root / "docs" / "page.md").write_text(text)
    (root / "docs" / "other.md").write_text("# Two words\n\n## Two words\n")
