"""Text that somebody else chose, made fit for labels and logs."""

from __future__ import annotations

MAX_TEXT = 256
"""Characters kept of any text from outside."""

RESERVED = "(other)"
"""Stands in labels for all that is over the limits together; nobody else may be called that."""

_DIGEST_BYTES = 6
_SPACES = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
"""Spaces of other widths, which are as harmless as the usual one."""


def clean(text: str) -> str:
    """Return the text bounded, and fit to be sent, shown in a terminal and logged.

    What is too long is cut, and ends in a digest of the whole, so that two texts stay two; see also :func:`harmless`.
    """
    if len(text) > MAX_TEXT:
        import hashlib  # which takes megabytes for OpenSSL; hardly any text is so long

        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
        text = f"{text[: MAX_TEXT - len(digest) - 1]}~{digest}"
    return harmless(text)


def harmless(text: str) -> str:
    """Return the text with escapes for what moves a cursor, turns the direction of writing or cannot be encoded."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _SPACES else _escape(c) for c in text)


def decode(raw: bytes) -> str:
    """Return bytes that should be UTF-8 as clean text; bytes that are not become escapes."""
    return clean(raw.decode("utf-8", "backslashreplace"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
