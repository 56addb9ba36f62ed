"""Which format and encoding a client gets for what it says it accepts."""

from __future__ import annotations

import pytest

from genvd.web.negotiation import accepts_gzip, is_current, preferred_media_type

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
HTML, JSON = "text/html", "application/json"

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + PROMETHEUS_3
)
PROMETHEUS_TEXT_ONLY = "text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param([PROMETHEUS_2_42], OPENMETRICS, id="Prometheus 2.42"),
        pytest.param([PROMETHEUS_3], OPENMETRICS, id="Prometheus 3"),
        pytest.param([PROMETHEUS_3_HISTOGRAMS], OPENMETRICS, id="Prometheus 3 with native histograms"),
        pytest.param([PROMETHEUS_TEXT_ONLY], TEXT, id="Prometheus told to take text"),
        pytest.param([BROWSER], TEXT, id="browser"),
        pytest.param([JAVA], TEXT, id="Java"),
        pytest.param(["*/*"], TEXT, id="curl"),
        pytest.param([], TEXT, id="none"),
        pytest.param([""], TEXT, id="empty"),
        pytest.param(["image/png"], TEXT, id="nothing that is offered"),
        pytest.param(["*/*;q=0"], TEXT, id="nothing at all"),
        pytest.param(["text/*"], TEXT, id="range"),
        pytest.param(["application/*"], OPENMETRICS, id="other range"),
        pytest.param(["text/*;q=0.1, application/*;q=0.2"], OPENMETRICS, id="ranges weighted"),
        pytest.param([f"{OPENMETRICS};q=0, */*"], TEXT, id="refused one"),
        pytest.param([f"{TEXT};q=0, */*"], OPENMETRICS, id="refused other"),
        pytest.param([f"{OPENMETRICS};q=0.1, */*"], TEXT, id="specific range beats the general one"),
        pytest.param([f"{OPENMETRICS};q=0.5, {TEXT};q=0.5"], TEXT, id="tie"),
        pytest.param([f"{TEXT};q=0.001, {OPENMETRICS};q=0.002"], OPENMETRICS, id="three digits"),
        pytest.param([OPENMETRICS.upper()], OPENMETRICS, id="upper case"),
        pytest.param([f"{TEXT};Q=0.1, {OPENMETRICS};Q=0.2"], OPENMETRICS, id="upper case weight"),
        pytest.param([f" {TEXT} ; q=0.1 , {OPENMETRICS} ; q = 0.9 "], OPENMETRICS, id="spaces"),
        pytest.param([f"{TEXT};q=0.1", f"{OPENMETRICS};q=0.9"], OPENMETRICS, id="two headers"),
        pytest.param([f"{OPENMETRICS};q=nan"], TEXT, id="nan"),
        pytest.param([f"{OPENMETRICS};q=high"], TEXT, id="no number"),
        pytest.param([f"{OPENMETRICS};q=-1"], TEXT, id="negative"),
        pytest.param([f"{OPENMETRICS};q=1e400, {TEXT};q=0.9"], OPENMETRICS, id="too large"),
        pytest.param([";;;,,,=q;q=;/;*"], TEXT, id="garbage"),
        pytest.param(["\xff\x00,\udcff"], TEXT, id="no text"),
    ],
)
def test_media_type(accept: list[str], expected: str) -> None:
    assert preferred_media_type(accept, (TEXT, OPENMETRICS)) == expected


def test_the_servers_own_favourite_wins_a_tie() -> None:
    assert preferred_media_type(["*/*"], (OPENMETRICS, TEXT)) == OPENMETRICS
    assert preferred_media_type([], (OPENMETRICS, TEXT)) == OPENMETRICS


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("application/json, text/plain, */*", JSON, id="axios"),
        pytest.param("application/json, */*", JSON, id="named beside anything"),
        pytest.param("application/*, */*", JSON, id="range beside anything"),
        pytest.param("application/json, text/javascript, */*; q=0.01", JSON, id="jQuery"),
        pytest.param(BROWSER, HTML, id="browser"),
        pytest.param("application/json, text/html, */*", HTML, id="both named"),
        pytest.param("application/json;q=0.9, */*", HTML, id="named and liked less"),
        pytest.param("*/*", HTML, id="curl"),
        pytest.param("application/json;q=0, */*", HTML, id="named and refused"),
    ],
)
def test_of_what_is_liked_alike_the_one_that_is_named_wins(accept: str, expected: str) -> None:
    assert preferred_media_type([accept], (HTML, JSON)) == expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        (["gzip"], True),
        (["GZIP"], True),
        (["gzip, deflate, br, zstd"], True),
        (["deflate;q=0.5, gzip;q=0.1"], True),
        (["deflate", "gzip"], True),
        (["*"], True),
        ([" gzip ; q=1.0 "], True),
        ([], False),
        ([""], False),
        (["identity"], False),
        (["deflate, br"], False),
        (["gzip;q=0"], False),
        (["gzip;q=0.000"], False),
        (["gzip;q=0, *"], False),
        (["*;q=0"], False),
        (["*;q=0, gzip"], True),
        (["gzip;q=x"], False),
        (["gzipped, notgzip"], False),
        ([",;=,\xff"], False),
    ],
)
def test_gzip(accept_encoding: list[str], expected: bool) -> None:
    assert accepts_gzip(accept_encoding) is expected


TAG = '"1"'


@pytest.mark.parametrize(
    ("filler", "fits"),
    [
        pytest.param(["x"] * 31, True, id="32 items"),
        pytest.param(["x"] * 32, False, id="33 items"),
        pytest.param([""] * 15_000, False, id="commas"),
        pytest.param(["x;q=0.1"] * 2_000, False, id="weights"),
        pytest.param(["x" + ";" * 900], True, id="below 1 KiB"),
        pytest.param(["x" + ";" * 1100], False, id="semicolons"),
        pytest.param(["x" * 15_000], False, id="one long item"),
    ],
)
@pytest.mark.parametrize("fields", [1, 30], ids=["in one field", "in several fields"])
def test_the_default_is_taken_for_a_list_that_is_too_long(filler: list[str], fits: bool, fields: int) -> None:
    def split(*last: str) -> list[str]:
        items = [*filler, *last]
        size = -(-len(items) // fields)
        return [",".join(items[start : start + size]) for start in range(0, len(items), size)]

    assert preferred_media_type(split(OPENMETRICS), (TEXT, OPENMETRICS)) == (OPENMETRICS if fits else TEXT)
    assert accepts_gzip(split("gzip")) is fits
    assert is_current(split(TAG), TAG) is fits
