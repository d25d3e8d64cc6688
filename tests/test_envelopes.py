"""Records and next pages of a list in any envelope."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from fakes import JSON, json_with
from hypothesis import given
from hypothesis import strategies as st

from scailookup.envelopes import Cursor, End, Link, next_page, next_url, records
from scailookup.errors import CallFailed

HERE = "https://grid.example:8443/v1/things?limit=5&cursor=old"
NAMES = ("data", "items", "models", "results", "meta", "links", "next", "has_more", "next_cursor", "last_id")


@pytest.mark.parametrize(
    "body",
    [
        {"data": [1]},
        {"data": {"items": [1]}},
        {"object": "list", "data": [1]},
        [1],
        {"items": [1]},
        {"models": [1]},
        {"results": [1]},
        {"data": [1], "models": [2], "items": [3]},
        {"data": {"items": [1]}, "items": [3]},
        {"items": None, "models": [1]},
    ],
)
def test_envelopes(body):
    """Each known envelope is read, and data wins where several stand together."""
    assert [1] == records(body)


@pytest.mark.parametrize(
    "body",
    [None, {"data": None}, {"data": {"items": None}}, {"items": None}, {"models": None}, {"data": []}, []],
)
def test_null_is_empty(body):
    """null where the list should be means empty."""
    assert [] == records(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {}},
        {"data": "x"},
        {"data": 0},
        {"data": False},
        {"data": {"models": [1]}},
        {"data": {"items": {}}},
        {"items": {}},
        {"rows": [1]},
        {"detail": "x"},
        "text",
        0,
        True,
    ],
)
def test_anything_else_is_bad_shape(body):
    """What cannot be read is never an empty list."""
    with pytest.raises(CallFailed) as caught:
        records(body)
    assert "bad_shape" == caught.value.code


@given(JSON | json_with(*NAMES))
def test_records_is_total(body):
    """Over arbitrary JSON there is a list or a bad_shape."""
    try:
        found = records(body)
    except CallFailed:
        return
    assert isinstance(found, list)


@pytest.mark.parametrize(
    ("marks", "page"),
    [
        ({"has_more": True, "next_cursor": "c2"}, Cursor("cursor", "c2")),
        ({"next_cursor": "c2"}, Cursor("cursor", "c2")),
        ({"next_cursor": 7}, Cursor("cursor", "7")),
        ({"next_cursor": 0}, Cursor("cursor", "0")),
        ({"nextCursor": "c2"}, Cursor("cursor", "c2")),
        ({"next_page_token": "t"}, Cursor("page_token", "t")),
        ({"nextPageToken": "t"}, Cursor("pageToken", "t")),
        ({"next_token": "t"}, Cursor("next_token", "t")),
        ({"links": {"next": "/v1?p=2"}}, Link("/v1?p=2")),
        ({"links": {"next": {"href": "/v1?p=2"}}}, Link("/v1?p=2")),
        ({"_links": {"next": {"href": "/v1?p=2"}}}, Link("/v1?p=2")),
        ({"next": "https://grid.example:8443/p2"}, Link("https://grid.example:8443/p2")),
        ({"next": "opaque"}, Cursor("cursor", "opaque")),
        ({"next_url": "p2"}, Link("p2")),
        ({"@odata.nextLink": "/p2"}, Link("/p2")),
        ({"has_more": False, "next_cursor": "c2"}, End()),
        ({"next_cursor": None}, End()),
        ({"next_cursor": ""}, End()),
        ({"next_cursor": True}, End()),
        ({"next": None}, End()),
        ({"links": {"next": None, "prev": "/p0"}}, End()),
        ({"links": []}, End()),
        ({"has_more": True}, End(truncated=True)),
        ({"has_more": True, "last_id": "m9"}, Cursor("after_id", "m9")),
        ({"has_more": True, "last_id": "m9", "object": "list"}, Cursor("after", "m9")),
        ({"has_more": False, "last_id": "m9"}, End()),
        ({"last_id": "m9"}, End()),
        ({}, End()),
    ],
)
@pytest.mark.parametrize("place", ["top", "data", "meta"])
def test_next_page(marks, page, place):
    """The marks of paging are found at the top, in data and in meta."""
    if place == "data":
        body = {"data": {"items": [], **marks}}
        page = Cursor("after_id", "m9") if page == Cursor("after", "m9") else page
    elif place == "meta":
        body = {"data": [], "meta": marks}
        page = Cursor("after_id", "m9") if page == Cursor("after", "m9") else page
    else:
        body = {"data": [], **marks}
    assert page == next_page(body, {})


@pytest.mark.parametrize(
    ("header", "page"),
    [
        ('</p2>; rel="next"', Link("/p2")),
        ("</p2>; rel=next", Link("/p2")),
        ('</p0>; rel="prev", </p2>; title="x"; rel="next"', Link("/p2")),
        ('</p2>; REL="last NEXT"', Link("/p2")),
        ('</p0>; rel="prev"', End()),
        ("rubbish", End()),
        ("", End()),
    ],
)
def test_link_header(header, page):
    """A Link header's next is followed where the body has no mark."""
    assert page == next_page([], {"link": header})


