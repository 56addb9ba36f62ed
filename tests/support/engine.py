"""Servers that answer PromQL over the HTTP API of Prometheus, each as a process of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import quote, urlencode

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from tests.support.monitor import Labels

Vector = dict["Labels", float]
"""What an expression gives at one time: values by labels."""

HOST = "127.0.0.1"
Self = TypeVar("Self", bound="Engine")


@dataclass
class Engine(ABC):
    """A running server. Its output is kept."""

    ready: ClassVar[str] = "/-/ready"
    """The path that it answers with status 200 when it is ready."""

    output: list[str] = field(default_factory=list, kw_only=True)
    port: int = field(default=0, kw_only=True)
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)
    """How to trust it, if its web configuration has a certificate."""
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """What to send with each request, such as a password."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command line."""

    def port_in(self, line: str) -> int:
        """Return the port that a line of its output names, or 0."""
        return self.port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self: Self) -> Self:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._keep_output, daemon=True)
        self._reader.start()
        name = type(self).__name__
        try:
            wait_for(lambda: self.port or self._ended, f"{name} listens, or ended")
            wait_for(lambda: self._ended or self.get(self.ready)[0] == 200, f"{name} is ready, or ended")
            assert not self._ended, f"{name} ended"
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
        data = self.api("query", query=expression, **({} if time is None else {"time": time}))
        if data["resultType"] == "scalar":
            return {frozenset(): float(data["result"][1])}
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in data["result"]}

    def query_range(self, expression: str, start: float, end: float, step: float) -> dict[Labels, list[float]]:
        """Evaluate an expression again and again."""
        data = self.api("query_range", query=expression, start=start, end=end, step=step)
        return {
            frozenset(one["metric"].items()): [float(value) for _, value in one["values"]] for one in data["result"]
        }

    def label_values(self, label: str, selector: str | None = None) -> list[str]:
        """Return the values of a label, of all series or of those selected."""
        values: list[str] = self.api(
            f"label/{quote(label)}/values", **({"match[]": selector} if selector is not None else {})
        )
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules that it has loaded, and how their last evaluation went."""
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or fire, with their labels and annotations."""
        return self.api("alerts")["alerts"] or []

    def api(self, path: str, **parameters: object) -> Any:
        """Return the data of an API request; a refusal is an AssertionError."""
        _, body = self.get(f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(body)
        assert answer["status"] == "success", f"{answer['error']}: {parameters}"
        return answer["data"]

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Return status and body of a request."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        if self.tls:
            connection = http.client.HTTPSConnection(HOST, self.port, timeout=120, context=self.tls)
        try:
            connection.request(method, path, headers=dict(self.headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def _ended(self) -> bool:
        return self.process.poll() is not None

    def _keep_output(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output.append(line)
            self.port = self.port or self.port_in(line)
