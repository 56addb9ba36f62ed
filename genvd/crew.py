"""Threads for what may hang: one does it all, and another one goes on while that one is held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

A = TypeVar("A")

PATIENCE_SECONDS = 0.05
"""After which what waits is begun by another thread: who works may be held up for ever."""

Job = Callable[[], None]
"""It must not raise."""


class Crew:
    """Does jobs in the order in which they come.

    Handing a job to a thread costs more CPU time than most jobs take, and threads that run at the same time get in
    each other's way. So as long as nothing takes long there is one thread.
    """

    def __init__(self, name: str) -> None:
        """Make one without a thread yet.

        Args:
            name: of its threads.
        """
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0  # threads that wait for a job
        self._begun_at = 0.0  # when a job was last begun
        self._closed = False

    def do(self, job: Job) -> None:
        """Have a job done."""
        self._jobs.put(job)
        with self._lock:
            if not self._threads:
                self._hire()

    def wait(self, deadline: float) -> None:
        """Wait until what was to be done is begun and, by one thread, done; until the deadline at most.

        Args:
            deadline: of :func:`time.monotonic`.
        """
        done: SimpleQueue[None] = SimpleQueue()
        self.do(lambda: done.put(None))
        try:
            self.get(done, deadline)
        except Empty:
            return

    def get(self, answers: SimpleQueue[A], deadline: float) -> A:
        """Return what a job puts into a queue.

        Raises:
            Empty: it has put nothing there when the deadline has passed.
        """
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                return answers.get(timeout=min(left, PATIENCE_SECONDS))
            except Empty:
                self._relieve()
                if left <= PATIENCE_SECONDS:
                    raise

    def close(self) -> None:
        """End the threads, each once it has done what it does."""
        self._closed = True
        self._jobs.put(None)

    def _relieve(self) -> None:
        """Have another thread begin with what waits, if those that there are are held up."""
        if not self._jobs.empty() and time.monotonic() - self._begun_at >= PATIENCE_SECONDS:
            with self._lock:
                self._hire()

    def _hire(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while self._stays():
            job = self._jobs.get()
            with self._lock:
                self._free -= 1
                self._begun_at = time.monotonic()
            if job is not None:
                job()

    def _stays(self) -> bool:
        """Tell whether this thread is to wait for a job; not while another one does and there is none."""
        with self._lock:
            if self._closed or (self._free and self._jobs.empty()):
                self._threads -= 1
                return False
            self._free += 1
            return True
