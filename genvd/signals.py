"""The signals that the service acts on, and how it waits for them."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Keep SIGINT, SIGTERM and SIGHUP back until :func:`next_signal`, in this thread and all that it starts.

    Nothing is interrupted half-way, no handler runs at an awkward moment, and waiting takes no wake-ups.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def next_signal(seconds: float | None = None) -> signal.Signals | None:
    """Wait for the next of the signals, at most so many seconds; return None when they are over."""
    if seconds is None:
        return signal.Signals(signal.sigwait(_SIGNALS))
    caught = signal.sigtimedwait(_SIGNALS, seconds)
    return None if caught is None else signal.Signals(caught.si_signo)
