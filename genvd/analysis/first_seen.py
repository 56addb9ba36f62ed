"""When environments were created and devices attached, as far as that can be true.

genv writes the local time of the user's own shell without saying which zone that is, and everybody can write its files.
So a time in them is a claim. It is believed where it lies between two times that the monitor knows:

- *Earliest*: the last collection at which the monitor read the files and it was not there. What was there at the
  monitor's first collection is not older than the oldest live process of the environment, or where none is known or all
  are younger, than that collection; and an attachment is not older than its environment.
- *Latest*: the first collection at which it was there.

Else the nearer one of the two counts. docs/trust.md says the same for users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.common.clock import Moment
    from genvd.model.facts import Attachment, EnvironmentRecord, GenvFacts, ProcessFacts
    from genvd.model.snapshot import Environment, Holding

MAX_GONE = 2048
"""So many that are gone are remembered, as state files may be away for a while and come back as they were."""

MAX_SAVED = 8192
"""So many are kept for the next start of the monitor."""

_TRUNCATED_SECONDS = 1.0
"""genv writes whole seconds."""

_STEP_SECONDS = 60.0
"""By more than that the clock was set since a time was found; less is the clock being slewed."""

NO_DEVICE = -1
"""In the place of the index of a device: the environment itself."""

Key = tuple[str, int, float]
"""The identifier of the environment as it is shown, the index of the device, and the time that genv's files say."""


@dataclass(frozen=True, slots=True)
class SavedTime:
    """A time that was found, for the next start of the monitor in the same boot of the machine.

    With the bounds by a clock that nobody sets, as the clock of the machine may be set meanwhile.
    """

    eid: str
    device_index: int
    """:data:`NO_DEVICE` for the creation of the environment, else of the attachment."""
    claimed: float
    """Unix time in seconds, as genv's files say."""
    found: float
    """Unix time in seconds."""
    earliest: float
    """Seconds of CLOCK_BOOTTIME, as the next."""
    latest: float
    clock: float
    """What the clock of the machine was ahead of CLOCK_BOOTTIME when it was found, in seconds."""

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.eid, self.device_index, self.claimed


@dataclass(slots=True)
class _Sighting:
    earliest: float
    """Seconds of CLOCK_BOOTTIME, as the next."""
    latest: float
    found: float | None = None
    """Unix time in seconds; None while it has to be found."""
    clock: float = 0.0
    """What the clock of the machine was ahead of CLOCK_BOOTTIME then, in seconds."""

    def time(self, claimed: float, now: Moment) -> float:
        """Return the Unix time that counts; the same one as long as the clock is not set."""
        clock = now.unix - now.boot
        if self.found is None or abs(clock - self.clock) > _STEP_SECONDS:
            earliest, latest = now.unix_time(self.earliest), now.unix_time(self.latest)
            believed = earliest - _TRUNCATED_SECONDS <= claimed <= latest
            self.found, self.clock = claimed if believed else min(max(claimed, earliest), latest), clock
        return self.found


