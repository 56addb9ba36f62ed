"""Text in the columns of a terminal: how many it takes, cut and filled to a number of them."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
_JAMO = range(0x1160, 0x1200)
"""Vowels and finals of Hangul, which terminals draw upon the consonant before them."""

_ISOLATES = range(0x2066, 0x206A)
"""Say in which direction text is written (UAX 9), and show nothing."""


def width(text: str) -> int:
    """Return how many columns the text takes (UAX 11: wide and fullwidth characters take two, marks none)."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, columns: int) -> str:
    """Return the text in at most so many columns; what is cut ends in an ellipsis."""
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
    """Return the text in lines of at most so many columns, broken at spaces; a word that is longer is broken too."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width(longer) <= columns:
            lines[-1] = longer
        else:
            first, *others = _parts(word, columns)
            lines[-1:] = [lines[-1], first, *others] if lines[-1] else [first, *others]
    return lines


def fill(text: str, columns: int, *, right: bool = False) -> str:
    """Return the text in just so many columns, at their left or at their right."""
    shown = cut(text, columns)
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
