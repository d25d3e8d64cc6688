"""Rows as a table for people: columns in the order of the rows' own fields, as wide as the terminal is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scailookup.terminal import cut, plain, width

__all__ = ["Table", "table"]

# No column is made narrower than this for the sake of others: what is cut more tells nothing.
_NARROWEST = 16
_GAP = 2


class Table(NamedTuple):
    """The lines, the head first, and the fields that found no room beside the others."""

    lines: list[str]
    left_out: list[str]


class _Column(NamedTuple):
    name: str
    cells: list[str]
    right: bool
    natural: int


def table(rows: Sequence[Mapping[str, Any]], cells: int | None) -> Table:
    """``rows`` in at most ``cells`` cells a line; None leaves every text whole."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    all_ = [_column(name, rows) for name in names]
    kept, widths = all_, [column.natural for column in all_]
    if cells is not None:
        kept = _room(all_, cells)
        widths = _narrowed(kept, cells)
    lines = [_line([plain(column.name) for column in kept], kept, widths)]
    lines += [_line([column.cells[at] for column in kept], kept, widths) for at in range(len(rows))]
    return Table(lines, [plain(column.name) for column in all_[len(kept) :]])


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> _Column:
    values = [row.get(name) for row in rows]
    texts = [_text(value) for value in values]
    right = all(value is None or (_is_number(value)) for value in values)
    return _Column(name, texts, right, max(width(text) for text in [plain(name), *texts]))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _least(at: int, column: _Column, cells: int) -> int:
    """How narrow a column may become. The first names the row: half of the line is its own."""
    return min(column.natural, max(_NARROWEST, cells // 2) if at == 0 else _NARROWEST)


def _room(all_: list[_Column], cells: int) -> list[_Column]:
    """The first columns, as many as have room side by side when each is as narrow as it may be."""
    kept: list[_Column] = []
    taken = -_GAP
    for at, column in enumerate(all_):
        taken += _least(at, column, cells) + _GAP
        if taken > cells and kept:
            break
        kept.append(column)
    return kept


def _narrowed(kept: list[_Column], cells: int) -> list[int]:
    """Widths that fit: the widest give way first, all that are too wide to the same width."""
    room = cells - _GAP * (len(kept) - 1)
    if len(kept) == 1:
        return [max(1, min(kept[0].natural, room))]
    least = [_least(at, column, cells) for at, column in enumerate(kept)]

    def bounded(most: int) -> list[int]:
        return [max(low, min(column.natural, most)) for low, column in zip(least, kept, strict=True)]

    low, high = 0, max((column.natural for column in kept), default=0)
    while low < high:  # the largest bound under which everything fits
        most = (low + high + 1) // 2
        low, high = (most, high) if sum(bounded(most)) <= room else (low, most - 1)
    return bounded(low)


def _line(texts: list[str], kept: list[_Column], widths: list[int]) -> str:
    parts = []
    for text, column, cells in zip(texts, kept, widths, strict=True):
        shown = cut(text, cells)
        blanks = " " * (cells - width(shown))
        parts.append(blanks + shown if column.right else shown + blanks)
    return (" " * _GAP).join(parts).rstrip()
