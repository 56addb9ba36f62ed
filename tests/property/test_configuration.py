"""monitor.yaml, with any content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvd.config.loader import load
from genvd.config.schema import Config, settings
from genvd.config.values import parse_duration, show_duration
from genvd.config.yaml_writer import as_yaml
from tests.property import holds

SETTINGS = list(settings())
WORDS = [setting.section for setting in SETTINGS] + [setting.key for setting in SETTINGS]
WORDS += [setting.kind.show(setting.default) for setting in SETTINGS]
MARKS = [
    ": ",
    ":\n  ",
    "\n",
    "- ",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "&a ",
    "*a",
    "!!null ",
    "!x ",
    "<<: ",
    "| ",
    "# ",
    ",",
]
MARKS += ["\t", "\\x41", "\\ud800", "\\U00110000", "%YAML 1.1\n---\n", "...\n", "? ", "~", "\x85", "\u2028", "\x7f"]
YAML = st.lists(st.sampled_from([*WORDS, *MARKS]) | st.text(max_size=3), max_size=20).map("".join)
VALUE = st.text(max_size=20) | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration") / "monitor.yaml"


@given(content=st.binary(max_size=100))
def test_any_bytes(file: Path, content: bytes) -> None:
    holds.configuration(content, file)


@given(text=YAML)
def test_anything_like_yaml(file: Path, text: str) -> None:
    holds.configuration(text.encode("utf-8", "surrogatepass"), file)


@given(key=st.sampled_from(SETTINGS), value=VALUE)
def test_any_value_of_any_key(file: Path, key: Any, value: Any) -> None:
    holds.configuration(json.dumps({key.section: {key.key: value}}).encode(), file)


@given(
    value=st.text(max_size=20).map(lambda text: f"/{text}") | st.text(max_size=20).map(lambda text: f"http://{text}")
)
def test_any_path_or_url(file: Path, value: str) -> None:
    document = {"publish": {"directory": value, "prometheus_url": value}}
    holds.configuration(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"), file)
    for key in ("directory", "prometheus_url"):
        holds.configuration(json.dumps({"publish": {key: value}}).encode(), file)


@given(
    port=st.integers(0, 65535),
    interval=st.floats(5, 3600),
    timeout=st.floats(0.05, 5),
    enabled=st.booleans(),
    level=st.sampled_from(["debug", "info", "warning", "error"]),
)
def test_what_is_shown_is_what_holds(
    file: Path, port: int, interval: float, timeout: float, enabled: bool, level: str
) -> None:
    config = Config(
        listen_port=port,
        collect_interval=interval,
        collect_timeout=timeout,
        publish_enabled=enabled,
        logging_level=level,
    )
    file.write_text(as_yaml(config))
    assert load(file) == config


@given(seconds=st.floats(0, 1e7) | st.integers(0, 10**7).map(float) | st.integers(0, 10**7).map(lambda n: n / 1000))
def test_durations_are_read_as_they_are_shown(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == seconds


@given(text=st.text(max_size=20) | st.from_regex(r"\A[0-9.]{0,6}(ms|s|m|h|d)?[0-9.]{0,6}(ms|s|m|h|d)?\Z"))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0
    assert parse_duration(show_duration(seconds)) == seconds
