"""The signals that the service acts on, and how it waits for them."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Keep SIGINT, SIGTERM and SIGHUP back until :func:`next_signal`, in this thread and all that it starts.

    Nothing is interrupted half-way, no handler runs at an awkward moment, and waiting takes no wake-ups.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def next_signal() -> signal.Signals:
    """Wait for the next of the signals."""
    return signal.Signals(signal.sigwait(_SIGNALS))
