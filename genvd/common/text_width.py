"""Text in terminal columns: measure, truncate, wrap and pad it."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
_JAMO = range(0x1160, 0x1200)
"""Vowels and final consonants of Hangul. Terminals draw them in the cell of the consonant before them."""

_ISOLATES = range(0x2066, 0x206A)
"""Invisible characters that set the direction of text (UAX 9)."""


def width(text: str) -> int:
    """Return the number of columns of a text. Wide characters take two (UAX 11), combining marks none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def truncate(text: str, columns: int) -> str:
    """Return the text in at most this many columns. A shortened text ends in an ellipsis."""
    if width(text) <= columns:
        return text
    kept, left = [], columns - 1
    for character in text:
        left -= _width(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS if columns > 0 else ""


def wrap(text: str, columns: int) -> list[str]:
    """Return the text in lines of at most this many columns. A longer word is broken."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width(longer) <= columns:
            lines[-1] = longer
        else:
            first, *others = _parts(word, columns)
            lines[-1:] = [lines[-1], first, *others] if lines[-1] else [first, *others]
    return lines


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return the text in exactly this many columns: truncated if it is longer, else aligned left or right."""
    shown = truncate(text, columns)
    space = " " * (columns - width(shown))
    return space + shown if right else shown + space


def _parts(word: str, columns: int) -> list[str]:
    parts, left = [""], columns
    for character in word:
        left -= _width(character)
        if left < 0:
            parts.append("")
            left = columns - _width(character)
        parts[-1] += character
    return parts


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me") or any(ord(character) in some for some in (_JAMO, _ISOLATES)):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
