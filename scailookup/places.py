"""Places in a JSON value: where a plugin says that something stands.

A place is a dotted path (``data.items``), or a JSON pointer of RFC 6901 where a name
holds a dot (``/data/@odata.nextLink``). The empty text is the whole value. A part that
is a number goes into a list.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "Steps", "put", "reach", "steps"]

Steps = tuple[str, ...]
MISSING: Any = ...
"""What ``reach`` answers where there is nothing, not even a null."""


def steps(place: str) -> Steps:
    """The parts of a place; raises ValueError for what is none."""
    if not isinstance(place, str):
        raise TypeError(f"{place!r} is not a place in a body: write it as text")
    if place == "":
        return ()
    pointer = place.startswith("/")
    parts = place[1:].split("/") if pointer else place.split(".")
    if not pointer and "" in parts:
        raise ValueError(f"the place {place!r} has an empty part")
    return tuple([part.replace("~1", "/").replace("~0", "~") for part in parts]) if pointer else tuple(parts)


def reach(body: Any, where: Steps) -> Any:
    """What stands there; MISSING where there is nothing."""
    for part in where:
        if isinstance(body, dict):
            body = body.get(part, MISSING)
        elif isinstance(body, list) and part.isascii() and part.isdigit() and int(part) < len(body):
            body = body[int(part)]
        else:
            return MISSING
    return body


def put(body: Any, where: Steps, value: Any) -> Any:
    """A copy of ``body`` with ``value`` there; objects on the way are made where they are missing."""
    if not where:
        return value
    inner = body if isinstance(body, dict) else {}
    return {**inner, where[0]: put(inner.get(where[0]), where[1:], value)}
