"""A real Prometheus as a process of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.support import debian
from tests.support.engine import HOST, Engine, Vector
from tests.support.needs import need_localhost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Prometheus", "Vector", "each_second"]

_LISTENING = re.compile(r'msg="Listening on" address=\S+:(\d+)')


@dataclass
class Prometheus(Engine):
    """A running Prometheus, on a port that is free. Its output is kept."""

    config: Path
    data: Path
    """Directory for its database; made if it is missing."""
    options: Sequence[str] = ()
    """Further options of the command line."""

    def command(self) -> Sequence[str]:
        """Return the command line."""
        if "localhost:" in self.config.read_text(encoding="utf-8"):
            need_localhost()
        return (
            debian.program("prometheus", "prometheus"),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={HOST}:0",
            *self.options,
        )

    def port_in(self, line: str) -> int:
        """Return the port that a line of its output names, or 0."""
        match = _LISTENING.search(line)
        return int(match[1]) if match else 0

    def targets(self) -> list[dict[str, Any]]:
        """Return what it scrapes, and how that goes."""
        active: list[dict[str, Any]] = self.api("targets")["activeTargets"]
        return active

    def metadata(self, family: str) -> list[dict[str, str]]:
        """Return what each target said about a metric family: its type and help."""
        found: list[dict[str, str]] = self.api("targets/metadata", metric=family)
        return found


def each_second(published: Path, targets: Sequence[str] = (), labels: Mapping[str, str] | None = None) -> Path:
    """Copy a published prometheus.yml and its rules, with all intervals shortened to one second.

    Args:
        published: the file. The copies are beside it.
        targets: what to scrape in place of its own target.
        labels: labels of these targets.
    """
    content = yaml.safe_load(published.read_text(encoding="utf-8"))
    content["global"].update(scrape_interval="1s", evaluation_interval="1s")
    if targets:
        content["scrape_configs"][0]["static_configs"] = [{"targets": list(targets), "labels": dict(labels or {})}]
    rules = published.with_name("rules-each-second")
    rules.mkdir(exist_ok=True)
    for path in [one for pattern in content["rule_files"] for one in published.parent.glob(pattern)]:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in loaded["groups"]:
            group.pop("interval", None)
        (rules / path.name).write_text(yaml.safe_dump(loaded), encoding="utf-8")
    content["rule_files"] = [f"{rules.name}/*.yml"]
    copy = published.with_name("each-second.yml")
    copy.write_text(yaml.safe_dump(content), encoding="utf-8")
    return copy
