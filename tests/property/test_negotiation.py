"""Accept and Accept-Encoding, with any content."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genvd.metrics.exposition import OPENMETRICS, TEXT
from genvd.web.negotiation import accepts_gzip, preferred_media_type

OFFERED = (TEXT.media_type, OPENMETRICS.media_type)
PIECES = [*OFFERED, "text/*", "*/*", "gzip", "*", ",", ";", ";q=", "q", "=", "0", "1", "0.5", "nan", "1e999", "-1", " "]
HEADER = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=15).map("".join)
WEIGHTS = st.integers(1, 1000)


@given(headers=st.lists(HEADER, max_size=3))
def test_any_header_is_answered(headers: list[str]) -> None:
    assert preferred_media_type(headers, OFFERED) in OFFERED
    assert accepts_gzip(headers) in (True, False)


@given(weights=st.permutations([1000, 400]) | st.tuples(WEIGHTS, WEIGHTS), others=st.lists(HEADER, max_size=2))
def test_what_is_liked_best_is_sent(weights: list[int], others: list[str]) -> None:
    """Of both types named exactly, each once, the one with the greater weight; of equals the server's favourite."""
    said = [f"{name};q={weight / 1000}" for name, weight in zip(OFFERED, weights, strict=True)]
    irrelevant = [other for other in others if not any(name in other.lower() for name in OFFERED)]
    expected = OFFERED[weights[1] > weights[0]]
    assert preferred_media_type([*said, *irrelevant], OFFERED) == expected
    assert preferred_media_type([*reversed(said), *irrelevant], OFFERED) == expected


@given(others=st.lists(HEADER, max_size=2))
def test_what_is_refused_is_not_sent(others: list[str]) -> None:
    rest = [other for other in others if "gzip" not in other.lower()]
    assert not accepts_gzip(["gzip;q=0", *rest])
    assert accepts_gzip(["gzip", *rest])
