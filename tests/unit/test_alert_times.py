"""The section ``alerts``: times of the published rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genvd.config.loader import ConfigError, load
from genvd.config.schema import Config
from genvd.publish.alert_times import duration, in_words, with_times
from tests.support import rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alerts: {idle_after: 0s}", "alerts.idle_after: '0s' is wrong; expected a duration from 1s to 30d"),
        (
            "idle: {grace: 10m}\nalerts: {idle_after: 5m}",
            ":1: idle.grace: 10m is longer than alerts.idle_after; expected at most 5m",
        ),
        ("alerts: {idle_afer: 1h}", "alerts.idle_afer: unknown key; did you mean idle_after?"),
    ],
)
def test_what_is_no_time(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert expected in caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "grace", "idle_after"),
    [
        ("alerts: {idle_after: 5m}", 300, 300),
        ("alerts: {idle_after: 1d}", 600, 86400),
        ("idle: {grace: 4h}", 14400, 14400),
        ("idle: {grace: 1m}", 60, 7200),
        ("idle: {grace: 5m}\nalerts: {idle_after: 5m}", 300, 300),
    ],
)
def test_nobody_is_told_of_what_is_shown_as_in_use(tmp_path: Path, text: str, grace: float, idle_after: float) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(text)
    config = load(file)
    assert (config.idle_grace, config.alerts_idle_after) == (grace, idle_after)


@pytest.mark.parametrize(
    ("seconds", "short", "words"),
    [
        (7200, "2h", "2 hours"),
        (5400, "1h30m", "1 hour and 30 minutes"),
        (1.5, "1s500ms", "1 second and 500 milliseconds"),
        (90061, "1d1h1m1s", "1 day, 1 hour, 1 minute and 1 second"),
        (0, "0s", "0 seconds"),
    ],
)
def test_forms_of_a_time(seconds: float, short: str, words: str) -> None:
    assert (duration(seconds), in_words(seconds)) == (short, words)


@pytest.mark.parametrize("path", rules.files(), ids=lambda path: path.stem)
def test_each_time_in_the_rules_is_that_of_the_configuration(path: Path) -> None:
    text = path.read_text()
    assert with_times(text, Config()) == text
    marked = [line for line in text.splitlines() if "  # alerts." in line or "  # notify." in line]
    fields: dict[str, Any] = {name: 12_345.0 for name in Config.__dataclass_fields__ if name.startswith("alerts_")}
    other = Config(**fields)
    changed = with_times(text, other).splitlines()
    for before, after in zip(text.splitlines(), changed, strict=True):
        assert (before != after) == (before in marked and "# notify." not in before), before
        if before != after:
            assert any(form in after for form in ("3h25m45s", "3 hours, 25 minutes and 45 seconds", "12345")), after
