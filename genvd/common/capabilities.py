"""Gives up capabilities (capabilities(7)) of this process for good, through the C library."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE = 2, 19
"""From include/uapi/linux/capability.h."""

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
"""From include/uapi/linux/prctl.h."""

_VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: 64 bits for each set."""


def keep_only(wanted: Collection[int]) -> None:
    """Give up all other capabilities, also for programs that this process executes.

    This holds for the calling thread only, so call it before others start. Capabilities that the process does not have
    are not gained.

    Args:
        wanted: the numbers of the capabilities to keep.

    Raises:
        OSError: the kernel refuses it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    _check(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    number = 0
    while (present := library.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:  # an error after the last one
        if present and number not in wanted:  # needs CAP_SETPCAP, as root has it
            _check(library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
        number += 1
    header = struct.pack("=Ii", _VERSION, 0)
    sets = ctypes.create_string_buffer(2 * struct.calcsize("=3I"))  # effective, permitted, inheritable: twice 32 bits
    _check(library.capget(header, sets))
    keep = sum(1 << capability for capability in wanted)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    old = struct.unpack("=6I", sets.raw)
    permitted = old[1] & low, old[4] & high
    new = struct.pack("=6I", permitted[0], permitted[0], 0, permitted[1], permitted[1], 0)
    _check(library.capset(header, new))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
