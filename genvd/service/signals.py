"""The signals that the service acts on, and how it waits for them."""

from __future__ import annotations

import os
import signal

WAKE = signal.SIGUSR1
"""A thread of this process tells the main thread that it has something to do; from outside it does nothing."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, WAKE)


def wake_main_thread() -> None:
    """End the wait of the main thread in :func:`next_signal`."""
    os.kill(os.getpid(), WAKE)


def hold_signals() -> None:
    """Keep SIGINT, SIGTERM, SIGHUP and SIGUSR1 back until :func:`next_signal`, in this thread and all that it starts.

    Nothing is interrupted half-way, no handler runs at an awkward moment, and waiting takes no wake-ups.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def end_when_interrupted() -> None:
    """Let Ctrl+C end the process at once, unless it is ignored.

    Python's own handler raises in whatever runs just then. In a callback of an import that is lost, with a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def next_signal(seconds: float | None = None) -> signal.Signals | None:
    """Wait for the next of the signals, at most so many seconds; return None when they are over."""
    if seconds is None:
        return signal.Signals(signal.sigwait(_SIGNALS))
    caught = signal.sigtimedwait(_SIGNALS, seconds)
    return None if caught is None else signal.Signals(caught.si_signo)
