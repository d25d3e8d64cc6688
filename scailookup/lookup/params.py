"""Path values and query parameters: read strictly, refused by name, applied to the full list."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from scailookup.declare import LONGEST_VALUE, Lookup, spreadable
from scailookup.errors import InvalidParameter
from scailookup.model import Row

__all__ = ["MAX_LIMIT", "Selection", "parse_query", "parse_value", "parse_values", "unquote"]

MAX_LIMIT = 1000
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Where `q` looks: whatever names a row for a person or a program.
_SEARCHED = ("slug", "display_name", "name", "id")


def unquote(raw: str) -> str | None:
    """``raw`` percent-decoded once as UTF-8; None when it is no such text."""
    if _BAD_ESCAPE.search(raw):
        return None
    try:
        return unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        return None


def parse_values(lookup: Lookup, raw: Mapping[str, str]) -> dict[str, str]:
    """The path values in the raw segments ``raw``; raises InvalidParameter naming the first bad one."""
    return {name: parse_value(name, raw[name], spread=name in lookup.spread) for name in lookup.fields}


def parse_value(name: str, raw: str, *, spread: bool = False) -> str:
    """The path value in the raw segment ``raw``; raises InvalidParameter naming it.

    ``spread`` is for one that goes upstream as several segments.
    """
    value = unquote(raw)
    if value is None:
        reason = "is not percent-encoded UTF-8"
    elif not 1 <= len(value) <= LONGEST_VALUE:
        reason = f"must have 1 to {LONGEST_VALUE} characters"
    elif any(unicodedata.category(c) == "Cc" for c in value):
        reason = "holds a control character"
    elif value in (".", ".."):
        reason = "is a dot segment"
    elif spread and not spreadable(value):
        reason = "has an empty or dot segment"
    else:
        return value
    raise InvalidParameter(
        name, f"{name} {reason}", f"Send the {name} as the list above it gave it, percent-encoded."
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of which full list are wanted: ``handed`` goes to the upstream, the rest picks rows here."""

    q: str = ""
    limit: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    handed: tuple[tuple[str, str], ...] = ()

    @property
    def everything(self) -> bool:
        """Whether the full list is wanted as it is."""
        return not self.q and self.limit is None and not self.filters

    def apply(self, rows: Sequence[Row], key: str) -> Sequence[Row]:
        """The rows selected, in their order."""
        if self.everything:
            return rows
        kept: Iterable[Row] = rows
        for name, wanted in self.filters.items():
            kept = [row for row in kept if str(row.get(name, "")).casefold() == wanted.casefold()]
        if self.q:
            needle = self.q.casefold()
            fields = {*_SEARCHED, key}
            kept = [r for r in kept if any(needle in str(r[f]).casefold() for f in fields if f in r)]
        return list(kept)[: self.limit]


def parse_query(raw: str, lookup: Lookup) -> Selection:
    """The selection that the raw query string asks for; raises InvalidParameter naming the parameter."""
    known = {*(f.name for f in lookup.filters), *(p.name for p in lookup.params)}
    given: dict[str, str] = {}
    for part in raw.split("&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition("=")
        name, value = (unquote(text.replace("+", " ")) for text in (raw_name, raw_value))
        if name is None or name not in known | {"q", "limit"}:
            shown = name if name and name.isprintable() else "query"
            raise _refused(shown[:64], "is not a parameter of this lookup", known)
        if value is None:
            raise _refused(name, "is not percent-encoded UTF-8", known)
        if name in given:
            raise _refused(name, "is given twice", known)
        given[name] = value
    limit = _limit(given.pop("limit"), known) if "limit" in given else None
    handed = _handed(given, lookup, known) if lookup.params else ()
    q = given.pop("q", "")
    return Selection(q, limit, {name: value for name, value in given.items() if value}, handed)


def _handed(given: dict[str, str], lookup: Lookup, known: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The values to hand on, taken out of ``given``, in the order of the declaration."""
    handed = []
    for param in lookup.params:
        value = given.pop(param.name, "") or param.default
        if value is None and param.required:
            raise _refused(param.name, "is missing", known)
        if value is None:
            continue
        reason = param.refusal(value)
        if reason is not None:
            raise _refused(param.name, reason, known)
        handed.append((param.name, value))
    return tuple(handed)


def _limit(text: str, known: Iterable[str]) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise _refused("limit", f"must be a whole number from 1 to {MAX_LIMIT}", known)


def _refused(name: str, reason: str, known: Iterable[str]) -> InvalidParameter:
    takes = ", ".join(["q", "limit", *sorted(known)])
    return InvalidParameter(name, f"{name} {reason}", f"This lookup takes each of {takes} at most once.")
