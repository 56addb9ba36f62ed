"""Determines when environments were created and GPUs attached, whatever genv's files say.

genv writes these times in the time zone of the user's shell, without the zone, and everybody can edit genv's files. So
the monitor uses such a time only if it lies between two bounds; otherwise it uses the nearer bound:

- *Earliest*: the last collection that read the files without this entry. If the entry existed at the monitor's first
  collection: the start of the environment's oldest live process, but not later than this collection. An attachment is
  not older than its environment.
- *Latest*: the first collection that found the entry.

docs/trust.md explains this to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.analysis.restart_state import NO_DEVICE, SavedTime
from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.common.clock import Moment
    from genvd.model.facts import Attachment, EnvironmentRecord, GenvFacts, ProcessFacts
    from genvd.model.snapshot import Environment, Holding

MAX_GONE = 2048
"""Maximum number of entries that are remembered after they disappeared: a state file can be absent for a while."""

MAX_SAVED = 8192
"""Maximum number of times that are saved for the next start of the monitor."""

_TRUNCATED_SECONDS = 1.0
"""genv writes whole seconds."""

_CLOCK_STEP_SECONDS = 60.0
"""A larger change of the clock means that somebody set it; a smaller one that it is being slewed."""

_Key = tuple[str, int, float]
"""Displayed eid, device index or :data:`NO_DEVICE`, and the time in genv's files."""


@dataclass(slots=True)
class _FirstSeen:
    """When an entry can have appeared, in seconds of CLOCK_BOOTTIME."""

    earliest: float
    latest: float
    resolved: float | None = None
    """Unix time in seconds; None before :meth:`resolve` is called."""
    clock_offset: float = 0.0
    """Unix time minus CLOCK_BOOTTIME when :attr:`resolved` was determined."""

    def resolve(self, claimed: float, now: Moment) -> float:
        """Return the Unix time to use. It stays the same until somebody sets the clock."""
        clock_offset = now.unix - now.boot
        if self.resolved is None or abs(clock_offset - self.clock_offset) > _CLOCK_STEP_SECONDS:
            earliest, latest = now.unix_time(self.earliest), now.unix_time(self.latest)
            plausible = earliest - _TRUNCATED_SECONDS <= claimed <= latest
            self.resolved = claimed if plausible else min(max(claimed, earliest), latest)
            self.clock_offset = clock_offset
        return self.resolved


