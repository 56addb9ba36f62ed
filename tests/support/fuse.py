"""A file system that does not answer: one file, in FUSE, without any library. It needs root."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEVICE = Path("/dev/fuse")
_MS_NOSUID, _MS_NODEV, _MNT_FORCE, _MNT_DETACH = 2, 4, 1, 2
_LOOKUP, _GETATTR, _OPEN, _READ, _FLUSH, _INIT = 1, 3, 14, 15, 25, 26
"""Operations of include/uapi/linux/fuse.h, whose structures are those below."""
_IN_HEADER, _OUT_HEADER = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ROOT, _FILE = 1, 2
_SIZE = 1 << 20
_BUFFER = 1 << 20


@contextmanager
def silent_file_system(directory: Path) -> Iterator[Path]:
    """Mount it, and return the path of its file, which everybody may open.

    Reading the file, and closing it, waits until the end. So leave this before you wait for the processes that do.
    """
    need(os.geteuid() == 0 and os.access(_DEVICE, os.R_OK | os.W_OK), "needs root and /dev/fuse: mounts a file system")
    directory.mkdir()
    library = ctypes.CDLL(None, use_errno=True)
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if library.mount(b"silent", str(directory).encode(), b"fuse", _MS_NOSUID | _MS_NODEV, options) != 0:
        reason = os.strerror(ctypes.get_errno())
        os.close(device)
        need(False, f"needs to be allowed to mount: {reason}", optional=True)
    server = threading.Thread(target=_serve, args=(device,), daemon=True)
    server.start()
    try:
        yield directory / "file"
    finally:
        for how in (_MNT_FORCE, _MNT_DETACH):  # by force: everybody who waits gets an error
            library.umount2(str(directory).encode(), how)
        server.join()
        os.close(device)


def _serve(device: int) -> None:
    while True:
        try:
            request = os.read(device, _BUFFER)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue
        _, operation, unique, node, *_ = _IN_HEADER.unpack_from(request)
        body = _answer(operation, node)
        if body is not None:
            code = 0
            if isinstance(body, int):
                code, body = -body, b""
            os.write(device, _OUT_HEADER.pack(_OUT_HEADER.size + len(body), code, unique) + body)


def _answer(operation: int, node: int) -> bytes | int | None:
    """Return the answer or an error number; None to be silent."""
    if operation == _INIT:
        return struct.pack("=IIIIHHIIHHI", 7, 31, 1 << 16, 0, 1, 1, 1 << 16, 1, 0, 0, 0) + bytes(24)
    if operation == _LOOKUP:
        return struct.pack("=QQQQII", _FILE, 0, 3600, 3600, 0, 0) + _attributes(_FILE)
    if operation == _GETATTR:
        return struct.pack("=QII", 3600, 0, 0) + _attributes(node)
    if operation == _OPEN:
        return struct.pack("=QII", 1, 0, 0)
    if operation in (_READ, _FLUSH):
        return None
    return errno.ENOSYS


def _attributes(node: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o755
    return _ATTRIBUTES.pack(node, _SIZE, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
