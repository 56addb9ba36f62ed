"""Makes text from untrusted sources safe for labels, logs and terminals."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_TEXT = 256
"""Longest untrusted text that is kept, in characters."""

RESERVED = "(other)"
"""Label value for the sum of all series above the limits. No user or environment may have this name."""

_SHORTEST_RANGE = 4
"""So many indices in a row are shown as a range."""

_DIGEST_BYTES = 16
_CUT = re.compile(rf".*~[0-9a-f]{{{2 * _DIGEST_BYTES}}}", re.DOTALL)
"""Matches a text that was cut."""

_SHORT_BYTES, _KEPT_TEXTS = 64, 1024
"""The texts of so few bytes are kept, and how many of them: most are the same in each collection."""

_SPACES = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
"""Spaces of other widths. Python calls them unprintable, but they are safe."""

_LIKE_AN_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def clean(text: str) -> str:
    """Return the text at a limited length and without unprintable characters.

    Two different texts stay different, so a clean text can be compared with another clean text. A text that is too long
    is cut and ends in a digest of the whole text. Unprintable characters become escapes, as in
    :func:`escape_unprintable`. A backslash is escaped only where it would look like the start of an escape. Do not
    clean a text twice: that would escape the escapes.
    """
    if len(text) < MAX_TEXT and text.isprintable() and "\\" not in text:  # nearly every text
        return text
    text = _cut(text)
    if "\\" in text:
        text = _LIKE_AN_ESCAPE.sub(_with_escaped_backslash, text)
    return _cut(escape_unprintable(text))  # again, as escapes are longer than the characters they replace


def escape_unprintable(text: str) -> str:
    r"""Return the text with ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN`` for each unprintable character.

    These move the cursor, change the direction of writing, or cannot be encoded. Clean text does not change.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _SPACES else _escape(c) for c in text)


def decode(raw: bytes) -> str:
    """Return bytes as clean text. Bytes that are not UTF-8 are decoded as genv does it (PEP 383)."""
    return _decode_short(raw) if len(raw) <= _SHORT_BYTES else _decode(raw)


def _decode(raw: bytes) -> str:
    return clean(raw.decode("utf-8", "surrogateescape"))


_decode_short = lru_cache(_KEPT_TEXTS)(_decode)


def gpus(indices: Iterable[int]) -> str:
    """Return the GPUs with these indices in words, such as "GPU 2", "GPUs 0, 1 and 4" or "GPUs 0 to 7 and 12"."""
    *names, last = list(_ranges(list(indices))) or [""]
    if not names and " " in last:
        return f"GPUs {last}"
    return f"GPUs {', '.join(names)} and {last}" if names else f"GPU {last}"


def _ranges(indices: list[int]) -> Iterator[str]:
    """Yield the indices; at least four in a row as one range."""
    place = 0
    while place < len(indices):
        end = place
        while end + 1 < len(indices) and indices[end + 1] == indices[end] + 1:
            end += 1
        if end - place < _SHORTEST_RANGE - 1:
            yield str(indices[place])
            place += 1
        else:
            yield f"{indices[place]} to {indices[end]}"
            place = end + 1


def _cut(text: str) -> str:
    if len(text) < MAX_TEXT or (len(text) == MAX_TEXT and not _CUT.fullmatch(text)):
        return text
    import hashlib  # here, as it loads megabytes of OpenSSL, and hardly any text is so long

    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{text[: MAX_TEXT - len(digest) - 1]}~{digest}"


def _with_escaped_backslash(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or match[3], 16)
    produced = code == ord("\\") or (code <= sys.maxunicode and escape_unprintable(chr(code)) == match[0])
    return _escape("\\") + match[0][1:] if produced else match[0]


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
