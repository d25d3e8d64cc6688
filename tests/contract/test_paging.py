"""Contract section 1: all pages are followed, to a cap, and never to another host."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from .support import (
    API_MODELS,
    MODELS,
    Reply,
    Seen,
    Site,
    Sites,
    Upstream,
    failure,
    models,
    rows,
    sent,
    slugs,
)

CURSOR = "c/2 +&=%é"
BOTH = ["a", "b"]
STYLES: dict[str, Callable[[list], dict[str, Any]]] = {
    "top level": lambda rows: {"data": rows, "has_more": True, "next_cursor": CURSOR},
    "in data": lambda rows: {"data": {"items": rows, "has_more": True, "next_cursor": CURSOR}},
    "in meta": lambda rows: {"data": rows, "meta": {"has_more": True, "next_cursor": CURSOR}},
    "items": lambda rows: {"items": rows, "has_more": True, "next_cursor": CURSOR},
    "cursor alone": lambda rows: {"data": rows, "next_cursor": CURSOR},
    "page token": lambda rows: {"data": rows, "next_page_token": CURSOR},
    "page token in meta": lambda rows: {"data": rows, "meta": {"next_page_token": CURSOR}},
    "page token in data": lambda rows: {"data": {"items": rows, "next_page_token": CURSOR}},
}


def two_pages(first: dict[str, Any], second: Any) -> Callable[[Seen], Any]:
    """Answer `second` to whoever brings the cursor in any parameter, else `first`."""
    return lambda seen: second if [CURSOR] in seen.query.values() else first


def linked(site: Site, link: str) -> Callable[[Seen], Any]:
    """Answer page one with links.next, page two to whoever asks for page=2."""
    first = {"data": models("a"), "links": {"next": link}}
    return lambda seen: {"data": models("b")} if seen.query.get("page") == ["2"] else first


def endless(size: int = 1) -> Callable[[Seen], Any]:
    """Answer pages of new rows for ever."""
    serial = count()
    return lambda _: {
        "data": models(f"m{next(serial)}" for _ in range(size)),
        "has_more": True,
        "next_cursor": f"c{next(serial)}",
    }


@pytest.mark.parametrize("style", STYLES)
def test_next_page_is_followed(site: Site, style: str) -> None:
    """A cursor is found at the top, in data or in meta, and reaches the upstream intact."""
    site.grid.on(MODELS, two_pages(STYLES[style](models("a")), {"data": models("b"), "has_more": False}))

    answer = site.get(API_MODELS)

    assert (BOTH, {"data"}, 2) == (slugs(answer), set(answer.json), len(site.grid.calls(MODELS)))


def test_cursor_parameter(site: Site) -> None:
    """next_cursor goes back as the platform's parameter, cursor."""
    site.grid.on(MODELS, two_pages(STYLES["top level"](models("a")), {"data": models("b")}))

    site.get(API_MODELS)

    assert [None, [CURSOR]] == [seen.query.get("cursor") for seen in site.grid.calls(MODELS)]


@pytest.mark.parametrize("end", [{"has_more": False}, {"has_more": False, "next_cursor": None}, {}])
def test_end_of_pages(site: Site, end: dict[str, Any]) -> None:
    """A page that names no next one is the last."""
    site.grid.on(MODELS, {"data": models("a"), **end})

    answer = site.get(API_MODELS)

    assert ({"data"}, 1) == (set(answer.json), len(site.grid.calls(MODELS)))


@pytest.mark.parametrize("link", ["{base}{path}?page=2", "{path}?page=2", "?page=2"])
def test_link_is_followed(site: Site, link: str) -> None:
    """links.next to the same host, absolute or relative, is followed."""
    site.grid.on(MODELS, linked(site, link.format(base=site.grid.base, path=MODELS)))

    assert BOTH == slugs(site.get(API_MODELS))


@pytest.mark.parametrize(
    "link",
    [
        "http://localhost:{other}{path}?page=2",
        "http://127.0.0.1:{own}@localhost:{other}{path}?page=2",
        "http://127.0.0.1:{other}{path}?page=2",
        "//localhost:{other}{path}?page=2",
        "\\\\localhost:{other}{path}?page=2",
        "http:localhost:{other}{path}?page=2",
        "http://localhost:{other}\\@127.0.0.1:{own}{path}?page=2",
        "HTTP://LOCALHOST:{other}{path}?page=2",
        "ftp://127.0.0.1:{own}{path}?page=2",
        "file:///etc/passwd",
    ],
)
def test_link_to_another_host_is_not_followed(site: Site, other: Upstream, link: str) -> None:
    """links.next to another host is not called, and nobody gets the credential."""
    link = link.format(other=other.port, own=site.grid.port, path=MODELS)
    other.on(MODELS, {"data": models("stolen")})
    site.grid.on(MODELS, linked(site, link))

    answer = site.get(API_MODELS)

    assert ([], False) == (other.calls(), b"stolen" in answer.body)


def test_rows_before_a_foreign_link_stand(site: Site, other: Upstream) -> None:
    """The rows that came before a link to another host are answered."""
    site.grid.on(MODELS, linked(site, f"http://localhost:{other.port}{MODELS}?page=2"))

    assert ["a"] == slugs(site.get(API_MODELS))


