"""Typed fields of a raw JSON object, under the first of several names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["LARGEST", "at", "count", "only", "prose", "text", "texts", "whole"]

# Beyond this a number is no count of anything, and JSON readers lose digits.
LARGEST = 2**53 - 1


def at(raw: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted ``path``; None when any part is missing."""
    if "." not in path:
        return raw.get(path)
    value: Any = raw
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def text(raw: Mapping[str, Any], *names: str) -> str | None:
    """The first of ``names`` that is a string with something in it."""
    for name in names:
        value = at(raw, name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def prose(raw: Mapping[str, Any], name: str) -> str | None:
    """The string at ``name``, the empty one too: for what is read by people only."""
    value = raw.get(name)
    return value if isinstance(value, str) else None


def texts(value: Any) -> list[str]:
    """The strings of a list; none for anything else."""
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """``value`` as a whole number: an int, a finite float cut down, or a string of one; never a bool."""
    if type(value) is int:
        return value if -LARGEST <= value <= LARGEST else None
    if isinstance(value, str):
        try:
            value = float(value) if re.fullmatch(r"\s*-?[0-9]{1,16}(\.[0-9]*)?\s*", value) else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if abs(value) <= LARGEST else None


def count(raw: Mapping[str, Any], *names: str) -> int | None:
    """The first of ``names`` that is a whole number above zero; zero means unknown in model lists."""
    for name in names:
        value = whole(at(raw, name))
        if value is not None and value > 0:
            return value
    return None


def only(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` without the fields that were not given."""
    return {name: value for name, value in row.items() if value is not None}
