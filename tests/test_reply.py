"""The bytes and headers of a lookup's answer: Accept-Encoding, If-None-Match, Cache-Status, 304."""

from __future__ import annotations

import asyncio
import gzip
from time import perf_counter, time

import pytest

from scailookup.model import Answer, Form, Served
from scailookup.web.reply import LookupReply, accepts_gzip, lookup_reply, pack_beforehand

LONG = b'["' + b"x" * 1000 + b'"]'


def served(
    outcome: str = "hit",
    *,
    data: bytes = LONG,
    age: float = 3.7,
    ttl: float = 11.3,
    outdated: bool = False,
) -> Served:
    """An answer as one caller gets it."""
    answer = Answer.of(data, credential="caller", upstream_seconds=0.25)
    return Served(answer, Form(answer.body), outcome, age, ttl, outdated=outdated)


def reply(
    what: Served | None = None, accept: str = "", tags: str | None = None, vary_origin: bool = False
) -> LookupReply:
    """What is sent."""
    return lookup_reply(
        what or served(),
        accept_encoding=accept,
        if_none_match=tags,
        started=perf_counter(),
        vary_origin=vary_origin,
    )


def header(sent: LookupReply, name: str) -> str | None:
    """The only value of a header, None without one."""
    values = [value for key, value in sent.headers if key.lower() == name.lower()]
    assert len(values) < 2, values
    return values[0] if values else None


@pytest.mark.parametrize(
    ("outcome", "ttl", "left", "lent"),
    [
        ("hit", 11.3, 3600, "5"),
        ("miss", 15.0, 3600, "5"),
        ("collapsed", 15.0, 3600, "5"),
        ("hit", 2.9, 3600, "2"),  # what is left of freshness
        ("hit", 0.4, 3600, "0"),
        ("hit", 11.3, 3.5, "3"),  # what is left of the token
        ("hit", 11.3, -20, "0"),
        ("stale", -0.1, 3600, "0"),
        ("stale-if-error", -80.0, 3600, "0"),
    ],
)
def test_seconds_lent_to_a_proxy(outcome, ttl, left, lent):
    """At most the setting, at most what is left of the answer and of the token; nothing of a stale one."""
    sent = lookup_reply(
        served(outcome, ttl=ttl),
        accept_encoding="",
        if_none_match=None,
        started=perf_counter(),
        vary_origin=False,
        microcache=5,
        expires=time() + left,
    )
    assert lent == header(sent, "X-Accel-Expires")


TAG = served().form.etag
GZIP_TAG = TAG[:-1] + '-gz"'


@pytest.mark.parametrize(
    "accept",
    [
        "gzip",
        "GZIP",
        "x-gzip",
        "*",
        "gzip;q=1",
        "gzip;q=0.001",
        "gzip ; q=0.5",
        "gzip; Q=1.000",
        "deflate, gzip",
        "br;q=1.0,gzip;q=0.8, *;q=0.1",
        "identity;q=0, gzip",
        "*;q=0, gzip",
    ],
)
def test_gzip_is_taken(accept):
    """Every way to say that gzip is welcome is understood."""
    assert True is accepts_gzip(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "identity",
        "deflate, br",
        "gzip;q=0",
        "gzip;q=0.0",
        "gzip; q=0.000",
        "*;q=0",
        "gzip;q=0, *",
        "*, gzip;q=0",
        "gzipped",
        "notgzip",
        "x;gzip",
        "gzip-x",
    ],
)
def test_gzip_is_not_taken(accept):
    """Who does not name gzip, or names it with q=0, gets the plain bytes."""
    assert False is accepts_gzip(accept)


def test_plain():
    """Without Accept-Encoding the body goes as it is."""
    sent = reply()
    assert (200, served().form.body, None, TAG, str(len(served().form.body))) == (
        *(sent.status, sent.body, header(sent, "Content-Encoding")),
        *(header(sent, "ETag"), header(sent, "Content-Length")),
    )


def test_gzip():
    """The compressed form has its encoding, its length and its own ETag."""
    sent = reply(accept="gzip")
    assert (200, served().form.body, "gzip", GZIP_TAG, str(len(sent.body))) == (
        *(sent.status, gzip.decompress(sent.body), header(sent, "Content-Encoding")),
        *(header(sent, "ETag"), header(sent, "Content-Length")),
    )


def test_a_small_body_stays_plain():
    """What would gain nothing is not compressed, though gzip is welcome."""
    sent = reply(served(data=b"[]"), accept="gzip")
    assert (b'{"data":[]}', None) == (sent.body, header(sent, "Content-Encoding"))


class Slow(Form):
    """A form that counts how often it is compressed, and fails as often as it is told to."""

    def __init__(self, body: bytes, failing: int = 0) -> None:
        super().__init__(body)
        self.failing = failing
        self.times = 0

    def packed(self) -> tuple[bytes, str] | None:
        self.times += 1
        if self.times <= self.failing:
            raise MemoryError
        return super().packed()


def packing(form: Form, callers: int) -> asyncio.Future[list[BaseException | None]]:
    """So many callers who want a long body compressed, all at once."""
    asked = Served(Answer.of(b"[]"), form, "hit")
    waiting = [pack_beforehand(asked, {"Accept-Encoding": "gzip"}) for _ in range(callers)]
    return asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.gen_test
async def test_a_long_body_is_compressed_once_for_all():
    """Whoever comes while it is compressed waits for that."""
    form = Slow(b"x" * 100_000)
    assert ([None] * 12, True, 1) == (await packing(form, 12), form.is_packed, form.times)


