"""A key is tried before it is stored: one call, to where it would go, and nothing is kept of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .support import (
    MODELS,
    PREFIXES,
    Answer,
    Site,
    Sites,
    Upstream,
    bearer,
    detail,
    failure,
    grid_error,
    sent,
)

ROUTE = "/v1/tenants/me/scaigrid_credentials/test"
KEY = "sgk_live_trial_9Xq27bLw"


@pytest.fixture
def site(sites: Sites) -> Site:
    """A site with an empty secrets file, whose tenants may have addresses on this machine."""
    site = sites(secrets={}, SCAILOOKUP_TENANT_HOSTS="127.0.0.1")
    site.keep({})
    site.grid.on(MODELS, {"data": [{"slug": "a"}, {"slug": "b"}]})
    return site


def trial(site: Site, body: Any, path: str = ROUTE, **claims: Any) -> Answer:
    """POST as a tenant admin, unless claims say otherwise."""
    token = site.issuer.token(**({"roles": ["tenant_admin"]} | claims))
    return site.get(path, token, method="POST", body=json.dumps(body).encode())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_good_key(site: Site, prefix: str) -> None:
    """The model list is asked with the key itself, and how many rows came is told."""
    answer = trial(site, {"api_key": KEY}, prefix + ROUTE.removeprefix("/v1"))

    assert (200, 2) == (answer.status, answer.json["rows"])
    assert [bearer(KEY)] == sent(site.grid, MODELS)


def test_nothing_is_stored_or_shown(site: Site) -> None:
    """The store stays as it was, and neither log nor answer holds the key."""
    answer = trial(site, {"api_key": KEY})

    assert KEY not in site.secrets_file.read_text() + answer.body.decode() + "\n".join(site.server.lines)
    assert not site.get(ROUTE.removesuffix("/test"), site.issuer.token()).json["configured"]


def test_a_refused_key(site: Site) -> None:
    """What ScaiGrid says is told, scrubbed of the key, with a fix for a key that is not stored."""
    site.grid.on(MODELS, grid_error("AUTH_TOKEN_INVALID", f"{KEY} is not known", 401))

    answer = trial(site, {"api_key": KEY})

    found = failure(answer, "scaigrid_auth", 401, "AUTH_TOKEN_INVALID")
    assert "nothing was stored" in found["fix"]
    assert KEY not in answer.body.decode() + "\n".join(site.server.lines)
    assert "tenant" == answer.header("X-Lookup-Credential")


def test_an_upstream_that_is_broken(site: Site) -> None:
    """The key may be good: the fix does not blame it."""
    site.grid.on(MODELS, grid_error("BACKEND_ERROR", "no", 500))

    assert (
        "Check the key"
        not in failure(trial(site, {"api_key": KEY}), "scaigrid_api", 500, "BACKEND_ERROR")["fix"]
    )


def test_an_address_of_the_body(site: Site, other: Upstream) -> None:
    """An allowed address given with the key is the one asked."""
    other.on(MODELS, {"data": []})

    assert 200 == trial(site, {"api_key": KEY, "base_url": other.base}).status
    assert ([bearer(KEY)], []) == (sent(other), sent(site.grid))


def test_the_tenants_own_address(sites: Sites, other: Upstream) -> None:
    """Without one in the body the key goes where it would go once stored."""
    site = sites(
        secrets={"tnt_acme": {"scaigrid_base_url": other.base}},
        SCAILOOKUP_TENANT_HOSTS="127.0.0.1",
        SCAILOOKUP_SECRET_FRESH="0",
    )
    other.on(MODELS, {"data": []})

    assert 200 == trial(site, {"api_key": KEY}).status
    assert [bearer(KEY)] == sent(other)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"api_key": "nope"}, "api_key"),
        ({"api_key": KEY, "base_url": "https://evil.example"}, "base_url"),
        ({"api_key": KEY, "base_url": "http://169.254.169.254"}, "base_url"),
        ({"api_key": KEY, "other": 1}, "other"),
        ([], "body"),
    ],
)
def test_a_bad_body_asks_nobody(site: Site, body: Any, parameter: str) -> None:
    """The rules of the POST that stores hold here too."""
    found = detail(trial(site, body), 400, "invalid_parameter")

    assert (parameter, []) == (found["parameter"], site.grid.calls())


@pytest.mark.parametrize("roles", [["tenant_viewer"], ["tenant_user"], ["partner_admin"], []])
def test_others_may_not(site: Site, roles: list[str]) -> None:
    """Only who may store a key may try one; nobody's key is sent anywhere."""
    detail(trial(site, {"api_key": KEY}, roles=roles), 403, "forbidden")

    assert [] == site.grid.calls()


def test_it_is_only_posted(site: Site) -> None:
    """There is nothing to read."""
    detail(site.get(ROUTE), 405, "method_not_allowed")
