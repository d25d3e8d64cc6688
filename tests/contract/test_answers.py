"""Contract section 7: what every answer carries, and conditional requests."""

from __future__ import annotations

import re

import pytest

from .support import (
    API_MODELS,
    LOOKUPS,
    MODEL,
    MODELS,
    PREFIXES,
    Reply,
    Site,
    grid_error,
    models,
    rows,
)

ETAG = re.compile(r'"[\x21\x23-\x7e]+"')
OURS = re.compile(r"[A-Za-z0-9._-]{1,128}")
ALL = [prefix + path for prefix in PREFIXES for path in LOOKUPS]


def words(value: str | None) -> set[str]:
    """Return the words of a comma list in lower case."""
    return {word.strip().lower() for word in (value or "").split(",")} - {""}


@pytest.mark.parametrize("path", ALL)
def test_headers_of_a_lookup(site: Site, path: str) -> None:
    """A lookup says how it may be kept and where it came from."""
    answer = site.get(path)

    assert {"private", "no-cache"} == words(answer.header("Cache-Control"))
    assert {"authorization", "accept-encoding"} <= words(answer.header("Vary"))
    assert (True, True) == (bool(answer.header("Cache-Status")), bool(answer.header("Server-Timing")))
    assert (answer.header("Age") or "").isdigit()
    assert "application/json" == (answer.header("Content-Type") or "").partition(";")[0]


@pytest.mark.parametrize("path", ALL)
def test_etag_is_strong(site: Site, path: str) -> None:
    """A lookup has one strong ETag."""
    assert ETAG.fullmatch(site.get(path).header("ETag") or "")


def test_length(site: Site) -> None:
    """The length told is the length sent."""
    answer = site.get(API_MODELS)

    assert str(len(answer.body)) == answer.header("Content-Length")


@pytest.mark.parametrize("path", LOOKUPS)
def test_head_has_the_headers_of_get(site: Site, path: str) -> None:
    """HEAD tells the type, length and ETag that GET has."""
    got, head = (site.get("/v1" + path, method=method) for method in ("GET", "HEAD"))
    names = ["Content-Type", "Content-Length", "ETag", "Cache-Control", "Vary"]

    assert [got.header(name) for name in names] == [head.header(name) for name in names]


def test_etag_is_of_the_bytes(site: Site) -> None:
    """Equal bodies have equal ETags, different ones different."""
    site.grid.on(MODELS, {"data": models("a")}, {"data": models("a")}, {"data": models("b")})

    first, second, third = (site.get(API_MODELS).header("ETag") for _ in range(3))

    assert (True, True) == (first == second, first != third)


def test_created_does_not_disturb_the_etag(site: Site) -> None:
    """A record's created, different at each call, leaves the ETag alone."""
    first = {"data": [{"id": "a", "created": 1700000000}]}
    site.grid.on(MODELS, first, {"data": [{"id": "a", "created": 1700000001.5}]}, {"data": [{"id": "a"}]})

    assert 1 == len({site.get(API_MODELS).header("ETag") for _ in range(3)})


@pytest.mark.parametrize("form", ["{tag}", '"x", {tag}', '{tag}, "y"', "W/{tag}", "*", '"a,b" , {tag}'])
def test_not_modified(site: Site, form: str) -> None:
    """A matching If-None-Match is 304 with the ETag and no body."""
    tag = site.get(API_MODELS).header("ETag")

    answer = site.get(API_MODELS, headers={"If-None-Match": form.format(tag=tag)})

    assert (304, b"", tag) == (answer.status, answer.body, answer.header("ETag"))


def test_not_modified_head(site: Site) -> None:
    """HEAD with a matching If-None-Match is 304."""
    tag = site.get(API_MODELS).header("ETag") or ""

    assert 304 == site.get(API_MODELS, headers={"If-None-Match": tag}, method="HEAD").status


@pytest.mark.parametrize("form", ['"x"', "W/{bare}", "{bare}", '"{bare}', "", '"*"', "junk,,", '"x" {tag}x'])
def test_modified(site: Site, form: str) -> None:
    """What does not match is answered in full."""
    tag = site.get(API_MODELS).header("ETag") or ""
    form = form.format(bare=tag.strip('"')[:-1], tag=tag[:-1])

    assert [MODEL] == rows(site.get(API_MODELS, headers={"If-None-Match": form}))


def test_not_modified_needs_a_token(site: Site) -> None:
    """Who may not ask does not learn that nothing changed."""
    tag = site.get(API_MODELS).header("ETag") or ""

    answers = [
        site.get(API_MODELS, token, {"If-None-Match": tag}).status
        for token in (None, site.issuer.token(permissions=[]))
    ]

    assert [401, 403] == answers


def test_errors_are_not_304(site: Site) -> None:
    """A failed lookup is an error whatever the caller has."""
    site.grid.on(MODELS, grid_error("A", "m", 500))

    assert 502 == site.get(API_MODELS, headers={"If-None-Match": "*"}).status


def test_range_is_ignored(site: Site) -> None:
    """A range is answered in full."""
    assert [MODEL] == rows(site.get(API_MODELS, headers={"Range": "bytes=0-1"}))


PATHS = [API_MODELS, "/v1/nothing", "/healthz", API_MODELS + "?foo=1"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["a", "abc-DEF_1.2", "x" * 128])
def test_request_id_comes_back(site: Site, path: str, given: str) -> None:
    """A good request id of the caller comes back on every answer."""
    assert given == site.get(path, headers={"X-Request-ID": given}).header("X-Request-ID")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "a;b", "<b>", "é", "a,b", '"a"', "a\tb"])
def test_bad_request_id_is_replaced(site: Site, path: str, given: str) -> None:
    """Any other request id is replaced by one of ours."""
    found = site.get(path, headers={"X-Request-ID": given}).header("X-Request-ID") or ""

    assert (True, False) == (bool(OURS.fullmatch(found)), found == given)


def test_own_request_ids_differ(site: Site) -> None:
    """Each answer's own request id is another."""
    assert 5 == len({site.get(API_MODELS).header("X-Request-ID") for _ in range(5)})


@pytest.mark.parametrize("path", PATHS)
def test_no_foreign_headers(site: Site, path: str) -> None:
    """No answer sets a cookie or offers CORS by itself."""
    answer = site.get(path, headers={"Origin": "http://localhost:5173", "Cookie": "a=b"})
    names = {name.lower() for name, _ in answer.headers}

    assert [] == [name for name in names if name.startswith("access-control-") or name == "set-cookie"]


def test_compressed_answer_is_another_representation(site: Site) -> None:
    """If a client that takes gzip gets it, its ETag is not that of the plain bytes."""
    site.grid.on(MODELS, {"data": models(f"model-{number}" for number in range(500))})
    plain = site.get(API_MODELS)
    packed = site.get(API_MODELS, headers={"Accept-Encoding": "gzip"})

    same_bytes = packed.header("Content-Encoding") is None
    assert same_bytes == (plain.header("ETag") == packed.header("ETag"))


def test_answers_do_not_mix(site: Site) -> None:
    """Two tenants asking by turns each get what the upstream said to their own token."""
    site.grid.on(MODELS, lambda seen: Reply({"data": models([(seen.header("Authorization") or "")[-12:]])}))
    tokens = [site.issuer.token(tenant_id=f"tnt_{number % 2}") for number in range(6)]

    assert [[token[-12:]] for token in tokens] == [
        [row["slug"] for row in rows(site.get(API_MODELS, token))] for token in tokens
    ]