@pytest.mark.gen_test
async def test_compressing_that_failed_is_tried_again():
    """Those who waited hear of it; the next one tries anew."""
    form = Slow(b"x" * 100_000, failing=1)
    first, second = await packing(form, 2), await packing(form, 2)
    assert ([MemoryError] * 2, [None] * 2, 2) == ([type(failure) for failure in first], second, form.times)


@pytest.mark.gen_test
async def test_one_who_gives_up_harms_nobody():
    """Who is cancelled while a long body is compressed does not end it for the others."""
    form = Slow(b"x" * 3_000_000)
    first, second = asyncio.ensure_future(packing(form, 1)), asyncio.ensure_future(packing(form, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    assert ([None], 1) == (await second, form.times)


@pytest.mark.parametrize(
    "tags",
    [TAG, f"W/{TAG}", "*", f'"x", {TAG}', f'{TAG},"y"', f'"a,b" ,W/{TAG}', f'"x"\t, {TAG}', " * "],
)
def test_a_match(tags):
    """A list, a weak tag and a star match as RFC 9110 says."""
    assert 304 == reply(tags=tags).status


@pytest.mark.parametrize(
    "tags",
    ["", '"x"', TAG.strip('"'), GZIP_TAG, '"*"', f'"{TAG[1:-1]}x"', 'W/"x", "y"', f"w/{TAG[:-1]}"],
)
def test_no_match(tags):
    """Another tag, a bare word or a quoted star does not match."""
    assert 200 == reply(tags=tags).status


@pytest.mark.parametrize(("accept", "tag", "status"), [("gzip", GZIP_TAG, 304), ("gzip", TAG, 200)])
def test_the_compressed_form_is_matched_by_its_own_tag(accept, tag, status):
    """Each form answers to its own ETag alone."""
    assert status == reply(accept=accept, tags=tag).status


@pytest.mark.parametrize("accept", ["", "gzip"])
def test_not_modified_has_no_body(accept):
    """A 304 has neither body nor any Content- header."""
    sent = reply(accept=accept, tags="*")
    assert (304, b"", []) == (
        *(sent.status, sent.body),
        [name for name, _ in sent.headers if name.lower().startswith("content-")],
    )


def test_not_modified_keeps_what_a_cache_needs():
    """A 304 has the ETag, Vary and Cache-Control that the 200 would have."""
    names = ("ETag", "Vary", "Cache-Control", "Age")
    plain, same = reply(), reply(tags="*")
    assert [header(plain, name) for name in names] == [header(same, name) for name in names]


@pytest.mark.parametrize(
    ("outcome", "ttl", "words"),
    [
        ("hit", 11.3, "scailookup; hit; ttl=11"),
        ("stale", -5.2, "scailookup; hit; ttl=-5; detail=stale"),
        ("stale-if-error", -80.0, "scailookup; hit; ttl=-80; detail=stale-if-error"),
        ("miss", 15.0, "scailookup; fwd=uri-miss"),
        ("collapsed", 15.0, "scailookup; fwd=uri-miss; collapsed"),
    ],
)
def test_cache_status(outcome, ttl, words):
    """Each outcome is told in the words of RFC 9211."""
    assert words == header(reply(served(outcome, ttl=ttl)), "Cache-Status")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("miss", "scailookup; fwd=stale"), ("collapsed", "scailookup; fwd=stale; collapsed")],
)
def test_cache_status_of_what_was_too_old(outcome, words):
    """A call that was made because what was held is too old says so."""
    assert words == header(reply(served(outcome, ttl=15.0, outdated=True)), "Cache-Status")


@pytest.mark.parametrize(("age", "told"), [(0.0, "0"), (0.9, "0"), (3.7, "3"), (76.0, "76")])
def test_age_is_whole_seconds(age, told):
    """Age is told in whole seconds."""
    assert told == header(reply(served(age=age)), "Age")


@pytest.mark.parametrize("outcome", ["miss", "collapsed"])
def test_a_call_tells_its_time(outcome):
    """Server-Timing names the upstream's time where this request waited for it."""
    assert "upstream;dur=250.0, total;dur=" in (header(reply(served(outcome)), "Server-Timing") or "")


@pytest.mark.parametrize("outcome", ["hit", "stale", "stale-if-error"])
def test_memory_tells_no_upstream_time(outcome):
    """An answer from memory does not claim an upstream's time."""
    assert (header(reply(served(outcome)), "Server-Timing") or "").startswith("total;dur=")


@pytest.mark.parametrize(
    ("vary_origin", "vary"),
    [(False, "Authorization, Accept-Encoding"), (True, "Authorization, Accept-Encoding, Origin")],
)
def test_vary(vary_origin, vary):
    """Origin is named only where the answer depends on it."""
    assert vary == header(reply(vary_origin=vary_origin), "Vary")


def test_cache_control():
    """Nobody between us and the caller may keep an answer unasked."""
    assert "private, no-cache" == header(reply(), "Cache-Control")


def test_the_credential_step_is_told():
    """X-Lookup-Credential says whose credential fetched the answer."""
    assert "caller" == header(reply(), "X-Lookup-Credential")


def test_an_anonymous_upstream_has_no_credential_step():
    """Where nothing was signed, nothing is said."""
    answer = Answer.of(b"[]")
    assert None is header(reply(Served(answer, Form(answer.body), "hit")), "X-Lookup-Credential")
