"""Text that somebody else chose, made fit for labels and logs."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT = 256
"""Characters kept of any text from outside."""

RESERVED = "(other)"
"""Stands in labels for all that is over the limits together; nobody else may be called that."""

_DIGEST_BYTES = 16
_CUT = re.compile(rf".*~[0-9a-f]{{{2 * _DIGEST_BYTES}}}", re.DOTALL)
"""What the text looks like that was cut."""

_SPACES = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
"""Spaces of other widths, which are as harmless as the usual one."""

_LIKE_AN_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def clean(text: str) -> str:
    """Return the text bounded, and fit to be sent, shown in a terminal and logged.

    Two different texts stay different, so that what is written in one place can be looked for by its clean form in
    another. What is too long is cut, and ends in a digest of all of it; see :func:`harmless` for the rest. A backslash
    stays as it is, but where what follows makes it look like an escape: then it becomes one. What is clean must not be
    cleaned again, as that would escape the escapes.
    """
    text = _cut(text)
    if "\\" in text:
        text = _LIKE_AN_ESCAPE.sub(_with_escaped_backslash, text)
    return _cut(harmless(text))  # as escapes are longer than what they stand for


def harmless(text: str) -> str:
    r"""Return the text with escapes for what moves a cursor, turns the direction of writing or cannot be encoded.

    They are ``\xNN``, ``\uNNNN`` and ``\UNNNNNNNN``. Clean text stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _SPACES else _escape(c) for c in text)


def decode(raw: bytes) -> str:
    """Return bytes that should be UTF-8 as clean text.

    Bytes that are not become what Python makes of them (PEP 383), as in names that genv writes into its files.
    """
    return clean(raw.decode("utf-8", "surrogateescape"))


def gpus(indices: Iterable[int]) -> str:
    """Return the GPUs with these indices in words, such as "GPU 2" or "GPUs 0, 1"."""
    names = [str(index) for index in indices]
    return f"GPU{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _cut(text: str) -> str:
    if len(text) < MAX_TEXT or (len(text) == MAX_TEXT and not _CUT.fullmatch(text)):
        return text
    import hashlib  # which takes megabytes for OpenSSL; hardly any text is so long

    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{text[: MAX_TEXT - len(digest) - 1]}~{digest}"


def _with_escaped_backslash(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or match[3], 16)
    produced = code == ord("\\") or (code <= sys.maxunicode and harmless(chr(code)) == match[0])
    return _escape("\\") + match[0][1:] if produced else match[0]


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
