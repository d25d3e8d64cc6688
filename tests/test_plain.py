"""The cheap reading of a head against Tornado's: it may decline, and never read anything otherwise."""

from __future__ import annotations

import tracemalloc

import fakes  # noqa: F401  (loads the profile for hypothesis)
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, parse_request_start_line

from scailookup.web.plain import plain_head

READ = ("Host", "Authorization", "Accept-Encoding", "If-None-Match", "X-Request-Id", "Traceparent")
PIECES = st.sampled_from(
    [
        *("Host", "host", "Authorization", "X-Request-ID", "Origin", "Content-Length", "transfer-encoding"),
        *(
            "Connection",
            "Expect",
            "If-None-Match",
            "Accept-Encoding",
            ":",
            ": ",
            " ",
            "\t",
            "\r",
            "\n",
            "\r\n",
        ),
        *(
            "127.0.0.1",
            "a b",
            "keep-alive",
            "close",
            "100-continue",
            "gzip",
            "Bearer x.y.z",
            "\0",
            "ö",
            "\x85",
        ),
        *("0", "chunked", "GET ", "/a", "?q", " HTTP/1.1", "HTTP/1.0", "http://h/", ""),
    ]
)
LINES = st.one_of(
    st.sampled_from(["Host: h", "Authorization: Bearer a.b.c", "User-Agent: x", "If-None-Match: *"]),
    st.lists(PIECES, max_size=5).map("".join),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
STARTS = st.one_of(
    st.sampled_from(["GET /api/v1/scaigrid/models HTTP/1.1", "GET / HTTP/1.1", "GET //a HTTP/1.1"]),
    st.lists(PIECES, max_size=4).map("".join),
)

# All that ends a head on the wire: Tornado takes a bare LF for the end of a line.
ENDS = ("\r\n\r\n", "\r\n\n", "\n\r\n", "\n\n")


def block(*lines: str, end: str = "\r\n\r\n") -> bytes:
    """A head with its empty line."""
    return ("\r\n".join(lines) + end).encode("latin-1")


@given(STARTS, st.lists(LINES, max_size=5), st.sampled_from(ENDS))
def test_it_reads_as_tornado_does(start, lines, end):
    """Whatever is taken for a plain GET is one to Tornado too, with the same values."""
    raw = block(start, "Host: h", *lines, end=end)
    head = plain_head(raw)
    if head is None:
        return
    text = raw.decode("latin-1")
    first, _, rest = text.partition("\r\n")
    assert ("GET", head.target, "HTTP/1.1") == tuple(parse_request_start_line(first))
    headers = HTTPHeaders.parse(rest)
    assert [headers.get_list(name) for name in READ] == [head.get_list(name) for name in READ]
    assert {"Origin", "Content-Length", "Transfer-Encoding"}.isdisjoint(headers)
    assert "keep-alive" == headers.get("Connection", "keep-alive").lower()


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: h", "Origin: https://app.example"],
        ["Host: h", "Content-Length: 0"],
        ["Host: h", "transfer-encoding: chunked"],
        ["Host: h", "Connection: close"],
        ["Host: h", "Connection: keep-alive, Upgrade"],
        ["Host: h", "Expect: 100-Continue"],
        ["Host: h", "Host: h"],
        ["Host: h", "If-None-Match: a", "if-none-match: b"],
        ["Host : h"],
        ["Host: h", " folded"],
        ["Host: h", "no colon"],
        ["Host: h", "X: a\nContent-Length: 5"],
        ["Host: h", "X: a\rb"],
        ["Host: h", "X: \0"],
        ["Host: h", ": x"],
        ["Host: a b"],
        ["X: no host"],
    ],
    ids=" | ".join,
)
def test_what_is_not_plain(lines):
    """Anything that says more than a plain GET does, or looks odd, is left to the ordinary road."""
    assert (True, None) == (
        plain_head(block("GET /a HTTP/1.1", "Host: h")) is not None,
        plain_head(block("GET /a HTTP/1.1", *lines)),
    )


@pytest.mark.parametrize("end", ENDS[1:], ids=repr)
@pytest.mark.parametrize("last", ["X: y", "Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_head_that_ends_in_a_bare_lf(last, end):
    """No field is lost at the end of a head, however its last lines end: the ordinary road reads it."""
    assert None is plain_head(block("GET /a HTTP/1.1", "Host: h", last, end=end))


def test_long_names_are_not_remembered():
    """Whoever sends field names of any length, each another, takes no memory for good."""
    tracemalloc.start()
    try:
        for number in range(100):
            assert None is plain_head(block("GET /a HTTP/1.1", "Host: h", f"X{number}{'x' * 50_000}: y"))
        assert 500_000 > tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_name_of_ordinary_length_is_plain():
    """Names of up to 256 characters are plain, one more is not; nor is a head beyond 64 KiB."""
    start = "GET /a HTTP/1.1"
    heads = [block(start, "Host: h", f"{'x' * size}: y") for size in (256, 257)]
    spare = 64 * 1024 - len(block(start, "Host: h", "X: "))
    heads += [block(start, "Host: h", f"X: {'x' * (spare + more)}") for more in (0, 1)]
    assert [True, False, True, False] == [plain_head(head) is not None for head in heads]


@pytest.mark.parametrize(
    "start",
    [
        "HEAD /a HTTP/1.1",
        "GET /a HTTP/1.0",
        "GET a HTTP/1.1",
        "GET /a?b HTTP/1.1",
        "GET /a b HTTP/1.1",
        "",
        "GET /ä HTTP/1.1",
    ],
)
def test_what_is_no_plain_get(start):
    """A start line that is not a GET of a path alone is left to the ordinary road."""
    assert None is plain_head(block(start, "Host: h"))
