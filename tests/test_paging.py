"""From one page to the next, by what a plugin says of its upstream."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from fakes import JSON, json_with
from hypothesis import given

from scailookup import paging
from scailookup.envelopes import Cursor, End, Link
from scailookup.paging import Page


def page(
    body: Any = None, records: int = 2, number: int = 1, total: int | None = None, **headers: str
) -> Page:
    """A page that was read."""
    rows = [{"id": f"r{n}"} for n in range(records)]
    return Page(body, headers, rows, number, records if total is None else total)


CURSOR = paging.Cursor("after", at="paging.next")
MORE = paging.Cursor("after", at="next", more="has_more")
LAST = paging.Cursor("starting_after", last="id", more="has_more")
NUMBER, SIZED = paging.Number(), paging.Number("p", start=0, size=2, size_param="per_page")
OFFSET, TOTAL = paging.Offset(size=2, size_param="limit"), paging.Offset("skip", total="meta.total")


@pytest.mark.parametrize(
    ("how", "read", "then"),
    [
        (CURSOR, page({"paging": {"next": "c2"}}), Cursor("after", "c2")),
        (CURSOR, page({"paging": {"next": 7}}), Cursor("after", 7)),
        (CURSOR, page({"paging": {"next": None}}), End()),
        (CURSOR, page({"paging": {"next": ""}}), End()),
        (CURSOR, page({"paging": {"next": True}}), End()),
        (CURSOR, page({"paging": {}}), End()),
        (CURSOR, page([1]), End()),
        (MORE, page({"next": "c2", "has_more": True}), Cursor("after", "c2")),
        (MORE, page({"next": "c2", "has_more": False}), End()),
        (MORE, page({"next": "c2"}), End()),
        (MORE, page({"has_more": True}), End(truncated=True)),
        (LAST, page({"has_more": True}), Cursor("starting_after", "r1")),
        (LAST, page({"has_more": False}), End()),
        (LAST, page({"has_more": True}, records=0), End()),
        (NUMBER, page(), Cursor("page", 2)),
        (NUMBER, page(number=4), Cursor("page", 5)),
        (NUMBER, page(records=0), End()),
        (SIZED, page(), Cursor("p", 1)),
        (SIZED, page(records=1), End()),
        (paging.Number(pages="meta.pages"), page({"meta": {"pages": 2}}), Cursor("page", 2)),
        (paging.Number(pages="meta.pages"), page({"meta": {"pages": "1"}}), End()),
        (paging.Number(pages="meta.pages", size=5), page({"meta": {"pages": 2}}), Cursor("page", 2)),
        (paging.Number(more="more"), page({"more": True}), Cursor("page", 2)),
        (paging.Number(more="more"), page({"more": False}), End()),
        (OFFSET, page(), Cursor("offset", 2)),
        (OFFSET, page(number=3, total=6), Cursor("offset", 6)),
        (OFFSET, page(records=1), End()),
        (TOTAL, page({"meta": {"total": 3}}), Cursor("skip", 2)),
        (TOTAL, page({"meta": {"total": 2}}), End()),
        (TOTAL, page({"meta": {"total": 9}}, records=0), End()),
        (paging.LinkHeader(), page(link='</b?x=1>; rel="next", </a>; rel="prev"'), Link("/b?x=1")),
        (paging.LinkHeader(), page({"next_cursor": "c"}), End()),
        (paging.NextUrl("pages.next"), page({"pages": {"next": "/b"}}), Link("/b")),
        (paging.NextUrl("/@odata.nextLink"), page({"@odata.nextLink": "/b"}), Link("/b")),
        (paging.NextUrl("pages.next"), page({"pages": {"next": None}}), End()),
        (paging.Single(), page({"next_cursor": "c2", "has_more": True}), End()),
    ],
)
def test_the_next_page(how, read, then):
    """Each kind says where the next page is, or that there is none."""
    assert then == how.after(read)


@pytest.mark.parametrize(
    ("how", "first"),
    [
        (CURSOR, ()),
        (NUMBER, (("page", 1),)),
        (SIZED, (("p", 0), ("per_page", 2))),
        (OFFSET, (("offset", 0), ("limit", 2))),
        (paging.LinkHeader(), ()),
        (paging.NextUrl("a"), ()),
        (paging.Single(), ()),
    ],
)
def test_the_first_page(how, first):
    """What the first call is sent."""
    assert first == how.first()


@pytest.mark.parametrize(
    "make",
    [
        lambda: paging.Cursor("after"),
        lambda: paging.Cursor("after", at="a", last="b"),
        lambda: paging.Cursor("", at="a"),
        lambda: paging.Cursor("a b", at="a"),
        lambda: paging.Cursor("after", at="a..b"),
        lambda: paging.Number(size=0),
        lambda: paging.Number(size=True),
        lambda: paging.Number(size_param="per_page"),
        lambda: paging.Offset(size_param="limit"),
        lambda: paging.Offset("\n"),
        lambda: paging.NextUrl("a..b"),
    ],
)
def test_refused(make):
    """What cannot page is refused when it is declared."""
    with pytest.raises(ValueError):
        make()


ALL = [CURSOR, MORE, LAST, SIZED, OFFSET, TOTAL, paging.LinkHeader(), paging.NextUrl("a"), paging.Single()]


@pytest.mark.parametrize("how", ALL, ids=lambda how: type(how).__name__)
@given(body=JSON | json_with("paging", "next", "has_more", "meta", "total", "a"))
def test_total(how, body):
    """No body raises."""
    how.after(Page(body, {}, [body], 1, 1))


@pytest.mark.parametrize("how", ALL, ids=lambda how: type(how).__name__)
def test_frozen(how):
    """A declaration cannot be changed afterwards."""
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        how.param = "other"
