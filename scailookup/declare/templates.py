"""Paths with fields: ``{name}`` takes a value as one segment, ``{+name}`` as several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["fields_of", "fill", "spread_of", "spreadable"]

_FIELD = re.compile(r"\{(\+?)([a-z][a-z0-9_]*)\}")


def fields_of(template: str) -> tuple[str, ...]:
    """The names of the fields, in order."""
    return tuple([name for _, name in _FIELD.findall(template)])


def spread_of(template: str) -> frozenset[str]:
    """The fields whose values go out as several segments."""
    return frozenset([name for plus, name in _FIELD.findall(template) if plus])


def spreadable(value: str) -> bool:
    """Whether a value may go out as several segments: none of them empty or a dot segment."""
    return all(part not in ("", ".", "..") for part in value.split("/"))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The path with each value percent-encoded; a slash stays one only in a ``{+name}``.

    Raises KeyError for a field without a value, ValueError for a value with a dot segment.
    """

    def encoded(match: re.Match[str]) -> str:
        plus, name = match.groups()
        value = values[name]
        if (plus and not spreadable(value)) or value in (".", ".."):
            raise ValueError(f"{name} holds an empty or dot segment")
        return quote(value, safe="/" if plus else "")

    return _FIELD.sub(encoded, template)
