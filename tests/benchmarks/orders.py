"""The other side of :mod:`tests.benchmarks.subject`: how a subject takes its orders. It imports next to nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Order = Callable[[int], "dict[str, Any] | None"]


def tell(**answer: object) -> None:
    """Answer."""
    print(json.dumps(answer), flush=True)


def obey(orders: Mapping[str, Order], **hello: object) -> None:
    """Say that it is ready, and do what is ordered until nobody orders any more."""
    tell(**hello)
    for line in sys.stdin:
        name, times = line.split()
        tell(**(orders[name](int(times)) or {}))
