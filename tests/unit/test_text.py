"""Text from untrusted sources."""

from __future__ import annotations

import pytest

from genvd.common.text import MAX_TEXT, clean, decode, gpus


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "DOMAIN\\alice",
        "ünï cödé",
        "job\\n1",
        "C:\\x",
        "\\u0041",
        "\\ubeda",
        "名前",
        "עברית",
        "a\u00a0b",
        "x" * MAX_TEXT,
        '"<&>',
    ],
)
def test_printable_text_does_not_change(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\ud800", "a\u202eb", "\x00", "a\u2028b", "\u200b", "\x7f"])
def test_control_characters_become_escapes(text: str) -> None:
    assert clean(text).isprintable()
    clean(text).encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("job\n1", "job\\n1"),
        ("job\n1", "job\\x0a1"),
        ("job\\x0a1", "job\\x5cx0a1"),
        ("\x9b", "\udc9b"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert clean(one) != clean(other)


def test_long_texts_are_cut_and_stay_different() -> None:
    one, other = clean("x" * 10_000_000), clean("x" * 9_999_999 + "y")
    assert len(one) == len(other) == MAX_TEXT
    assert one != other
    assert clean(one) != one, "somebody may type what another text became"


def test_bytes_that_are_not_utf8() -> None:
    assert decode(b"\xff\xfea") == "\\udcff\\udcfea" == clean("\udcff\udcfea")


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ((2,), "GPU 2"),
        ((0, 1, 2), "GPUs 0, 1 and 2"),
        ((0, 1, 2, 3), "GPUs 0 to 3"),
        ((0, 1, 4, 5, 6, 7, 9), "GPUs 0, 1, 4 to 7 and 9"),
        ((), "GPU "),
    ],
    ids=["one", "few", "range", "mixed", "none"],
)
def test_gpus_in_words(indices: tuple[int, ...], expected: str) -> None:
    assert gpus(indices) == expected
