"""The optional microcache of deploy/nginx, in a real nginx before a real node."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from contract.support import (
    API_MODELS,
    API_SCOPES,
    Answer,
    Reply,
    Seen,
    Site,
    detail,
    script_all,
    slugs,
)

from .edge import Edge
from .load import until

CREDENTIALS = "/api/v1/tenants/me/scaigrid_credentials"
ORIGINS = ("https://a.example", "https://b.example")
SETTINGS = {
    "SCAILOOKUP_MICROCACHE": "60",
    "SCAILOOKUP_FRESH": "600",
    "SCAILOOKUP_CORS_ORIGINS": ",".join(ORIGINS),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node that lends answers for a minute: the tests need not hurry."""
    made = script_all(Site(tmp_path_factory.mktemp("site"), {}, **SETTINGS))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def edge(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """nginx with the microcache."""
    directory = tmp_path_factory.mktemp("edge")
    made = Edge(directory, [site.server.port], microcache=True, rates=(5000, 5000))
    yield made
    made.stop()


def kept(answer: Answer) -> bool:
    """Whether nginx answered by itself."""
    return "nginx; hit" in answer.all("Cache-Status")


def test_the_second_answer_is_nginxs(site: Site, edge: Edge) -> None:
    """The same bytes and headers, with the id of its own request; what nginx was told stays inside."""
    token = site.issuer.token()
    first, second = (edge.get(API_MODELS, token, {"X-Request-ID": f"r{n}"}) for n in (1, 2))
    assert (False, True) == (kept(first), kept(second))
    assert first.body == second.body
    assert ["r1", "r2"] == [answer.header("X-Request-ID") for answer in (first, second)]
    for name in ("ETag", "Cache-Control", "Vary", "Content-Type", "X-Lookup-Credential"):
        assert first.header(name) == second.header(name)
    assert [None, None] == [answer.header("X-Accel-Expires") for answer in (first, second)]


def test_a_known_list_is_not_sent_again(site: Site, edge: Edge) -> None:
    """nginx compares the ETag, of a kept list and of one it fetches."""
    token = site.issuer.token()
    etag = edge.get(API_MODELS, token).header("ETag") or ""
    for path in (API_MODELS, API_MODELS + "?limit=1000"):
        answer = edge.get(path, token, {"If-None-Match": etag})
        assert (304, b"") == (answer.status, answer.body)
    assert 200 == edge.get(API_MODELS, token, {"If-None-Match": '"other"'}).status


def test_two_tokens_never_share(site: Site, edge: Edge) -> None:
    """However they are mixed, each is answered its own list."""

    def own(seen: Seen) -> Reply:
        return Reply({"data": [{"id": "scp", "slug": seen.header("Authorization") or ""}]})

    site.grid.on("/v1/modules/scaiqueue/scopes", own)
    tokens = [site.issuer.token(tenant_id=tenant) for tenant in ("tnt_acme", "tnt_globex", "tnt_acme")]

    def ask(number: int) -> tuple[str, Answer]:
        token = tokens[number % len(tokens)]
        return token, edge.get(API_SCOPES, token)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(240)))
    for token, answer in answers:
        assert [f"Bearer {token}"] == slugs(answer)
    assert sum(kept(answer) for _, answer in answers) > 120
    script_all(site)


def test_a_token_that_is_cut_or_lengthened_is_another(site: Site, edge: Edge) -> None:
    """Near misses of a token with a kept list get nothing of it."""
    token = site.issuer.token()
    edge.get(API_MODELS, token)
    assert kept(edge.get(API_MODELS, token))
    for other in (token[:-1], token + "x", token.swapcase()):
        detail(edge.get(API_MODELS, other), 401, "unauthenticated")
    detail(edge.get(API_MODELS), 401, "unauthenticated")
    detail(edge.get(API_MODELS, headers={"Authorization": f"Basic {token}"}), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (API_MODELS + "?q=a", {}),
        (API_MODELS + "?", {}),
        ("/v1/scaigrid/models", {}),
        (API_MODELS, {"Accept-Encoding": "gzip"}),
        (API_MODELS, {"Origin": ORIGINS[0]}),
    ],
)
def test_whatever_else_the_answer_varies_by_parts_it(
    site: Site, edge: Edge, path: str, headers: dict[str, str]
) -> None:
    """Another URI, encoding or origin is another answer."""
    token = site.issuer.token()
    assert not kept(edge.get(API_MODELS, token))
    assert not kept(edge.get(path, token, headers))
    assert kept(edge.get(path, token, headers))


def test_origins_are_told_apart(site: Site, edge: Edge) -> None:
    """Each page is named in its own answer, kept or not."""
    token = site.issuer.token()
    for _ in range(2):
        for origin in ORIGINS:
            answer = edge.get(API_MODELS, token, {"Origin": origin})
            assert origin == answer.header("Access-Control-Allow-Origin")


def test_failures_are_not_kept(site: Site, edge: Edge) -> None:
    """The request after a failure is answered anew."""
    token = site.issuer.token()
    site.grid.on("/v1/models", Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500))
    detail(edge.get(API_MODELS, token), 502, "scaigrid_api")
    script_all(site)
    answer = edge.get(API_MODELS, token)
    assert (200, False) == (answer.status, kept(answer))


@pytest.mark.parametrize(
    ("path", "status"), [("/api/v1/lookups", 200), (CREDENTIALS, 200), ("/api/v1/x", 404)]
)
def test_only_lookups_are_kept(site: Site, edge: Edge, path: str, status: int) -> None:
    """Whatever else is asked twice is answered twice by the node."""
    token = site.issuer.token()
    answers = [edge.get(path, token) for _ in range(2)]
    assert [(status, False)] * 2 == [(answer.status, kept(answer)) for answer in answers]


def test_a_token_at_its_end_is_not_kept(site: Site, edge: Edge) -> None:
    """A list is kept no longer than the token lasts: one that is over, within the skew, not at all."""
    ending = site.issuer.token(exp=site.issuer.claims()["iat"] - 20)
    assert [False, False] == [kept(edge.get(API_MODELS, ending)) for _ in range(2)]


def test_what_is_kept_ends(site: Site, edge: Edge) -> None:
    """After the seconds lent the node is asked again."""
    token = site.issuer.token(exp=site.issuer.claims()["iat"] + 5)
    edge.get(API_MODELS, token)
    until(lambda: "nginx; fwd=stale" in edge.get(API_MODELS, token).all("Cache-Status"))


def test_the_storage_is_nginxs_alone(site: Site, edge: Edge) -> None:
    """Nobody else may open directory or files."""
    edge.get(API_MODELS, site.issuer.token())
    directory = edge.directory / "microcache"
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    for path in (directory, *files):
        assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o077
