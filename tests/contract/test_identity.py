"""Contract section 2: which tokens are good."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .support import API_MODELS, AUDIENCE, PREFIXES, Site, Sites, refused, script_all, sent

BAD_TENANTS = [
    "",
    " ",
    "a/b",
    "../x",
    "tnt_acme\n",
    "\ntnt_acme",
    "a b",
    "a.b",
    "é",
    "٣",
    "a" * 65,
    "a\x00b",
    "%61",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_token(site: Site, prefix: str) -> None:
    """Without a token a lookup is 401."""
    refused(site, site.get(f"{prefix}/scaigrid/models", None))


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
def test_good_token(site: Site, kid: str) -> None:
    """RS256 and ES256 tokens are good."""
    assert 200 == site.get(API_MODELS, site.issuer.token(kid=kid)).status


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Token {token}",
        "{token}",
        "Bearer {token} {token}",
        "Bearer {token}, Bearer {token}",
        'Bearer token="{token}"',
        "Bearer a.b.c",
        "Bearer ...",
        "Bearer é.é.é",
        "Bearer sgk_live_0123456789abcdef",
        "Bearer skt_0123456789abcdef",
    ],
)
def test_header_that_is_no_bearer_jwt(site: Site, value: str) -> None:
    """Anything but one bearer JWT in the header is 401; a key is never forwarded."""
    value = value.format(token=site.issuer.token())

    refused(site, site.get(API_MODELS, None, {"Authorization": value}))


def test_two_headers(site: Site) -> None:
    """Two Authorization headers are 401, be they equal and good."""
    header = ("Authorization", f"Bearer {site.issuer.token()}")

    refused(site, site.get(API_MODELS, None, [header, header]))


@pytest.mark.parametrize(
    "name", ["X-Authorization", "X-Access-Token", "Proxy-Authorization", "Authorization_"]
)
def test_other_headers_are_not_read(site: Site, name: str) -> None:
    """A token in another header is none."""
    refused(site, site.get(API_MODELS, None, {name: f"Bearer {site.issuer.token()}"}))


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "session"])
def test_cookie_is_not_read(site: Site, name: str) -> None:
    """A token in a cookie is none."""
    refused(site, site.get(API_MODELS, None, {"Cookie": f"{name}={site.issuer.token()}"}))


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_query_is_not_read(site: Site, name: str) -> None:
    """A token in the query lets nobody in."""
    answer = site.get(f"{API_MODELS}?{name}={site.issuer.token()}", None)

    assert (True, []) == (answer.status in {400, 401}, site.grid.calls())


@pytest.mark.parametrize("missing", ["exp", "sub", "tenant_id", "iss", "aud"])
def test_missing_claim(site: Site, missing: str) -> None:
    """A token without a required claim is 401."""
    refused(site, site.get(API_MODELS, site.issuer.token(**{missing: None})))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_time_as_text(site: Site, name: str) -> None:
    """A time that is text, be it good digits, is none: 401."""
    good = site.issuer.claims()["exp"] if name == "exp" else site.issuer.claims()["iat"]

    refused(site, site.get(API_MODELS, site.issuer.token(**{name: str(good)})))


@pytest.mark.parametrize(
    "claims",
    [{"exp": -30}, {"nbf": 30}, {"iat": 30}, {"nbf": -100}, {"iat": -100_000}],
    ids=str,
)
def test_times_within_the_skew(site: Site, claims: dict[str, int]) -> None:
    """exp, nbf and iat are honoured with 60 s of skew."""
    now = int(time.time())
    token = site.issuer.token(**{name: now + offset for name, offset in claims.items()})

    assert 200 == site.get(API_MODELS, token).status


@pytest.mark.parametrize("claims", [{"exp": -90}, {"nbf": 90}, {"iat": 90}, {"exp": -100_000}], ids=str)
def test_times_beyond_the_skew(site: Site, claims: dict[str, int]) -> None:
    """A token beyond the skew is 401."""
    now = int(time.time())

    refused(
        site, site.get(API_MODELS, site.issuer.token(**{name: now + value for name, value in claims.items()}))
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "tomorrow"},
        {"exp": []},
        {"exp": {}},
        {"nbf": "now"},
        {"iat": "now"},
        {"sub": 7},
        {"sub": ["usr_1"]},
        {"tenant_id": 7},
        {"tenant_id": ["tnt_acme"]},
        {"tenant_id": {"id": "tnt_acme"}},
        {"tenant_id": True},
        {"iss": 7},
        {"aud": 7},
        {"aud": {"app_scaiflow": 1}},
    ],
    ids=str,
)
def test_claims_of_the_wrong_type(site: Site, claims: dict[str, Any]) -> None:
    """A claim of the wrong type is 401, not a fault of ours."""
    refused(site, site.get(API_MODELS, site.issuer.token(**claims)))


@pytest.mark.parametrize("tenant", BAD_TENANTS, ids=repr)
def test_bad_tenant(site: Site, tenant: str) -> None:
    """A tenant_id outside [A-Za-z0-9_-]{1,64} is 401, a newline at its end too."""
    refused(site, site.get(API_MODELS, site.issuer.token(tenant_id=tenant)))


@pytest.mark.parametrize("tenant", ["a", "a" * 64, "tnt_ACME-1", "-", "_"])
def test_good_tenant(site: Site, tenant: str) -> None:
    """Any tenant_id within the alphabet and 64 characters is good."""
    assert 200 == site.get(API_MODELS, site.issuer.token(tenant_id=tenant)).status


def test_tenant_issuer(site: Site) -> None:
    """The issuer may be that of the token's own tenant."""
    token = site.issuer.token(iss=f"{site.issuer.base}/tenants/tnt_acme")

    assert 200 == site.get(API_MODELS, token).status


