"""Gives up capabilities (capabilities(7)) of this process for good, through the C library."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pwd import struct_passwd

CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_SYS_PTRACE = 2, 10, 19
"""From include/uapi/linux/capability.h."""

READ_PROCESSES = CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE
"""What reading /proc/PID/environ of other users needs (proc_pid_environ(5))."""

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
"""From include/uapi/linux/prctl.h."""

_SETS = struct.Struct("=6I")
"""The effective, permitted and inheritable set: the lower 32 bits of each, then the upper ones (capget(2))."""

_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""_LINUX_CAPABILITY_VERSION_3, with 64 bits for each set, and this thread."""


def give_up(keep: Collection[int] = (), account: struct_passwd | None = None) -> None:
    """Give up capabilities and the user, also for programs that this process executes.

    This holds for the calling thread only, so call it before others start. Capabilities that the process does not have
    are not gained.

    Args:
        keep: the numbers of the capabilities to keep. A change of the user ends them as well.
        account: the user to become; None to stay the same one.

    Raises:
        OSError: the kernel refuses it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    _check(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    number = 0
    while (present := library.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:  # an error after the last one
        if present and number not in keep:
            library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # may fail: without new privileges it has no effect
        number += 1
    if account is not None:
        os.setgroups([account.pw_gid])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    low, high = _permitted(library)
    mask = sum(1 << capability for capability in keep)
    low, high = low & mask, high & mask >> 32
    _check(library.capset(_HEADER, _SETS.pack(low, low, 0, high, high, 0)))


def has(wanted: Collection[int]) -> bool:
    """Return whether this process has all these capabilities."""
    low, high = _permitted(ctypes.CDLL(None, use_errno=True))
    permitted = low | high << 32
    return all(permitted & 1 << capability for capability in wanted)


def _permitted(library: ctypes.CDLL) -> tuple[int, int]:
    """Return the permitted capabilities: the lower and the upper 32 bits."""
    sets = ctypes.create_string_buffer(_SETS.size)
    _check(library.capget(_HEADER, sets))
    _, low, _, _, high, _ = _SETS.unpack(sets.raw)
    return low, high


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
