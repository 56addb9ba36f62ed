"""A real Prometheus as a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import yaml

from tests.support import debian
from tests.support.needs import need_localhost
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.monitor import Labels

Vector = dict["Labels", float]
"""What an expression gives at one time: values by labels."""

_HOST = "127.0.0.1"
_LISTENING = re.compile(r'msg="Listening on" address=\S+:(\d+)')


@dataclass
class Prometheus:
    """A running Prometheus, on a port that is free. Its output is kept."""

    config: Path
    data: Path
    """Directory for its database; made if it is missing."""
    output: list[str] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Prometheus:
        if "localhost:" in self.config.read_text(encoding="utf-8"):
            need_localhost()
        command = (
            debian.program("prometheus", "prometheus"),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={_HOST}:0",
        )
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._keep_output, daemon=True)
        self._reader.start()
        try:
            wait_for(lambda: self.port or self.process.poll() is not None, "Prometheus listens, or ended")
            assert self.port, "Prometheus ended"
            wait_for(lambda: self._get("/-/ready")[0] == 200, "Prometheus is ready")
        except AssertionError as error:
            self.__exit__()
            raise AssertionError(f"{error}:\n{''.join(self.output)}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        if self.process.stderr:
            self.process.stderr.close()

    def query(self, expression: str, time: float | None = None) -> Vector:
        """Evaluate an expression, at a time or now."""
        data = self._api("query", query=expression, **({} if time is None else {"time": time}))
        if data["resultType"] == "scalar":
            return {frozenset(): float(data["result"][1])}
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in data["result"]}

    def query_range(self, expression: str, start: float, end: float, step: float) -> dict[Labels, list[float]]:
        """Evaluate an expression again and again."""
        data = self._api("query_range", query=expression, start=start, end=end, step=step)
        return {
            frozenset(one["metric"].items()): [float(value) for _, value in one["values"]] for one in data["result"]
        }

    def label_values(self, label: str, selector: str | None = None) -> list[str]:
        """Return the values of a label, of all series or of those selected."""
        values: list[str] = self._api(
            f"label/{quote(label)}/values", **({"match[]": selector} if selector is not None else {})
        )
        return values

    def targets(self) -> list[dict[str, Any]]:
        """Return what it scrapes, and how that goes."""
        active: list[dict[str, Any]] = self._api("targets")["activeTargets"]
        return active

    def metadata(self, family: str) -> list[dict[str, str]]:
        """Return what each target said about a metric family: its type and help."""
        found: list[dict[str, str]] = self._api("targets/metadata", metric=family)
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules that it has loaded, and how their last evaluation went."""
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or fire, with their labels and annotations."""
        active: list[dict[str, Any]] = self._api("alerts")["alerts"]
        return active

    def _api(self, path: str, **parameters: object) -> Any:
        _, body = self._get(f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(body)
        assert answer["status"] == "success", f"{answer['error']}: {parameters}"
        return answer["data"]

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _keep_output(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output.append(line)
            if match := _LISTENING.search(line):
                self.port = int(match[1])


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
