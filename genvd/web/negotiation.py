"""Choosing what to send from what a client says it accepts (RFC 9110, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def preferred(accept: Sequence[str], offered: Sequence[str]) -> str:
    """Return which of the offered media types the client likes best; the first one if it likes none or all.

    Of what it likes alike, it wants what it names more than what it merely takes: Accept of axios is
    ``application/json, text/plain, */*``.

    Args:
        accept: the values of the Accept header fields.
        offered: media types, the server's own favourite first.
    """
    liked = [(*_liking(accept, media_type), -place) for place, media_type in enumerate(offered)]
    weight, _, place = max(liked)
    return offered[-place] if weight > 0 else offered[0]


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Tell whether the client takes a body compressed with gzip."""
    weights = {name: weight for name, _, weight in _items(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def is_current(if_none_match: Sequence[str], tag: str) -> bool:
    """Tell whether the client has what bears this entity tag already (RFC 9110, section 13.1.2).

    Args:
        if_none_match: the values of the If-None-Match header fields.
        tag: the entity tag; whether any of them is weak makes no difference.
    """
    had = [item.strip().removeprefix("W/") for item in ",".join(if_none_match).split(",")]
    return "*" in had or tag.removeprefix("W/") in had


def _liking(accept: Sequence[str], media_type: str) -> tuple[float, int]:
    """Return how much the client likes the media type, 0 to 1, and how exactly it says so; the most exact counts."""
    ranges = {media_type: 3, media_type.split("/")[0] + "/*": 2, "*/*": 1}
    matching = [(ranges[name], weight) for name, _, weight in _items(accept) if name in ranges]
    exactness, weight = max(matching, default=(0, 0.0))
    return weight, exactness


def _items(values: Sequence[str]) -> list[tuple[str, list[str], float]]:
    """Split header fields into name, parameters and weight."""
    items = []
    for item in ",".join(values).split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        items.append((name, parameters, _quality(parameters)))
    return items


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