class FirstSeenTracker:
    """Remembers when each environment and attachment was seen first."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Sighting] = {}
        self._gone: dict[Key, _Sighting] = {}
        self._kept: dict[Key, SavedTime] = {}
        self._last: float | None = None
        """When the files were last read, in seconds of CLOCK_BOOTTIME; None before the first time."""
        self._claims: dict[tuple[str, int], float] = {}

    def restore(self, kept: Iterable[SavedTime]) -> None:
        """Take in what was found before the monitor was started, in this boot of the machine."""
        self._kept = {one.key: one for one in kept if one.earliest <= one.latest}
        for key in self._kept.keys() & self._seen.keys():
            del self._seen[key]  # it is found again, with what is known now

    def reset(self) -> None:
        """Take what is there at the next time for what was there before, as where other files are read."""
        self._last = None

    def update(
        self, genv: GenvFacts, processes: ProcessFacts, began: Moment, now: Moment, *, fresh: bool = True
    ) -> GenvFacts:
        """Return what genv's files say, with times that can be true.

        Args:
            genv: what they say.
            processes: those of the environments.
            began: before the files were read.
            now: after that.
            fresh: whether they were read now; what was read before does not tell what is not there.
        """
        before, self._seen = self._seen, {}
        self._claims = {}
        environments = tuple(self._environment(record, processes, before, now) for record in genv.environments)
        created: dict[str, float] = {}
        for record in environments:
            if record.created is not None:
                created.setdefault(record.eid, now.boot - (now.unix - record.created))
        attachments = tuple(self._attachment(one, created.get(one.eid), before, now) for one in genv.attachments)
        self._remember_gone(before)
        if fresh:
            self._last = began.boot
        return replace(genv, environments=environments, attachments=attachments)

    def to_save(self, environments: Iterable[Environment], holdings: Iterable[Holding]) -> tuple[SavedTime, ...]:
        """Return what the next start of the monitor should know of these."""
        environments = tuple(environments)
        places = [(escape_unprintable(one.eid), NO_DEVICE) for one in environments]
        places += [(escape_unprintable(one.eid), one.device_index) for one in holdings]
        found = []
        for eid, index in places[:MAX_SAVED]:
            claimed = self._claims.get((eid, index))
            sighting = None if claimed is None else self._seen.get((eid, index, claimed))
            if claimed is not None and sighting is not None and sighting.found is not None:
                bounds = sighting.earliest, sighting.latest
                found.append(SavedTime(eid, index, claimed, sighting.found, *bounds, sighting.clock))
        return tuple(found)

    def _environment(
        self, record: EnvironmentRecord, processes: ProcessFacts, before: Mapping[Key, _Sighting], now: Moment
    ) -> EnvironmentRecord:
        if record.created is None:
            return record
        key = escape_unprintable(record.eid), NO_DEVICE, record.created
        sighting = self._sighting(key, before)
        if sighting is None:
            sighting = self._first_sight(key, _oldest(record, processes), now)
        found = sighting.time(record.created, now)
        return record if found == record.created else replace(record, created=found, claimed=record.created)

    def _attachment(
        self, attachment: Attachment, created: float | None, before: Mapping[Key, _Sighting], now: Moment
    ) -> Attachment:
        if attachment.attached is None:
            return attachment
        key = escape_unprintable(attachment.eid), attachment.device_index, attachment.attached
        sighting = self._sighting(key, before) or self._first_sight(key, created, now)
        found = sighting.time(attachment.attached, now)
        return attachment if found == attachment.attached else replace(attachment, attached=found)

    def _sighting(self, key: Key, before: Mapping[Key, _Sighting]) -> _Sighting | None:
        """Return what is known of it, which counts as seen."""
        self._claims.setdefault(key[:2], key[2])
        sighting = self._seen.get(key) or before.get(key) or self._gone.pop(key, None)
        if sighting is not None:
            self._seen[key] = sighting
        return sighting

    def _first_sight(self, key: Key, oldest: float | None, now: Moment) -> _Sighting:
        """Return what is known of one that is there for the first time.

        Args:
            key: what it is.
            oldest: since when it may have been there if it was there before the monitor, by CLOCK_BOOTTIME.
            now: this instant.
        """
        kept = self._kept.pop(key, None)
        if kept is not None and kept.latest <= now.boot:
            sighting = _Sighting(kept.earliest, kept.latest, kept.found, kept.clock)
        elif self._last is not None:
            sighting = _Sighting(self._last, now.boot)
        else:
            sighting = _Sighting(now.boot if oldest is None else min(oldest, now.boot), now.boot)
        self._seen[key] = sighting
        return sighting

    def _remember_gone(self, before: dict[Key, _Sighting]) -> None:
        for key in before.keys() - self._seen.keys():
            self._gone[key] = before[key]
        while len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]


def _oldest(record: EnvironmentRecord, processes: ProcessFacts) -> float | None:
    """Return when the oldest live process of the environment started, in seconds of CLOCK_BOOTTIME.

    Those of its owner count, unless there are none: anybody can write the number of a process into the record.
    """
    starts = {pid: processes.starts[pid] for pid in record.pids if pid in processes.starts}
    own = [start for pid, start in starts.items() if processes.uids.get(pid) == record.uid]
    kernels = [processes.kernel_starts[one] for one in record.kernel_ids if one in processes.kernel_starts]
    return min([*(own or starts.values()), *kernels], default=None)
