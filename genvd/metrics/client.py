"""What the releases of prometheus-client do not have in common, from 0.9 (Ubuntu 22.04) on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
else:
    try:
        from prometheus_client.registry import Collector
    except ImportError:  # up to 0.13, where anything with a method ``collect`` is one

        class Collector:
            """Something with a method ``collect``."""


__all__ = ["Collector"]
