"""What can be read from a bcrypt hash without the library for it, which may be missing."""

from __future__ import annotations

import re

_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")


def cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash, of which each step doubles the work.

    Raises:
        ValueError: it is no bcrypt hash.
    """
    match = _HASH.fullmatch(hashed)
    if not match:
        raise ValueError("no bcrypt hash")
    return int(match[1])
