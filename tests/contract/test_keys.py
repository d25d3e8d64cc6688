"""Contract section 2: where ScaiKey's keys come from, and what happens when they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .support import (
    API_MODELS,
    JWKS,
    PLATFORM_DISCOVERY,
    ROOT_DISCOVERY,
    Reply,
    Site,
    Upstream,
    detail,
    encode,
    rsa_key,
    script_all,
)

Fresh = Callable[..., Site]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    """A factory of sites nobody used before: keys are remembered by a running server."""
    made: list[Site] = []

    def make(**settings: str | None) -> Site:
        made.append(script_all(Site(tmp_path, **settings)))
        return made[-1]

    yield make
    for site in made:
        site.stop()


def test_platform_discovery_first(fresh: Fresh) -> None:
    """The platform's discovery path is asked first, and when it answers the other is not."""
    site = fresh()

    assert 200 == site.get(API_MODELS).status
    assert (True, []) == (
        bool(site.issuer.http.calls(PLATFORM_DISCOVERY)),
        site.issuer.http.calls(ROOT_DISCOVERY),
    )


def test_root_discovery_second(fresh: Fresh) -> None:
    """Where the platform's path is not served, the root's is taken."""
    site = fresh()
    site.issuer.platform = False

    assert 200 == site.get(API_MODELS).status


def test_no_discovery(fresh: Fresh) -> None:
    """With neither discovery document there are no keys: 503 identity_unavailable."""
    site = fresh()
    site.issuer.platform = site.issuer.root = False

    detail(site.get(API_MODELS), 503, "identity_unavailable")
    assert [] == site.grid.calls()


def test_jwks_url_needs_no_discovery(fresh: Fresh, other: Upstream) -> None:
    """SCAIKEY_JWKS_URL is used as it is, and discovery is left alone."""
    site = fresh(SCAIKEY_JWKS_URL=other.base + "/my/keys")
    other.on("/my/keys", site.issuer.jwks())

    assert (200, []) == (site.get(API_MODELS).status, site.issuer.http.calls())


def test_jwks_url_and_issuer_without_base(fresh: Fresh, other: Upstream) -> None:
    """SCAIKEY_JWKS_URL with SCAIKEY_ISSUER does without SCAIKEY_BASE_URL."""
    site = fresh(
        SCAIKEY_JWKS_URL=other.base + "/my/keys", SCAIKEY_ISSUER="https://id.example", SCAIKEY_BASE_URL=None
    )
    other.on("/my/keys", site.issuer.jwks())

    assert 200 == site.get(API_MODELS, site.issuer.token(iss="https://id.example")).status


def test_redirected_keys_are_not_followed(fresh: Fresh, other: Upstream) -> None:
    """A redirect of the key set is not followed."""
    site = fresh()
    other.on(JWKS, site.issuer.jwks())
    site.issuer.failing = Reply(b"", 302, {"Location": other.base + JWKS})

    detail(site.get(API_MODELS), 503, "identity_unavailable")
    assert [] == other.calls()


@pytest.mark.parametrize(
    "reply",
    [Reply({"error": "down"}, 500), Reply("<html>"), Reply({}), Reply([]), Reply(reset=True)],
    ids=["500", "html", "no keys", "array", "reset"],
)
def test_never_fetched(fresh: Fresh, reply: Reply) -> None:
    """Keys never fetched and not to be had are 503 identity_unavailable, in our own words."""
    site = fresh()
    site.issuer.failing = reply

    found = detail(site.get(API_MODELS), 503, "identity_unavailable")
    assert (False, []) == ("<html>" in str(found), site.grid.calls())


def test_rotation(fresh: Fresh) -> None:
    """A token with a new kid is good after one more fetch."""
    site = fresh()
    before = site.get(API_MODELS).status
    known = site.issuer.fetches
    kid = site.issuer.rotate("rsa-2")

    assert (200, 200) == (before, site.get(API_MODELS, site.issuer.token(kid=kid)).status)
    assert known + 1 == site.issuer.fetches


def test_unknown_kids_refetch_once(fresh: Fresh) -> None:
    """Tokens with random kids are 401 and make one fetch more at most."""
    site = fresh()
    site.get(API_MODELS)
    known = site.issuer.fetches
    tokens = [
        site.issuer.token(header={"kid": f"kid-{number}"}, key=rsa_key("foreign")) for number in range(6)
    ]

    assert [401] * 6 == [site.get(API_MODELS, token).status for token in tokens]
    assert known + 1 >= site.issuer.fetches


def test_good_keys_stay_while_scaikey_is_down(fresh: Fresh) -> None:
    """Keys once good stay good when a refetch fails."""
    site = fresh()
    site.get(API_MODELS)
    site.issuer.failing = Reply({"error": "down"}, 500)
    site.get(API_MODELS, site.issuer.token(header={"kid": "unknown"}))

    assert 200 == site.get(API_MODELS).status


@pytest.mark.parametrize("reply", [{"keys": []}, {}, {"keys": "x"}], ids=str)
def test_good_keys_survive_an_empty_set(fresh: Fresh, reply: dict) -> None:
    """A refetch that brings no key at all does not wipe good ones."""
    site = fresh()
    site.get(API_MODELS)
    site.issuer.failing = Reply(reply)
    site.get(API_MODELS, site.issuer.token(header={"kid": "unknown"}))

    assert 200 == site.get(API_MODELS).status


def test_concurrent_needs_share_one_fetch(fresh: Fresh) -> None:
    """Eight first requests at once fetch the keys once."""
    site = fresh()
    site.issuer.delay = 0.5
    tokens = [site.issuer.token() for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda token: site.get(API_MODELS, token).status, tokens))

    assert ([200] * 8, 1) == (answers, site.issuer.fetches)


def test_keys_nobody_can_use_are_passed_over(fresh: Fresh, other: Upstream) -> None:
    """Broken and foreign keys in a set do not spoil the good ones."""
    site = fresh(SCAIKEY_JWKS_URL=other.base + "/my/keys")
    odd = [
        7,
        {},
        {"kty": "oct", "k": "AAAA", "kid": "rsa-1x"},
        {"kty": "RSA", "n": "!", "e": "?", "kid": "b"},
    ]
    other.on("/my/keys", {"keys": [*odd, *site.issuer.jwks()["keys"]]})

    assert 200 == site.get(API_MODELS).status


def test_symmetric_key_in_the_set_is_no_key(fresh: Fresh, other: Upstream) -> None:
    """A secret key that strayed into the set verifies nothing."""
    site = fresh(SCAIKEY_JWKS_URL=other.base + "/my/keys")
    stray = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ", "kid": "oct-1", "alg": "HS256"}
    other.on("/my/keys", {"keys": [*site.issuer.jwks()["keys"], stray]})
    token = encode(
        {"alg": "HS256", "kid": "oct-1"}, site.issuer.claims(), b"secret-secret-secret-secret-1234"
    )

    assert 401 == site.get(API_MODELS, token).status
