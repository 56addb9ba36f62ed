"""Waiting for a condition, with a deadline. Never for a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds; the test machine may be busy with something else."""


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Return the first result of the condition that is true; fail when the time is over."""
    deadline = time.monotonic() + seconds
    last: BaseException | None = None
    while time.monotonic() < deadline:
        try:
            result = condition()
        except (OSError, AssertionError) as error:
            result, last = None, error
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"after {seconds:g} s still not: {what}" + (f" ({last!r})" if last else ""))
