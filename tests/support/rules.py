"""The published recording and alert rules, for tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY = Path(__file__).resolve().parents[2] / "genvd/publish/files/prometheus/rules"

_STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING}|%q)"
_SELECTOR = re.compile(rf"\b(genv_\w+|up)\b(\{{(?:\s*{_MATCHER}\s*,?)*\}})?")


@dataclass(frozen=True)
class Selector:
    """A selection of series in an expression."""

    metric: str
    text: str
    """As written in the expression."""

    @property
    def matchers(self) -> dict[str, str]:
        """Return the values of its label matchers."""
        return {label: value.strip('"') for label, _, value in re.findall(_MATCHER, self.text)}


def files() -> list[Path]:
    """Return the paths of the rule files, also of the one that not every configuration publishes."""
    return [*sorted(DIRECTORY.glob("*.yml")), DIRECTORY.parent / "genv-alerts-notify.yml"]


def rules_of(path: Path) -> list[dict[str, Any]]:
    """Return the rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def always_published() -> list[dict[str, Any]]:
    """Return the rules that are published whatever the configuration is."""
    return [rule for path in DIRECTORY.glob("*.yml") for rule in rules_of(path)]


def rules(kind: str) -> list[dict[str, Any]]:
    """Return the rules of a kind, ``record`` or ``alert``, of all files."""
    return [rule for path in files() for rule in rules_of(path) if kind in rule]


def expressions() -> list[str]:
    """Return every expression: those of rules, and the queries in annotations."""
    annotations = (text for rule in rules("alert") for text in rule["annotations"].values() if "query (" in text)
    return [rule["expr"] for kind in ("record", "alert") for rule in rules(kind)] + list(annotations)


def selectors(expression: str) -> Iterator[Selector]:
    """Yield the selectors of an expression."""
    for match in _SELECTOR.finditer(expression):
        yield Selector(match[1], match[0])
