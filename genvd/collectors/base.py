"""The interface of all collectors, and the request to the GPU collector.

A collector reads one outside system, such as the driver or /proc, and returns plain facts. It knows nothing of metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from genvd.config.schema import Config


RequestT = TypeVar("RequestT", contravariant=True)
FactsT = TypeVar("FactsT", covariant=True)

_ROUNDING_ERROR = 1e-9
"""Of a quotient: 0.6 / 0.2 is less than 3."""


class CollectorError(Exception):
    """A collector could not get its facts. The message is one line: the thing, the reason, the way out."""

    def __init__(self, text: str, reason: str | None = None, partial: object = None) -> None:
        """Create an error.

        Args:
            text: the message for people.
            reason: the kind of failure in one word, for metrics.
            partial: facts that are valid although the collector failed. They replace the last good ones.
        """
        super().__init__(text)
        self.reason = reason
        self.partial = partial


class Collector(Protocol[RequestT, FactsT]):
    """Reads one outside system."""

    @property
    def name(self) -> str:
        """The name of the collector in metrics and in the log."""

    def collect(self, request: RequestT) -> FactsT:
        """Return the current facts; raise :class:`CollectorError` if there are none."""


class DeviceGroups(NamedTuple):
    """Which groups of GPU metrics the section ``metrics`` of the configuration enables."""

    device_details: bool = True
    memory_health: bool = True
    nvlink: bool = True
    mig: bool = True
    xid: bool = True
    pcie_throughput: bool = False
    gpm: bool = True


def device_groups(config: Config) -> DeviceGroups:
    """Return the groups that the configuration enables."""
    return DeviceGroups(**{name: getattr(config, f"metrics_{name}") for name in DeviceGroups._fields})


class GroupPeriods(NamedTuple):
    """In how many collections each group of GPU values that hardly change is read once."""

    device_details: int = 1
    """Only its settings and error counts; the others are read in each collection."""
    memory_health: int = 1
    nvlink: int = 1
    """Without the bytes of each link, which are read in each collection."""


def group_periods(config: Config) -> GroupPeriods:
    """Return the intervals of the configuration as numbers of collections, rounded down, so that none gets longer."""

    def period(interval: float) -> int:
        return max(1, int(interval / config.collect_interval + _ROUNDING_ERROR))

    return GroupPeriods(
        device_details=period(config.collect_device_details_interval),
        memory_health=period(config.collect_memory_health_interval),
        nvlink=period(config.collect_nvlink_interval),
    )


class GpuRequest(NamedTuple):
    """What to collect from the GPUs."""

    deadline: float
    """When the facts must be returned, as a time of :func:`time.monotonic`."""
    groups: DeviceGroups = DeviceGroups()
    """Values of disabled groups are absent from the facts. Where possible, they are not even read."""
    number: int = 0
    """The number of the collection since the start. Those that were skipped count too."""
    periods: GroupPeriods = GroupPeriods()