def test_the_body_goes_before_the_header():
    """A cursor of the body wins over a Link header."""
    assert Cursor("cursor", "c") == next_page({"next_cursor": "c"}, {"link": "</p2>; rel=next"})


@pytest.mark.parametrize(
    ("page", "url"),
    [
        (Cursor("cursor", "new"), "https://grid.example:8443/v1/things?limit=5&cursor=new"),
        (Cursor("page_token", "a/b&c=d e\u00e9"), f"{HERE}&page_token=a%2Fb%26c%3Dd%20e%C3%A9"),
        (Link("?p=2"), "https://grid.example:8443/v1/things?p=2"),
        (Link("/p2"), "https://grid.example:8443/p2"),
        (Link("p2"), "https://grid.example:8443/v1/p2"),
        (Link("https://grid.example:8443/p2#x"), "https://grid.example:8443/p2"),
        (Link("https://GRID.example:8443/p2"), "https://grid.example:8443/p2"),
        (Link("http://grid.example/p2"), "https://grid.example:8443/p2"),
        (Link("https://grid.example:8443"), "https://grid.example:8443/"),
    ],
)
def test_next_url(page, url):
    """The next page is asked at our own address."""
    assert url == next_url(HERE, page)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/p2",
        "//evil.example/p2",
        "https://grid.example:9999/p2",
        "https://grid.example.evil.example:8443/p2",
        "https://grid.example:8443@evil.example/p2",
        "https://user@grid.example:8443/p2",
        "https://user:pw@grid.example:8443/p2",
        "ftp://grid.example:8443/p2",
        "javascript:alert(1)",
        "https://[::1/p2",
        "https://grid.example:99999/p2",
        "/p\u00e9",
        "/p 2",
    ],
)
def test_links_that_may_not_be_asked(link):
    """A link to another host, port, scheme or with a user is not followed."""
    assert None is next_url(HERE, Link(link))


ADDRESSES = st.sampled_from(
    ["https://g.example", "http://127.0.0.1:8080", "http://[::1]:8080", "http://g.example"]
)
LINKS = st.text() | st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            [
                "http:",
                "https:",
                "//",
                "/",
                "\\",
                "@",
                "g.example",
                "evil.example",
                ":8080",
                "..",
                "?",
                "#",
                "\t",
            ]
        )
        | st.text(max_size=2),
        max_size=8,
    ),
)


@given(ADDRESSES, LINKS)
def test_a_link_never_leaves_the_address(address, link):
    """Whatever link comes, what is asked is at our own scheme, host and port."""
    found = next_url(address + "/v1/list?a=1", Link(link))
    assert found is None or found.startswith(address + "/")


@given(ADDRESSES, LINKS)
def test_a_link_parses_back_to_the_address(address, link):
    """A url parser sees the same host in what is asked as we do."""
    found = urlsplit(next_url(address + "/v1/list?a=1", Link(link)) or address)
    assert address == f"{found.scheme}://{found.netloc}"


@given(ADDRESSES, st.text(min_size=1))
def test_a_cursor_changes_the_query_only(address, value):
    """Whatever cursor comes, the path stays and the url is plain ASCII."""
    found = next_url(address + "/v1/list?a=1", Cursor("cursor", value))
    assert (True, True) == (found.startswith(f"{address}/v1/list?a=1&cursor="), found.isascii())


@given(json_with(*NAMES), st.text())
def test_next_page_is_total(body, header):
    """Over arbitrary JSON and Link headers there is a page to ask for, or an end."""
    page = next_page(body, {"link": header})
    found = next_url(HERE, page) if not isinstance(page, End) else None
    assert found is None or found.startswith("https://grid.example:8443/")
