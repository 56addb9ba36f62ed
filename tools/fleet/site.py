"""Serves all machines on one port, each at its own path, and writes a file_sd file for Prometheus.

The labels of that file set path and name of each machine, so that the published configuration works unchanged. As with
the real monitor a scrape only copies bytes: one thread collects on one machine after the other.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from genvd.metrics.exposition import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tools.fleet.machines import SimulatedMachine


def name_of(number: int) -> str:
    """Return the label instance of a machine."""
    return f"gpu{number:04d}:8000"


def write_targets(file: Path, port: int, numbers: range) -> None:
    """Write the file_sd file of these machines."""
    groups = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name_of(one), "__metrics_path__": f"/{one}/metrics"}}
        for one in numbers
    ]
    file.write_text(json.dumps(groups, indent=1))


class CollectionLoop:
    """A thread that collects on one machine after the other, each once in an interval if the CPU suffices."""

    def __init__(self, machines: Sequence[SimulatedMachine], interval: float) -> None:
        """Collect on each machine once.

        Args:
            machines: the machines in order.
            interval: seconds between two collections on a machine.
        """
        self._machines = machines
        self._pause = interval / len(machines)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.bodies = [_collected(machine) for machine in machines]
        """The body of a scrape of each machine."""

    def __enter__(self) -> CollectionLoop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        for number in itertools.cycle(range(len(self._machines))):
            due = max(due + self._pause, time.monotonic() - self._pause)
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            self.bodies[number] = _collected(self._machines[number])


def _collected(machine: SimulatedMachine) -> bytes:
    return machine.exposition(machine.collect())


@contextmanager
def served(bodies: Sequence[bytes]) -> Iterator[int]:
    """Serve the bodies on a free port, and yield the port."""

    class Handler(BaseHTTPRequestHandler):
        """Answers scrapes, without gzip, which would only cost CPU time on one machine."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            body = bodies[int(self.path.split("/")[1])]
            self.send_response(200)
            self.send_header("Content-Type", TEXT.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        """A server that accepts many connections at once."""

        daemon_threads = True
        request_queue_size = 1024

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignore closed connections, as Prometheus counts failed scrapes."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
