"""Choosing what to send from what a client says it accepts (RFC 9110, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LIST_CHARACTERS = 1024
MAX_LIST_ITEMS = 32
"""Of a list that a client sends. Browsers and scrapers stay below half of either. One thread serves everybody, and
a list as long as a head may be would take it tens of milliseconds."""


def list_items(values: Sequence[str]) -> list[str] | None:
    """Return the items of a list-based field (RFC 9110, section 5.6.1), without the spaces around them.

    None if there are more than :data:`MAX_LIST_ITEMS` of them, or more than :data:`MAX_LIST_CHARACTERS` characters.

    Args:
        values: the values of all header fields of the name.
    """
    length = sum(map(len, values)) + max(0, len(values) - 1)  # with the commas between the fields
    if length > MAX_LIST_CHARACTERS:
        return None
    items = ",".join(values).split(",", MAX_LIST_ITEMS)
    return None if len(items) > MAX_LIST_ITEMS else [item.strip() for item in items]


def preferred_media_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """Return which of the offered media types the client likes best; the first one if it likes none or all.

    Of what it likes alike, it wants what it names more than what it merely takes: Accept of axios is
    ``application/json, text/plain, */*``. A list that is too long counts as none.

    Args:
        accept: the values of the Accept header fields.
        offered: media types, the server's own favourite first.
    """
    weights = _weights(accept)
    preferences = [(*_preference(weights, media_type), -place) for place, media_type in enumerate(offered)]
    weight, _, place = max(preferences)
    return offered[-place] if weight > 0 else offered[0]


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Tell whether the client takes a body compressed with gzip. A list that is too long counts as none."""
    weights = dict(_weights(accept_encoding))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def is_current(if_none_match: Sequence[str], tag: str) -> bool:
    """Tell whether the client has what bears this entity tag already (RFC 9110, section 13.1.2).

    A list that is too long counts as none.

    Args:
        if_none_match: the values of the If-None-Match header fields.
        tag: the entity tag; whether any of them is weak makes no difference.
    """
    had = [item.removeprefix("W/") for item in list_items(if_none_match) or ()]
    return "*" in had or tag.removeprefix("W/") in had


def _preference(weights: Sequence[tuple[str, float]], media_type: str) -> tuple[float, int]:
    """Return how much the client likes the media type, 0 to 1, and how exactly it says so; the most exact counts."""
    ranges = {media_type: 3, media_type.split("/")[0] + "/*": 2, "*/*": 1}
    matching = [(ranges[name], weight) for name, weight in weights if name in ranges]
    exactness, weight = max(matching, default=(0, 0.0))
    return weight, exactness


def _weights(values: Sequence[str]) -> list[tuple[str, float]]:
    """Return the names that header fields list, each with its weight."""
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
