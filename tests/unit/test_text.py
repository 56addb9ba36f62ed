"""Text that somebody else chose."""

from __future__ import annotations

import pytest

from genvd.text import MAX_TEXT, clean, decode


@pytest.mark.parametrize(
    "text", ["", "alice", "DOMAIN\\alice", "ünï cödé", "名前", "עברית", "a\u00a0b", "x" * MAX_TEXT, '"<&>']
)
def test_honest_text_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\ud800", "a\u202eb", "\x00", "a\u2028b", "\u200b", "\x7f"])
def test_text_that_does_something_becomes_escapes(text: str) -> None:
    assert clean(text).isprintable()
    clean(text).encode()


def test_long_texts_are_cut_and_stay_different() -> None:
    one, other = clean("x" * 10_000_000), clean("x" * 9_999_999 + "y")
    assert len(one) == len(other) == MAX_TEXT
    assert one != other


def test_bytes_that_are_no_text() -> None:
    assert decode(b"\xff\xfea") == "\\xff\\xfea"