@pytest.mark.parametrize(
    "issuer",
    [
        "{base}/tenants/tnt_globex",
        "{base}/tenants/",
        "{base}/tenants",
        "{base}/tenants/tnt_acme/",
        "{base}/tenants/TNT_ACME",
        "{base}/tenants/tnt_globex/../tnt_acme",
        "{base}/other",
        "{base}.evil.example",
        "https://evil.example",
        "",
    ],
)
def test_other_issuers(site: Site, issuer: str) -> None:
    """Another tenant's issuer, or any other, is 401."""
    refused(site, site.get(API_MODELS, site.issuer.token(iss=issuer.format(base=site.issuer.base))))


def test_issuer_setting(sites: Sites) -> None:
    """SCAIKEY_ISSUER is one more exact issuer."""
    site = script_all(sites(SCAIKEY_ISSUER="https://id.example/realm"))

    good = site.get(API_MODELS, site.issuer.token(iss="https://id.example/realm"))
    near = site.get(API_MODELS, site.issuer.token(iss="https://id.example/realm2"))

    assert (200, 401) == (good.status, near.status)


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["app_other", AUDIENCE]])
def test_good_audience(site: Site, aud: Any) -> None:
    """The audience is ours, alone or among others."""
    assert 200 == site.get(API_MODELS, site.issuer.token(aud=aud)).status


@pytest.mark.parametrize(
    "aud", ["app_other", ["app_other"], [], "", AUDIENCE + "2", AUDIENCE.upper(), [[AUDIENCE]]]
)
def test_bad_audience(site: Site, aud: Any) -> None:
    """A token for another audience is 401."""
    refused(site, site.get(API_MODELS, site.issuer.token(aud=aud)))


def test_client_id_is_the_audience(sites: Sites) -> None:
    """Without SCAIKEY_AUDIENCE the audience is the client id."""
    site = script_all(sites(SCAIKEY_AUDIENCE=None, SCAIFLOW_SCAIKEY_CLIENT_ID="app_client"))

    assert (200, 401) == tuple(
        site.get(API_MODELS, site.issuer.token(aud=aud)).status for aud in ("app_client", AUDIENCE)
    )


def test_audience_before_client_id(sites: Sites) -> None:
    """With both set, SCAIKEY_AUDIENCE alone counts."""
    site = script_all(sites(SCAIFLOW_SCAIKEY_CLIENT_ID="app_client"))

    assert (401, 200) == tuple(
        site.get(API_MODELS, site.issuer.token(aud=aud)).status for aud in ("app_client", AUDIENCE)
    )


@pytest.mark.parametrize(("pad", "status"), [(11_000, 200), (13_000, 401), (30_000, 401)])
def test_token_size(site: Site, pad: int, status: int) -> None:
    """A token may have 16 KiB and not more."""
    token = site.issuer.token(pad="x" * pad)

    assert (status == 200, status) == (len(token) <= 16384, site.get(API_MODELS, token).status)


def test_good_token_goes_verbatim(site: Site) -> None:
    """The token that was checked is the one that leaves, byte for byte."""
    token = site.issuer.token()

    site.get(API_MODELS, token)

    assert [f"Bearer {token}"] == sent(site.grid)