@pytest.mark.parametrize("cycle", [["x"], ["x", "y"], ["x", "y", "z"]])
def test_repeated_cursor_truncates(site: Site, cycle: list[str]) -> None:
    """A cursor that comes again ends the list as truncated."""
    serial = count()

    def page(_: Seen) -> dict[str, Any]:
        number = next(serial)
        return {"data": models([f"m{number}"]), "next_cursor": cycle[number % len(cycle)], "has_more": True}

    site.grid.on(MODELS, page)

    answer = site.get(API_MODELS)

    assert {"truncated": True} == answer.json.get("meta")
    assert len(cycle) + 1 == len(site.grid.calls(MODELS))


def test_repeated_link_truncates(site: Site) -> None:
    """A next link that comes again ends the list as truncated."""
    site.grid.on(MODELS, {"data": models("a"), "links": {"next": f"{MODELS}?page=2"}})

    answer = site.get(API_MODELS)

    assert {"data": [{"slug": "a", "display_name": "a"}], "meta": {"truncated": True}} == answer.json


def test_page_cap(sites: Sites) -> None:
    """SCAILOOKUP_MAX_PAGES ends the list as truncated."""
    site = sites(SCAILOOKUP_MAX_PAGES="3")
    site.grid.on(MODELS, endless())

    answer = site.get(API_MODELS)

    assert (3, {"truncated": True}, 3) == (
        len(rows(answer)),
        answer.json.get("meta"),
        len(site.grid.calls(MODELS)),
    )


def test_last_page_at_the_page_cap(sites: Sites) -> None:
    """A list that ends with the last page allowed is whole."""
    site = sites(SCAILOOKUP_MAX_PAGES="3")
    site.grid.on(
        MODELS,
        {"data": models("a"), "next_cursor": "1"},
        {"data": models("b"), "next_cursor": "2"},
        {"data": models("c")},
    )

    answer = site.get(API_MODELS)

    assert (["a", "b", "c"], {"data"}) == (slugs(answer), set(answer.json))


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_row_cap(sites: Sites, size: int) -> None:
    """SCAILOOKUP_MAX_ROWS ends the list as truncated, within a page too."""
    site = sites(SCAILOOKUP_MAX_ROWS="5")
    site.grid.on(MODELS, endless(size))

    answer = site.get(API_MODELS)

    assert (5, {"truncated": True}) == (len(rows(answer)), answer.json.get("meta"))


def test_exactly_the_row_cap(sites: Sites) -> None:
    """A list of exactly the cap's rows is whole."""
    site = sites(SCAILOOKUP_MAX_ROWS="5")
    site.grid.on(MODELS, {"data": models("abcde")})

    answer = site.get(API_MODELS)

    assert (5, {"data"}) == (len(rows(answer)), set(answer.json))


def test_unique_over_pages(site: Site) -> None:
    """Rows are unique by id over all pages."""
    site.grid.on(MODELS, {"data": models("ab"), "next_cursor": "2"}, {"data": models("bc")})

    answer = site.get(API_MODELS)

    assert (["a", "b", "c"], {"data"}) == (slugs(answer), set(answer.json))


def test_dropped_over_pages(site: Site) -> None:
    """Dropped rows are counted over all pages."""
    site.grid.on(MODELS, {"data": [*models("a"), 1], "next_cursor": "2"}, {"data": [2, 3, *models("b")]})

    assert {"dropped": 3} == site.get(API_MODELS).json.get("meta")


def test_failed_page_fails_the_lookup(site: Site) -> None:
    """An error on a later page is an error, never a partial list."""
    site.grid.on(MODELS, {"data": models("a"), "next_cursor": "2"}, Reply({"error": {"code": "NO"}}, 500))

    failure(site.get(API_MODELS), "scaigrid_api", 500, "NO")


def test_bad_shape_on_a_later_page(site: Site) -> None:
    """A later page that is no list is bad_shape."""
    site.grid.on(MODELS, {"data": models("a"), "next_cursor": "2"}, {"foo": 1})

    failure(site.get(API_MODELS), "scaigrid_api", 200, "bad_shape")


def test_every_page_has_the_credential(site: Site) -> None:
    """Each page is asked for with the same credential."""
    token = site.issuer.token()
    site.grid.on(MODELS, {"data": models("a"), "next_cursor": "2"}, {"data": models("b")})

    site.get(API_MODELS, token)

    assert [f"Bearer {token}"] * 2 == sent(site.grid, MODELS)


def test_filters_see_all_pages(site: Site) -> None:
    """A filter applies to the whole list, not to one page."""
    site.grid.on(MODELS, {"data": models("a"), "next_cursor": "2"}, {"data": models("b")})

    assert ["b"] == slugs(site.get(API_MODELS + "?q=b&limit=1"))


def test_deadline_covers_all_pages(sites: Sites) -> None:
    """Pages that are quick one by one still end at the lookup's one deadline."""
    site = sites(SCAILOOKUP_DEADLINE="1")
    page = endless()
    site.grid.on(MODELS, lambda seen: Reply(page(seen), delay=0.4))

    failure(site.get(API_MODELS), "scaigrid_api", None, "timeout")
    assert 4 > len(site.grid.calls(MODELS))
