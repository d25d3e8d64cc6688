"""From raw records to rows: whose they are, what they say, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from scailookup.declare import Lookup
from scailookup.model import Row

__all__ = ["Reader"]

# Records read at a stretch: some milliseconds of work.
_STRETCH = 250


class Reader:
    """Gathers the rows of one lookup over its pages.

    ``dropped`` counts what could not be read; duplicates, other tenants' rows and
    rows not offered do not count. ``full`` says that ``most`` rows are kept and one
    more was left out.
    """

    def __init__(self, lookup: Lookup, tenant: str, most: int) -> None:
        self._lookup = lookup
        self._tenant = tenant
        self._most = most
        self._seen: set[str] = set()
        self.rows: list[Row] = []
        self.dropped = 0
        self.readable = 0
        self.full = False

    @property
    def unreadable(self) -> bool:
        """Whether there were records and not one could be read."""
        return self.dropped > 0 and self.readable == 0

    async def take(self, records: Sequence[Any]) -> tuple[int, int]:
        """Read one page; answers how many rows it added and how many records it dropped.

        A long page lets others have the loop in between.
        """
        before = len(self.rows), self.dropped
        for number, raw in enumerate(records, 1):
            if self._foreign(raw):
                self.readable += 1
            else:
                self._one(raw)
            if self.full:
                break
            if number % _STRETCH == 0:
                await asyncio.sleep(0)
        return len(self.rows) - before[0], self.dropped - before[1]

    def _one(self, raw: Any) -> None:
        row = self._read(raw)
        if row is None:
            self.dropped += 1
            return
        self.readable += 1
        key = row[self._lookup.key]
        keep = self._lookup.keep
        if key in self._seen or (keep is not None and not keep(row)):
            return
        if len(self.rows) >= self._most:
            self.full = True
            return
        self._seen.add(key)
        self.rows.append(row)

    def _foreign(self, raw: Any) -> bool:
        field = self._lookup.tenant_field
        if field is None or not isinstance(raw, dict):
            return False
        owner = raw.get(field)
        return owner is not None and str(owner) != self._tenant

    def _read(self, raw: Any) -> Row | None:
        """The row of one record; None when it is no object, cannot be read, or has no id."""
        if not isinstance(raw, dict):
            return None
        name = self._lookup.key
        try:
            row = self._lookup.row(raw)
        except Exception:  # a plugin's normalizer: whatever it raises costs this row alone
            return None
        if not isinstance(row, dict):
            return None
        key = row.get(name)
        if type(key) is int:
            row[name] = key = str(key)
        if not isinstance(key, str) or not key:
            return None
        if None in row.values():
            row = {field: value for field, value in row.items() if value is not None}
        return row
