"""What the keys that people press are for."""

from __future__ import annotations

import re
from enum import Enum, auto


class Key(Enum):
    """Something that the user wants."""

    QUIT = auto()
    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    HOME = auto()
    END = auto()
    HELP = auto()


HELP = "q quits; j k arrows: a line; space b PgDn PgUp: a page; g G Home End: the ends"
"""All keys, in one line of the usual terminal."""

# With escapes as xterm and the Linux console send them (console_codes(4)).
_KEYS = {
    Key.QUIT: (b"q", b"Q", b"\x03", b"\x04"),
    Key.UP: (b"k", b"\x1b[A", b"\x1bOA"),
    Key.DOWN: (b"j", b"\r", b"\n", b"\x1b[B", b"\x1bOB"),
    Key.PAGE_UP: (b"b", b"\x1b[5~"),
    Key.PAGE_DOWN: (b" ", b"f", b"\x1b[6~"),
    Key.HOME: (b"g", b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x1b[7~"),
    Key.END: (b"G", b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x1b[8~"),
    Key.HELP: (b"?", b"h"),
}
_BY_BYTES = {sent: key for key, several in _KEYS.items() for sent in several}
_SENT = re.compile(rb"\x1b\[[0-9;]*[@-~]|\x1bO[@-~]|.", re.DOTALL)


def pressed(typed: bytes) -> list[Key]:
    """Return the keys of what a terminal sent, without those that are for nothing."""
    return [_BY_BYTES[sent] for sent in _SENT.findall(typed) if sent in _BY_BYTES]
