"""Where in an answer the list stands, for upstreams whose envelope is not a known one.

Each kind turns a decoded body into records. Without a word from the plugin the
envelopes of ``scailookup.envelopes`` are tried. A null in the list's place is an empty
list; anything else that is no list is ``bad_shape``, never an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scailookup.errors import CallFailed
from scailookup.places import MISSING, Steps, reach, steps

__all__ = ["Layout", "List", "Map", "Strings"]


def _places(at: str | tuple[str, ...]) -> tuple[Steps, ...]:
    found = (at,) if isinstance(at, str) else tuple(at)
    if not found:
        raise ValueError("a layout names at least one place")
    return tuple([steps(place) for place in found])


def _first(body: Any, places: tuple[Steps, ...], kind: type[Any], what: str) -> Any:
    """The first of ``places`` that is there; None for a null. Raises CallFailed with ``bad_shape``."""
    for where in places:
        value = reach(body, where)
        if value is None or isinstance(value, kind):
            return value
        if value is not MISSING:
            break
    shown = " or ".join([".".join(where) or "its top" for where in places])
    raise CallFailed("bad_shape", f"the answer holds no {what} at {shown}")


@dataclass(frozen=True, slots=True)
class List:
    """A list at a stated place: ``List(at="result.items")``; of several places the first that is there."""

    at: str | tuple[str, ...] = ""
    _places: tuple[Steps, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", _places(self.at))

    def records(self, body: Any) -> list[Any]:
        """The records; raises CallFailed with ``bad_shape``."""
        found: list[Any] | None = _first(body, self._places, list, "list")
        return found or []


@dataclass(frozen=True, slots=True)
class Map:
    """An object that is keyed by id: each member becomes a record with its key as the field ``key``.

    A member that is no object becomes ``{key: …, value: …}``.
    """

    at: str | tuple[str, ...] = ""
    key: str = "id"
    value: str = "value"
    _places: tuple[Steps, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", _places(self.at))

    def records(self, body: Any) -> list[Any]:
        """The records; raises CallFailed with ``bad_shape``."""
        found: dict[str, Any] = _first(body, self._places, dict, "object") or {}
        return [
            {**inner, self.key: key} if isinstance(inner, dict) else {self.key: key, self.value: inner}
            for key, inner in found.items()
        ]


@dataclass(frozen=True, slots=True)
class Strings:
    """A list of plain strings (or numbers): each becomes a record with the one field ``key``."""

    at: str | tuple[str, ...] = ""
    key: str = "id"
    _places: tuple[Steps, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", _places(self.at))

    def records(self, body: Any) -> list[Any]:
        """The records; what is no string or number stays as it is and is dropped later."""
        found: list[Any] = _first(body, self._places, list, "list") or []
        return [{self.key: item} if _plain(item) else item for item in found]


def _plain(item: Any) -> bool:
    return isinstance(item, str | int) and not isinstance(item, bool)


Layout = List | Map | Strings
