"""The signals that the service handles, and waiting for them."""

from __future__ import annotations

import os
import signal

WAKE = signal.SIGUSR1
"""Wakes the main thread of this process. Sent from outside, it has no effect."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, WAKE)


def wake_main_thread() -> None:
    """End the wait of the main thread in :func:`wait_for_signal`."""
    os.kill(os.getpid(), WAKE)


def block_signals() -> None:
    """Block the signals in this thread and in those that it starts; :func:`wait_for_signal` then receives them.

    So no signal interrupts a system call, and no signal handlers are needed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def exit_on_ctrl_c() -> None:
    """Let Ctrl+C end the process at once, unless SIGINT is ignored.

    Python's own handler raises KeyboardInterrupt, which is lost if it happens in a callback during an import.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_signal(seconds: float | None = None) -> signal.Signals | None:
    """Wait for a signal, at most this many seconds; return it, or None after that time."""
    if seconds is None:
        return signal.Signals(signal.sigwait(_SIGNALS))
    caught = signal.sigtimedwait(_SIGNALS, seconds)
    return None if caught is None else signal.Signals(caught.si_signo)
