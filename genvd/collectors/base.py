"""What a collector is, and what the GPUs are asked.

A collector knows one kind of outside thing and gives plain facts. It knows no metric.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from genvd.config.schema import Config


QuestionT = TypeVar("QuestionT", contravariant=True)
FactsT = TypeVar("FactsT", covariant=True)


class CollectorError(Exception):
    """The outside does not answer as it should. The text is one line: the thing, the reason, the way out."""

    def __init__(self, text: str, reason: str | None = None, partial: object = None) -> None:
        """Say what is wrong.

        Args:
            text: for people.
            reason: the kind of failure in one word, for metrics.
            partial: facts that hold all the same, in place of the last good ones.
        """
        super().__init__(text)
        self.reason = reason
        self.partial = partial


class Collector(Protocol[QuestionT, FactsT]):
    """One kind of outside thing."""

    @property
    def name(self) -> str:
        """What the collector is called in metrics and in the log."""

    def collect(self, request: QuestionT) -> FactsT:
        """Return what the outside tells now; raise :class:`CollectorError` when it tells nothing usable."""


@dataclass(frozen=True, slots=True)
class DeviceGroups:
    """The switches of monitor.yaml's section ``metrics``: what is off is neither shown nor asked for."""

    device_details: bool = True
    memory_health: bool = True
    nvlink: bool = True
    mig: bool = True
    xid: bool = True
    pcie_throughput: bool = False
    gpm: bool = True


def device_groups(config: Config) -> DeviceGroups:
    """Return what the configuration wants."""
    return DeviceGroups(**{field.name: getattr(config, f"metrics_{field.name}") for field in fields(DeviceGroups)})


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """What a tick wants to know of the GPUs."""

    deadline: float
    """When the answer is wanted, of :func:`time.monotonic`."""
    groups: DeviceGroups = DeviceGroups()
    """What is not wanted is absent in the answer; a collector that can do without asking for it does."""
