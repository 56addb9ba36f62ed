"""Content negotiation: chooses a media type and an encoding that the client accepts (RFC 9110, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LIST_CHARACTERS = 1024
MAX_LIST_ITEMS = 32
"""Maximum size of a list in a header field. Browsers and scrapers stay below half of both. All clients share one
thread, and it would take tens of milliseconds to parse a list as long as all header fields may be."""


def list_items(values: Sequence[str]) -> list[str] | None:
    """Return the items of a list-based field (RFC 9110, section 5.6.1); None if the list is too long.

    Args:
        values: the values of all header fields of that name.
    """
    length = sum(map(len, values)) + max(0, len(values) - 1)  # the fields are joined by commas
    if length > MAX_LIST_CHARACTERS:
        return None
    items = ",".join(values).split(",", MAX_LIST_ITEMS)
    return None if len(items) > MAX_LIST_ITEMS else [item.strip() for item in items]


def preferred_media_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """Return the offered media type that the client prefers; the first one if it accepts none of them.

    At equal weight, a type that is named wins over one that matches a wildcard: axios sends
    ``application/json, text/plain, */*``. A list that is too long is ignored.

    Args:
        accept: the values of the Accept header fields.
        offered: media types, the server's default first.
    """
    weights = _weights(accept)
    preferences = [(*_preference(weights, media_type), -index) for index, media_type in enumerate(offered)]
    weight, _, index = max(preferences)
    return offered[-index] if weight > 0 else offered[0]


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return whether the client accepts a body compressed with gzip. A list that is too long is ignored."""
    weights = dict(_weights(accept_encoding))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def is_current(if_none_match: Sequence[str], tag: str) -> bool:
    """Return whether the client already has the version with this entity tag (RFC 9110, section 13.1.2).

    A list that is too long is ignored.

    Args:
        if_none_match: the values of the If-None-Match header fields.
        tag: the entity tag. Weak and strong tags are compared alike.
    """
    tags = [item.removeprefix("W/") for item in list_items(if_none_match) or ()]
    return "*" in tags or tag.removeprefix("W/") in tags


def _preference(weights: Sequence[tuple[str, float]], media_type: str) -> tuple[float, int]:
    """Return the weight of a media type (0 to 1) from its most specific match, and how specific the match is."""
    ranges = {media_type: 3, media_type.split("/")[0] + "/*": 2, "*/*": 1}
    matching = [(ranges[name], weight) for name, weight in weights if name in ranges]
    exactness, weight = max(matching, default=(0, 0.0))
    return weight, exactness


def _weights(values: Sequence[str]) -> list[tuple[str, float]]:
    """Return the items of header fields, each with its weight."""
    weights = []
    for item in list_items(values) or ():
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weights.append((name, _quality(parameters)))
    return weights


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
