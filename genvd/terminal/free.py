"""``genv-monitor free``: prints which GPUs are free, in one line for scripts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from genvd.analysis.availability import availability
from genvd.common.error_log import ErrorLog
from genvd.common.output import CommandError, write_output
from genvd.common.text import gpus
from genvd.terminal.http_client import ServiceError
from genvd.terminal.source import connect
from genvd.terminal.values import is_stale

if TYPE_CHECKING:
    from genvd.config.schema import Config
    from genvd.terminal.client import TimedSnapshot
    from genvd.terminal.source import Connection, SourceOptions

log = logging.getLogger(__name__)

_SERVICE = "service"
"""Key of the error log."""


class NotKnownError(CommandError):
    """It is not known whether a GPU is free."""


def run(config: Config, options: SourceOptions, wait_seconds: float | None) -> bool:
    """Print the indices of the free GPUs, separated by commas; return whether there are any.

    Args:
        config: the configuration.
        options: where the data comes from, and how often to ask for it.
        wait_seconds: how long to wait until a GPU is free; None to look only once.

    Raises:
        NotKnownError: there is no data, or none is known to be free and not all are known to be taken.
        OutputError: standard output cannot be written.
    """
    try:
        connection = connect(config, options)
    except ServiceError as error:
        raise NotKnownError(str(error)) from None
    timed = _wait(connection, options.interval, time.monotonic() + (wait_seconds or 0.0))
    free = free_gpus(timed)
    if free:
        write_output(f"{','.join(map(str, free))}\n".encode())
    elif unknown := why_not_known(timed):
        raise NotKnownError(unknown)
    return bool(free)


def _wait(connection: Connection, interval: float, deadline: float) -> TimedSnapshot:
    """Return the first Snapshot with a free GPU, or the last one before the deadline.

    A service that does not answer for a while, as during a restart, is asked again.
    """
    errors = ErrorLog(log)
    timed = connection.first
    while not free_gpus(timed) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(interval, left))
        try:
            timed = connection.source.fetch()
        except ServiceError as error:
            errors.report(_SERVICE, f"{error}; still waiting")
        else:
            errors.clear(_SERVICE, "the service answers again")
    if errors.active:
        raise NotKnownError("the service no longer answers, so it is not known whether a GPU is free")
    return timed


def free_gpus(timed: TimedSnapshot) -> tuple[int, ...]:
    """Return the indices of the GPUs that are known to be free; none if the data is too old."""
    if _is_old(timed):
        return ()
    return tuple(gpu.index for gpu in availability(timed.snapshot) or () if gpu.state == "free")


def why_not_known(timed: TimedSnapshot) -> str | None:
    """Return why it is not known whether a GPU is free, in one line; None if it is known of all."""
    if _is_old(timed):
        return "the data of the service is too old to say which GPUs are free; see 'journalctl -u genv-monitor'"
    states = availability(timed.snapshot)
    advice = "'genv-monitor top' shows the problems of the machine"
    if states is None:
        return f"it is not known which GPUs are free, as the GPUs are not known; {advice}"
    unknown = [gpu.index for gpu in states if gpu.state == "unknown"]
    if not unknown:
        return None
    verb = "is" if len(unknown) == 1 else "are"
    return f"it is not known whether {gpus(unknown)} {verb} free; {advice}"


def _is_old(timed: TimedSnapshot) -> bool:
    return is_stale(timed.snapshot.timestamp, timed.snapshot.service.interval_seconds, timed.now)
