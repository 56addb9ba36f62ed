"""Forbids system calls to this process for good, also by their arguments, which a systemd unit cannot (seccomp(2))."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Mapping

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1
"""SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with EPERM."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of bpf(4), and where struct seccomp_data has the number, the architecture and the arguments."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_UPPER_HALF = 4
"""An instruction loads 32 bits. The machines known here have the lower half of an argument first."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h."""

_OTHER_INTERFACE = 0x40000000
"""From this number on, calls of x86-64 have another numbering (x32)."""

_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""Flags of open(2). A temporary file (O_TMPFILE) has to be opened for writing."""

_PROT_EXEC, _ANY = 4, 0xFFFFFFFF

# Numbers on x86-64 and AArch64; None: the architecture does not have the call.
Numbers = tuple[int, int | None]
Masked = tuple[int, int | None, int, int, bool]
"""A call that is forbidden if an argument has any of these bits: its numbers, which argument, the bits, and whether the
upper half of the argument counts too."""

_OPEN: dict[str, Masked] = {
    "open": (2, None, 1, _FOR_WRITING, False),
    "openat": (257, 56, 2, _FOR_WRITING, False),
}
_CHANGES: dict[str, Numbers] = {
    "chmod": (90, None),
    "chown": (92, None),
    "creat": (85, None),
    "fallocate": (285, 47),
    "flock": (73, 32),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "ftruncate": (77, 46),
    "futimesat": (261, None),
    "io_uring_setup": (425, 425),
    "lchown": (94, None),
    "link": (86, None),
    "linkat": (265, 37),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "memfd_create": (319, 279),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "openat2": (437, 437),  # its flags are in memory, which a filter cannot read
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rmdir": (84, None),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "truncate": (76, 45),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
}
_CONNECTIONS: dict[str, Numbers] = {
    "bind": (49, 200),
    "connect": (42, 203),
    "recvmmsg": (299, 243),
    "recvmsg": (47, 212),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "socket": (41, 198),
    "socketpair": (53, 199),
}
"""With those that name an address for one message, or pass descriptors (unix(7))."""
_ADDRESSED: dict[str, Masked] = {"sendto": (44, 206, 4, _ANY, True)}
"""With an address. Without one it is send(2)."""

_EXECUTION: dict[str, Numbers] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "personality": (135, 92),  # READ_IMPLIES_EXEC makes all memory executable
    "shmat": (30, 196),
}
_EXECUTABLE: dict[str, Masked] = {
    "mmap": (9, 222, 2, _PROT_EXEC, False),
    "mprotect": (10, 226, 2, _PROT_EXEC, False),
    "pkey_mprotect": (329, 288, 2, _PROT_EXEC, False),
}


def forbid_writing() -> bool:
    """Forbid to open files for writing, and to change files and other processes; what is open stays writable.

    With CAP_SYS_PTRACE, /proc/PID/root leads to the files and processes of the machine, past all read-only mounts. Only
    the calling thread and those that it starts are restricted.

    Returns:
        whether it is forbidden; False on architectures whose system calls are not known here.

    Raises:
        OSError: the kernel refuses it.
    """
    return _forbid(_CHANGES, _OPEN)


def forbid_connections() -> bool:
    """Forbid new sockets, messages to addresses, and to pass descriptors, for all that :func:`forbid_writing` says.

    Open sockets can accept, send and receive.
    """
    return _forbid(_CONNECTIONS, _ADDRESSED)


def forbid_execution() -> bool:
    """Forbid to execute programs, and to load code, for all that :func:`forbid_writing` says.

    With CAP_SYS_PTRACE, /proc/PID/root leads to every program of the machine, past NoExecPaths=. Modules have to be
    imported before.
    """
    return _forbid(_EXECUTION, _EXECUTABLE)


def _forbid(names: Mapping[str, Numbers], masked: Mapping[str, Masked]) -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    column = list(_ARCHITECTURES).index(machine)
    program = [
        *(_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, _ARCHITECTURES[machine], 1, 0), _step(_RETURN, _REFUSE)),
        *(_step(_LOAD, _NUMBER), _step(_IF_AT_LEAST, _OTHER_INTERFACE, 0, 1), _step(_RETURN, _REFUSE)),
    ]
    for numbers in names.values():
        if (number := numbers[column]) is not None:
            program += [_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, _REFUSE)]
    for *calls, position, bits, both_halves in masked.values():
        if (number := calls[column]) is not None:
            test = []
            for half in (0, _UPPER_HALF)[: 1 + both_halves]:
                load = _step(_LOAD, _ARGUMENTS + 8 * position + half)
                test += [load, _step(_IF_ANY_BIT, bits, 0, 1), _step(_RETURN, _REFUSE)]
            program += [_step(_IF_EQUAL, number, 0, len(test) + 1), *test, _step(_RETURN, _ALLOW)]
    _load([*program, _step(_RETURN, _ALLOW)])
    return True


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction. The last two arguments are how many instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _load(program: list[bytes]) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(b"".join(program))
    described = struct.pack("@HP", len(program), ctypes.addressof(code))  # struct sock_fprog
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, described, 0, 0)):
        if library.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
