"""How an upstream's list goes on, for those whose marks are not among the usual ones.

Each kind says from one page where the next one is. Without a word from the plugin the
marks of ``scailookup.envelopes`` are looked for. A parameter goes into the query; where
the list is fetched with a body, it is a place in that body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scailookup.envelopes import Cursor as Going
from scailookup.envelopes import End, Link, NextPage, header_link
from scailookup.places import Steps, reach, steps

__all__ = ["Cursor", "LinkHeader", "NextUrl", "Number", "Offset", "Page", "Paging", "Single"]

First = tuple[tuple[str, str | int], ...]


class Page(NamedTuple):
    """A page that was read: body, headers and records; which one it is (from 1), and the records so far."""

    body: Any
    headers: Mapping[str, str]
    records: Sequence[Any]
    number: int
    total: int


def _parameter(name: str | None) -> None:
    if name is not None and not (name and name.isascii() and name.isprintable() and " " not in name):
        raise ValueError(f"{name!r} is not the name of a parameter")


def _optional(place: str | None) -> Steps | None:
    return None if place is None else steps(place)


def _check_size(size: int | None, size_param: str | None) -> None:
    if size is not None and (type(size) is not int or size < 1):
        raise ValueError("the size of a page is a whole number above zero")
    _parameter(size_param)
    if size_param is not None and size is None:
        raise ValueError(f"the parameter {size_param} needs a size")


def _stops(body: Any, more: Steps | None) -> bool:
    """Whether the mark is declared and does not say that there is more."""
    return more is not None and reach(body, more) not in (True, "true", "True")


def _count(body: Any, where: Steps | None) -> int | None:
    value = None if where is None else reach(body, where)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if type(value) is int else None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A cursor in the answer goes back as a parameter: ``Cursor("after", at="paging.next")``.

    ``last`` in the place of ``at`` takes a field of the page's last record:
    ``Cursor("starting_after", last="id", more="has_more")``. The list ends without a
    cursor, with an empty page, or where the place ``more`` is not true.
    """

    param: str
    at: str = ""
    last: str = ""
    more: str | None = None
    _where: Steps = field(init=False, repr=False, compare=False)
    _more: Steps | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _parameter(self.param)
        if bool(self.at) == bool(self.last):
            raise ValueError("paging.Cursor takes its cursor from `at` or from `last`: say one of them")
        object.__setattr__(self, "_where", steps(self.at or self.last))
        object.__setattr__(self, "_more", _optional(self.more))

    def first(self) -> First:
        """The first page needs no parameter."""
        return ()

    def after(self, page: Page) -> NextPage:
        """Where the next page is; a list that goes on without a cursor is cut short."""
        if _stops(page.body, self._more) or (self.last and not page.records):
            return End()
        value = reach(page.records[-1] if self.last else page.body, self._where)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return Going(self.param, value)
        return End(truncated=self.more is not None or bool(self.last))


@dataclass(frozen=True, slots=True)
class Number:
    """Pages have numbers: ``Number("page", size=100, size_param="per_page")``.

    The list ends with the last page where the place ``pages`` says how many there are,
    where ``more`` is not true, and with an empty page or one of fewer than ``size``
    records. ``size`` must be one that the upstream keeps to.
    """

    param: str = "page"
    start: int = 1
    size: int | None = None
    size_param: str | None = None
    pages: str | None = None
    more: str | None = None
    _pages: Steps | None = field(init=False, repr=False, compare=False)
    _more: Steps | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _parameter(self.param)
        _check_size(self.size, self.size_param)
        object.__setattr__(self, "_pages", _optional(self.pages))
        object.__setattr__(self, "_more", _optional(self.more))

    def first(self) -> First:
        """Number and size of the first page."""
        return ((self.param, self.start), *_sized(self.size, self.size_param))

    def after(self, page: Page) -> NextPage:
        """Where the next page is."""
        pages = _count(page.body, self._pages)
        if pages is not None:
            ended = page.number >= pages
        else:
            ended = self.size is not None and self.more is None and len(page.records) < self.size
        if ended or not page.records or _stops(page.body, self._more):
            return End()
        return Going(self.param, self.start + page.number)


@dataclass(frozen=True, slots=True)
class Offset:
    """The next page begins where this one ended: ``Offset("offset", size=100, size_param="limit")``.

    The list ends where the place ``total`` says how many records there are, where
    ``more`` is not true, and with an empty page or one of fewer than ``size`` records.
    """

    param: str = "offset"
    size: int | None = None
    size_param: str | None = None
    total: str | None = None
    more: str | None = None
    _total: Steps | None = field(init=False, repr=False, compare=False)
    _more: Steps | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _parameter(self.param)
        _check_size(self.size, self.size_param)
        object.__setattr__(self, "_total", _optional(self.total))
        object.__setattr__(self, "_more", _optional(self.more))

    def first(self) -> First:
        """Offset and size of the first page."""
        return ((self.param, 0), *_sized(self.size, self.size_param))

    def after(self, page: Page) -> NextPage:
        """Where the next page is."""
        total = _count(page.body, self._total)
        if total is not None:
            ended = page.total >= total
        else:
            ended = self.size is not None and self.more is None and len(page.records) < self.size
        if ended or not page.records or _stops(page.body, self._more):
            return End()
        return Going(self.param, page.total)


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """The next page is the ``rel="next"`` of the answer's ``Link`` header (RFC 8288), and nothing else."""

    def first(self) -> First:
        """The first page needs no parameter."""
        return ()

    def after(self, page: Page) -> NextPage:
        """Where the next page is."""
        return header_link(page.headers) or End()


@dataclass(frozen=True, slots=True)
class NextUrl:
    """The answer holds the next page's address, absolute or relative: ``NextUrl(at="pages.next")``."""

    at: str
    _where: Steps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_where", steps(self.at))

    def first(self) -> First:
        """The first page needs no parameter."""
        return ()

    def after(self, page: Page) -> NextPage:
        """Where the next page is."""
        url = reach(page.body, self._where)
        return Link(url) if isinstance(url, str) and url else End()


@dataclass(frozen=True, slots=True)
class Single:
    """One call is the whole list, whatever marks of more pages the answer has."""

    def first(self) -> First:
        """The first page needs no parameter."""
        return ()

    def after(self, page: Page) -> NextPage:
        """There is no next page."""
        return End()


def _sized(size: int | None, size_param: str | None) -> First:
    return () if size is None or size_param is None else ((size_param, size),)


Paging = Cursor | Number | Offset | LinkHeader | NextUrl | Single
