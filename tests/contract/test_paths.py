"""Contract section 1: path values are opaque, raw paths are plain, and neither oddity makes a call."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest

from .support import Seen, Site, detail, rows

HEAD, TAIL = "/v1/modules/scaiqueue/scopes/", "/queues"
VALUES = [
    "plain",
    "a/b",
    "/",
    "a//b",
    "../x",
    "a/../b",
    "./a",
    "...",
    ".hidden",
    "a.",
    "%2F",
    "%2e%2e",
    "100%",
    "a b",
    " ",
    " lead",
    "a+b",
    "a?b",
    "a#b",
    "a;b=c",
    "a&b=c",
    "a\\b",
    "a:b@c",
    "é",
    "ключ",
    "🦙",
    "a,b",
    "{scope_id}",
    "<script>",
    'quo"te',
]


def asked(site: Site, segment: str) -> list[Seen]:
    """Ask for the queues of a raw path segment and return the upstream calls."""
    site.get(f"/api/v1/scaiqueue/scopes/{segment}/queues")
    return site.grid.calls()


def raw_value(seen: Seen) -> str:
    """Return the raw segment an upstream call carried."""
    assert seen.path.startswith(HEAD), seen.path
    assert seen.path.endswith(TAIL), seen.path
    return seen.path[len(HEAD) : -len(TAIL)]


@pytest.mark.parametrize("value", VALUES)
def test_value_goes_as_one_segment(site: Site, value: str) -> None:
    """A value is decoded once and sent upstream as one percent-encoded segment."""
    (seen,) = asked(site, quote(value, safe=""))

    segment = raw_value(seen)
    assert (value, False) == (unquote(segment, errors="strict"), "/" in segment)


@pytest.mark.parametrize("value", [f"a{mark}b" for mark in ":@+,;=!$'(*)~-_"])
def test_unencoded_punctuation(site: Site, value: str) -> None:
    """Punctuation that needs no encoding in a segment is the same value without it."""
    (seen,) = asked(site, value)

    assert value == unquote(raw_value(seen))


@pytest.mark.parametrize("value", ["a" * 256, "é" * 256, "🦙" * 256, "/" * 256])
def test_256_characters(site: Site, value: str) -> None:
    """A value of 256 characters, not bytes, is one."""
    (seen,) = asked(site, quote(value, safe=""))

    assert value == unquote(raw_value(seen))


def test_rows_of_an_odd_scope(site: Site) -> None:
    """The rows of a scope whose id has a slash are answered."""
    site.grid.on("/v1/modules/scaiqueue/scopes/a%2Fb/queues", {"data": [{"id": "q", "slug": "s"}]})

    assert "q" == rows(site.get("/v1/scaiqueue/scopes/a%2Fb/queues"))[0]["id"]


@pytest.mark.parametrize(
    "segment",
    [
        "a" * 257,
        quote("é" * 257),
        "%2e",
        "%2E",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%00",
        "a%00b",
        "%0A",
        "a%0D%0Ab",
        "%09",
        "%1F",
        "%7F",
        "%C2%80",
        "%C2%85",
        "%C2%9F",
        "%",
        "%2",
        "%zz",
        "a%",
        "%%41",
        "%ff",
        "%C3",
        "%C0%AF",
        "%ED%A0%80",
        "%F5%80%80%80",
    ],
)
def test_value_refused(site: Site, segment: str) -> None:
    """A value too long, a dot segment, with control characters or not to be decoded is 400, no call."""
    answer = site.get(f"/v1/scaiqueue/scopes/{segment}/queues")

    found = detail(answer, 400, "invalid_parameter")
    assert (True, []) == ("scope_id" in found["message"], site.grid.calls())


@pytest.mark.parametrize("segment", [".", "..", ""])
def test_bare_dots_or_nothing(site: Site, segment: str) -> None:
    """A bare dot segment or an empty one where the value stands is refused without a call."""
    answer = site.get(f"/v1/scaiqueue/scopes/{segment}/queues")

    assert (True, []) == (answer.status in {400, 404}, site.grid.calls())


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/scaigrid/models",
        "/api//v1/scaigrid/models",
        "/api/v1//scaigrid/models",
        "/api/v1/scaigrid//models",
        "//v1/scaigrid/models",
        "/api/v1/scaigrid/models/",
        "/api/v1/scaigrid/models//",
        "/api/v1/./scaigrid/models",
        "/api/v1/x/../scaigrid/models",
        "/api/v1/scaigrid/../scaigrid/models",
        "/api/v1/scaigrid/models/.",
        "/api/v1/scaigrid/models/..",
        "/api/v1/scaigrid/models/%2e%2e/models",
        "/api/v1/%2e/scaigrid/models",
        "/api/v1/x/%2e%2e/scaigrid/models",
        "/api/v1/scaigrid%2Fmodels",
        "/api/v1%2Fscaigrid/models",
        "/api%2fv1/scaigrid/models",
        "/%2Fapi/v1/scaigrid/models",
        "/api/v1/scaigrid/models%2F",
        "/api/v1/scaigrid/models%2e",
        "/api/v1/scaigrid/models;a=b",
        "/api/v1/scaigrid;a=b/models",
        "/api/v1/scaigrid/models%00",
        "/api/v1/scaigrid/models%20",
        "/api/v1/scaigrid/models%3Fq=a",
        "/api/v1/scaigrid\\models",
        "/API/v1/scaigrid/models",
        "/api/V1/scaigrid/models",
        "/api/v1/ScaiGrid/models",
        "/api/v2/scaigrid/models",
        "/scaigrid/models",
        "/api/scaigrid/models",
        "/api/v1/api/v1/scaigrid/models",
        "/api/v1/scaigrid",
        "/api/v1/scaigrid/models/extra",
        "/api/v1/scaiqueue/scopes/a/queues/",
        "/api/v1/scaiqueue/scopes/a//queues",
        "/api/v1/scaiqueue//scopes/a/queues",
        "/api/v1/scaiqueue/scopes/a/b/queues",
        "/api/v1/scaiqueue/scopes/a/queues%2F",
        "/api/v1/scaiqueue/scopes%2Fa/queues",
        "/api/v1/scaiqueue/scopes/a/../b/queues",
        "/api/v1/scaiqueue/scopes/a/%2e%2e/b/queues",
        "/api/v1/scaiqueue/scopes/a/./queues",
        "/api/v1/scaiqueue/scopes/scp_1",
    ],
)
def test_odd_path_is_no_route(site: Site, path: str) -> None:
    """Any other oddity of the raw path is 404 and makes no call."""
    answer = site.get(path)

    assert "not_found" == detail(answer, 404, "not_found")["error"]
    assert [] == site.grid.calls()


@pytest.mark.parametrize("path", ["/v1/scaiqueue/scopes/a%2e%2eb/queues", "/v1/scaiqueue/scopes/a..b/queues"])
def test_dots_within_a_value(site: Site, path: str) -> None:
    """Dots that are only a part of a value are nothing special."""
    site.get(path)

    assert ["a..b"] == [unquote(raw_value(seen)) for seen in site.grid.calls()]
