"""A thread for what takes too long for the thread that serves everybody."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from http import HTTPStatus
from typing import TYPE_CHECKING

from genvd.error_log import ErrorLog
from genvd.web.response import Job, problem

if TYPE_CHECKING:
    from genvd.web.connection import Connection
    from genvd.web.response import Response

log = logging.getLogger(__name__)

Deliver = Callable[["Connection", "Response"], None]

Post = Callable[["Connection", Callable[["Connection"], None]], None]
"""Has something done with a connection by the thread that serves it; the other threads call this."""

MOST_JOBS = 32
"""That wait. Each tick has but a handful of things to render, so this is never reached unless rendering hangs."""


class Renderer:
    """Does jobs one after the other, in a thread that begins with the first one."""

    def __init__(self, post: Post) -> None:
        """Make one that has nothing to do, which gives what it did to ``post``."""
        self._post = post
        self._jobs: deque[Job] = deque()
        self._waiting: dict[Hashable, list[tuple[Connection, Deliver]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._errors = ErrorLog(log)  # of its thread

    def do(self, job: Job, connection: Connection, deliver: Deliver) -> None:
        """Have a job done and its response delivered; who asks for what is being done already waits with the others."""
        with self._changed:
            if job.key in self._waiting:
                self._waiting[job.key].append((connection, deliver))
                return
            if len(self._jobs) < MOST_JOBS:
                self._waiting[job.key] = [(connection, deliver)]
                self._jobs.append(job)
                self._start()
                self._changed.notify()
                return
        deliver(connection, problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too much to render. Ask again in a moment."))

    def stop(self) -> None:
        """Begin no further job."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            response = self._response(job)
            with self._changed:
                waiting = self._waiting.pop(job.key)
            for connection, deliver in waiting:
                self._post(connection, _delivery(deliver, response))

    def _next(self) -> Job | None:
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            return None if self._stopping else self._jobs.popleft()

    def _response(self, job: Job) -> Response:
        try:
            response = job.make()
        except Exception as error:
            self._errors.defect("rendering", "rendering a page", error)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._errors.clear("rendering", "pages are rendered again")
        return response


def _delivery(deliver: Deliver, response: Response) -> Callable[[Connection], None]:
    return lambda connection: deliver(connection, response)
