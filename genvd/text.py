"""Text that somebody else chose, made fit for labels and logs."""

from __future__ import annotations

MAX_TEXT = 256
"""Characters kept of any text from outside."""


def clean(text: str) -> str:
    """Return the text bounded, and valid as UTF-8: lone surrogates and control characters become escapes."""
    text = text[:MAX_TEXT]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def decode(raw: bytes) -> str:
    """Return bytes that should be UTF-8 as clean text; bytes that are not become escapes."""
    return clean(raw.decode("utf-8", "backslashreplace"))
