"""Parsing any environment block, and cleaning any text."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from genvd.collectors.host.process_environment import ENVIRONMENT_VARIABLE
from genvd.common.text import MAX_TEXT, clean, escape_unprintable
from tests.property import holds

NAME = ENVIRONMENT_VARIABLE
PIECE = st.sampled_from([NAME, NAME + b"=", b"\0", b"=", b"\0" + NAME + b"=", b"MY_" + NAME + b"=1", b"\xff", b"4711"])
BLOCK = st.lists(PIECE | st.binary(max_size=5), max_size=12).map(b"".join)


@given(block=BLOCK)
@example(block=b"")
@example(block=NAME + b"=")
@example(block=NAME + b"=1\0" + NAME)
def test_any_block(block: bytes) -> None:
    holds.environment_block(block)


@given(others=st.lists(st.binary(max_size=20), max_size=4), value=st.binary(min_size=1, max_size=600))
def test_any_value(others: list[bytes], value: bytes) -> None:
    holds.environment_block(b"\0".join([*others, NAME + b"=" + value, b"LAST=1", b""]))


ODD = st.lists(
    st.sampled_from(["\\", "x5c", "x0a", "u202e", "U000e0001", "\n", "\u202e", "\udcff", "0", "n"]), max_size=6
)
TEXT = st.text(min_size=1, max_size=600) | ODD.filter(bool).map("".join)


@given(text=TEXT)
def test_clean_text_is_harmless(text: str) -> None:
    cleaned = clean(text)
    holds.assert_is_label(cleaned)
    assert escape_unprintable(cleaned) == cleaned


@given(texts=st.sets(TEXT, min_size=2, max_size=2))
@example(texts={"job\\x0a1", "job\n1"})
@example(texts={"\\x5cx0a", "\\x0a"})
def test_different_texts_stay_different(texts: set[str]) -> None:
    assert len({clean(text) for text in {*texts, *map(clean, texts)}}) == len({*texts, *map(clean, texts)})


@given(start=st.text(min_size=MAX_TEXT, max_size=MAX_TEXT), ends=st.sets(st.text(), min_size=2, max_size=2))
def test_different_long_texts_stay_different(start: str, ends: set[str]) -> None:
    one, other = (start + "x" + end for end in ends)
    assert clean(one) != clean(other)
