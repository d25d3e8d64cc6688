"""One list, page by page, into a Reader."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from scailookup import envelopes
from scailookup.declare import Lookup
from scailookup.errors import CallFailed
from scailookup.lookup.bound import Trip, content_of
from scailookup.lookup.rows import UNREADABLE, Reader
from scailookup.model import Judged, Reply
from scailookup.paging import Page
from scailookup.places import put, steps
from scailookup.replies import judge
from scailookup.seams import WayOut

__all__ = ["PageJudge", "Read", "read_pages"]


class Read(NamedTuple):
    """What became of a list besides its rows: how many calls, cut short or not, what ``meta`` is to say."""

    calls: int
    truncated: bool
    meta: Mapping[str, Any] = MappingProxyType({})
    fresh: float | None = None


async def read_pages(trip: Trip, way_out: WayOut, reader: Reader, most: int) -> Read:
    """Read at most ``most`` pages; raises CallFailed."""
    pages = PageJudge(trip.bound.lookup, reader)
    calls, truncated = await _walk(trip, way_out, pages, most)
    if reader.unreadable:  # every page of a list cut short
        raise CallFailed("bad_shape", UNREADABLE)
    return Read(calls, truncated)


async def _walk(trip: Trip, way_out: WayOut, pages: PageJudge, most: int) -> tuple[int, bool]:
    """From page to page; how many, and whether there would have been more."""
    reader = pages.reader
    url: str = trip.bound.url(trip.grant.base_url)
    body = trip.bound.body()
    asked: set[tuple[str, bytes]] = set()
    while True:
        content = content_of(body)
        call = url, content.body if content else b""
        if call in asked or len(asked) >= most:
            return len(asked), True
        asked.add(call)
        page = await way_out.call(trip.errand(url, content), pages.judged)
        if reader.full:
            return len(asked), True
        if isinstance(page, envelopes.End):
            return len(asked), page.truncated
        following = _following(url, body, page)
        if following is None or len(reader.rows) >= reader.most:
            return len(asked), True
        url, body = following


def _following(url: str, body: Any, page: envelopes.Cursor | envelopes.Link) -> tuple[str, Any] | None:
    """Where the next page is asked for, and with which body; None where it must not be."""
    if body is not None and isinstance(page, envelopes.Cursor):
        return url, put(body, steps(page.parameter), page.value)
    following = envelopes.next_url(url, page)
    return None if following is None else (following, body)


class PageJudge:
    """Judges one reply after the other of a list."""

    def __init__(self, lookup: Lookup, reader: Reader) -> None:
        self._lookup = lookup
        self.reader = reader
        self._number = 0
        self._records = 0
        self._before = b""

    async def judged(self, reply: Reply) -> Judged[envelopes.NextPage]:
        """Read one good page; raises CallFailed for a bad one."""
        reader, layout = self.reader, self._lookup.layout
        typed = reader.decode(reply)
        if typed is not None:
            typed_records, rest = typed
            return Judged(envelopes.next_page(rest, reply.headers), *reader.take_typed(typed_records))
        body = judge(reply)
        try:
            records = envelopes.records(body) if layout is None else layout.records(body)
            kept, dropped = await reader.take(records)
        except CallFailed as exc:
            raise CallFailed(exc.code, exc.text, status=reply.status) from None
        if self._lookup.paging is None:
            page = envelopes.next_page(body, reply.headers)
        else:
            page = self._stated(reply, body, records)
        if reader.unreadable and isinstance(page, envelopes.End):
            raise CallFailed("bad_shape", UNREADABLE, status=reply.status)
        return Judged(page, kept, dropped)

    def _stated(self, reply: Reply, body: Any, records: list[Any]) -> envelopes.NextPage:
        """Where the next page is by the lookup's own paging.

        An upstream that does not know the parameter answers the first page for ever.
        """
        assert self._lookup.paging is not None
        if self._number and records and reply.body == self._before:
            return envelopes.End(truncated=True)
        self._number += 1
        self._records += len(records)
        self._before = reply.body
        return self._lookup.paging.after(Page(body, reply.headers, records, self._number, self._records))
