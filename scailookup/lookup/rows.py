"""From raw records to rows: whose they are, what they say, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from scailookup.declare import Lookup
from scailookup.errors import CallFailed
from scailookup.model import Reply, Row
from scailookup.pages import Pages

__all__ = ["UNREADABLE", "Reader"]

UNREADABLE = "not one record of the list can be read"

# Names of fields told of a record that was dropped. A long one is not cut but left out: it might be a
# secret, and half of one is not recognised.
_NAMED, _LONGEST_NAME = 8, 40

# Records read at a stretch: some milliseconds of work.
_STRETCH = 250


class Reader:
    """Gathers the rows of one lookup over its pages.

    ``dropped`` counts what could not be read; duplicates, other tenants' rows and
    rows not offered do not count. ``first_dropped`` says why of the first. ``full`` says that
    ``most`` rows are kept and one more was left out.
    """

    def __init__(self, lookup: Lookup, tenant: str, most: int) -> None:
        self._lookup = lookup
        self._tenant = tenant
        self.most = most
        self._seen: set[str] = set()
        self.rows: list[Any] = []
        self.dropped = 0
        self.first_dropped: str | None = None
        self.readable = 0
        self.full = False

    @property
    def unreadable(self) -> bool:
        """Whether there were records and not one could be read."""
        return self.dropped > 0 and self.readable == 0

    def decode(self, reply: Reply) -> tuple[list[Any], dict[str, Any]] | None:
        """Typed records and the rest of a good page; None when it has to be read by the rules."""
        record = self._lookup.record
        return None if record is None or reply.status != 200 else _pages(record).decode(reply.body)

    async def take(self, records: Sequence[Any]) -> tuple[int, int]:
        """Read one page; answers how many rows it added and how many records it dropped.

        A long page lets others have the loop in between.
        """
        before = len(self.rows), self.dropped
        for start in range(0, len(records), _STRETCH):
            if start:
                await asyncio.sleep(0)
            self._stretch(records[start : start + _STRETCH])
            if self.full:
                break
        return len(self.rows) - before[0], self.dropped - before[1]

    def take_typed(self, records: Sequence[Any]) -> tuple[int, int]:
        """The same for typed records, which are rows already."""
        before = len(self.rows)
        rows, seen, name = self.rows, self._seen, self._lookup.key
        self.readable += len(records)
        for record in records:
            key = getattr(record, name)
            if key in seen:
                continue
            if len(rows) >= self.most:
                self.full = True
                break
            seen.add(key)
            rows.append(record)
        return len(rows) - before, 0

    def encoded(self) -> bytes:
        """The rows as JSON; one that is no JSON, a plugin's mistake, is dropped and counted.

        Raises CallFailed when none is left.
        """
        try:
            return msgspec.json.encode(self.rows)
        except Exception:  # only now is it worth looking at each
            good = [row for row in self.rows if _is_json(row)]
        self.first_dropped = self.first_dropped or "the row made of it is no JSON"
        self.dropped += len(self.rows) - len(good)
        self.rows = good
        if not good:
            raise CallFailed("bad_shape", UNREADABLE)
        return msgspec.json.encode(good)

    def _stretch(self, records: Sequence[Any]) -> None:
        """Read some records. Written out in one loop: it is where a miss spends its time."""
        read, name, keep = self._lookup.row, self._lookup.key, self._lookup.keep
        walled = self._lookup.tenant_field is not None
        rows, seen = self.rows, self._seen
        for raw in records:
            if walled and self._foreign(raw):
                self.readable += 1
                continue
            row = _row(read, raw)
            key = None if row is None else row.get(name)
            if type(key) is int:
                key = str(key)
            if row is None or not isinstance(key, str) or not key:
                self._drop(raw, "it cannot be read" if row is None else f"it has no usable `{name}`")
                continue
            offered = keep is None or _offered(keep, row)
            if offered is None:
                self._drop(raw, "whether to offer it cannot be told")
                continue
            self.readable += 1
            if key in seen or not offered:
                continue
            if len(rows) >= self.most:
                self.full = True
                return
            row[name] = key
            seen.add(key)
            rows.append(row)

    def _drop(self, raw: Any, reason: str) -> None:
        self.dropped += 1
        if self.first_dropped is not None:
            return
        if isinstance(raw, dict):
            names = [n if n.isprintable() and len(n) <= _LONGEST_NAME else "…" for n in [*raw][:_NAMED]]
            self.first_dropped = f"{reason}; its fields are: {', '.join(names) or 'none'}"
        else:
            self.first_dropped = "it is no object"

    def _foreign(self, raw: Any) -> bool:
        owner = raw.get(self._lookup.tenant_field) if isinstance(raw, dict) else None
        return owner is not None and str(owner) != self._tenant


@lru_cache(maxsize=64)
def _pages(record: type[msgspec.Struct]) -> Pages:
    return Pages(record)


def _row(read: Callable[[Mapping[str, Any]], Row | None], raw: Any) -> Row | None:
    """The row of one record without what was not given; None when it is no object or cannot be read."""
    if not isinstance(raw, dict):
        return None
    try:
        row = read(raw)
    except (Exception, SystemExit):  # a plugin's normalizer: whatever it raises costs this row alone
        return None
    if not isinstance(row, dict):
        return None
    if None in row.values():
        return {field: value for field, value in row.items() if value is not None}
    return row


def _is_json(row: Any) -> bool:
    try:
        msgspec.json.encode(row)
    except Exception:
        return False
    return True


def _offered(keep: Callable[[Row], bool], row: Row) -> bool | None:
    """Whether a row is offered; None when the plugin's own question cannot be answered."""
    try:
        return bool(keep(row))
    except (Exception, SystemExit):
        return None