class FirstSeenTracker:
    """Remembers when each environment and attachment was first seen."""

    def __init__(self) -> None:
        self._present: dict[_Key, _FirstSeen] = {}
        self._gone: dict[_Key, _FirstSeen] = {}
        self._restored: dict[_Key, SavedTime] = {}
        self._last_read: float | None = None
        """When the files were last read, in seconds of CLOCK_BOOTTIME."""
        self._claimed: dict[tuple[str, int], float] = {}
        """The time in genv's files, by displayed eid and device index; the first one if there are several."""

    def restore(self, saved: Iterable[SavedTime]) -> None:
        """Continue with the times that :meth:`to_save` returned earlier in the same boot."""
        self._restored = {
            saved_time.key: saved_time for saved_time in saved if saved_time.earliest <= saved_time.latest
        }
        for key in self._restored.keys() & self._present.keys():
            del self._present[key]  # the next update uses the restored time

    def reset(self) -> None:
        """Treat the next update as the first one, because other files are read from now on."""
        self._last_read = None

    def update(
        self, genv: GenvFacts, processes: ProcessFacts, began: Moment, now: Moment, *, fresh: bool = True
    ) -> GenvFacts:
        """Return the content of genv's files with plausible times.

        Args:
            genv: content of the files.
            processes: the processes of the environments.
            began: before the files were read.
            now: after the files were read.
            fresh: False if the files could not be read and ``genv`` is from an earlier collection.
        """
        previous, self._present = self._present, {}
        self._claimed = {}
        environments = tuple(self._with_created(record, processes, previous, now) for record in genv.environments)
        created: dict[str, float] = {}
        for record in environments:
            if record.created is not None:
                created.setdefault(record.eid, now.boot - (now.unix - record.created))
        attachments = tuple(
            self._with_attached(attachment, created.get(attachment.eid), previous, now)
            for attachment in genv.attachments
        )
        self._remember_gone(previous)
        if fresh:
            self._last_read = began.boot
        return genv._replace(environments=environments, attachments=attachments)

    def to_save(self, environments: Iterable[Environment], holdings: Iterable[Holding]) -> tuple[SavedTime, ...]:
        """Return the times of these environments and holdings, for the next start of the monitor."""
        wanted = [(escape_unprintable(environment.eid), NO_DEVICE) for environment in environments]
        wanted += [(escape_unprintable(holding.eid), holding.device_index) for holding in holdings]
        times = []
        for eid, index in wanted[:MAX_SAVED]:
            claimed = self._claimed.get((eid, index))
            seen = None if claimed is None else self._present.get((eid, index, claimed))
            if claimed is not None and seen is not None and seen.resolved is not None:
                bounds = seen.earliest, seen.latest
                times.append(SavedTime(eid, index, claimed, seen.resolved, *bounds, seen.clock_offset))
        return tuple(times)

    def _with_created(
        self, record: EnvironmentRecord, processes: ProcessFacts, previous: Mapping[_Key, _FirstSeen], now: Moment
    ) -> EnvironmentRecord:
        if record.created is None:
            return record
        key = escape_unprintable(record.eid), NO_DEVICE, record.created
        seen = self._find(key, previous) or self._add(key, _oldest_process_start(record, processes), now)
        created = seen.resolve(record.created, now)
        return record if created == record.created else record._replace(created=created, claimed=record.created)

    def _with_attached(
        self, attachment: Attachment, created: float | None, previous: Mapping[_Key, _FirstSeen], now: Moment
    ) -> Attachment:
        if attachment.attached is None:
            return attachment
        key = escape_unprintable(attachment.eid), attachment.device_index, attachment.attached
        seen = self._find(key, previous) or self._add(key, created, now)
        attached = seen.resolve(attachment.attached, now)
        return attachment if attached == attachment.attached else attachment._replace(attached=attached)

    def _find(self, key: _Key, previous: Mapping[_Key, _FirstSeen]) -> _FirstSeen | None:
        """Return an entry that was seen before, and mark it as present; None if it is new."""
        self._claimed.setdefault(key[:2], key[2])
        seen = self._present.get(key) or previous.get(key) or self._gone.pop(key, None)
        if seen is not None:
            self._present[key] = seen
        return seen

    def _add(self, key: _Key, oldest: float | None, now: Moment) -> _FirstSeen:
        """Add an entry that is seen for the first time.

        Args:
            key: the entry.
            oldest: its lower bound in seconds of CLOCK_BOOTTIME if it existed before the monitor started.
            now: this instant.
        """
        restored = self._restored.pop(key, None)
        if restored is not None and restored.latest <= now.boot:
            seen = _FirstSeen(restored.earliest, restored.latest, restored.resolved, restored.clock_offset)
        elif self._last_read is not None:
            seen = _FirstSeen(self._last_read, now.boot)
        else:
            seen = _FirstSeen(now.boot if oldest is None else min(oldest, now.boot), now.boot)
        self._present[key] = seen
        return seen

    def _remember_gone(self, previous: dict[_Key, _FirstSeen]) -> None:
        for key in previous.keys() - self._present.keys():
            self._gone[key] = previous[key]
        while len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]


def _oldest_process_start(record: EnvironmentRecord, processes: ProcessFacts) -> float | None:
    """Return the start of the environment's oldest live process in seconds of CLOCK_BOOTTIME.

    Processes of other users count only if the owner has none, because everybody can write any pid into the record.
    """
    starts = {pid: processes.starts[pid] for pid in record.pids if pid in processes.starts}
    own = [start for pid, start in starts.items() if processes.uids.get(pid) == record.uid]
    kernels = [processes.kernel_starts[kernel] for kernel in record.kernel_ids if kernel in processes.kernel_starts]
    return min([*(own or starts.values()), *kernels], default=None)
