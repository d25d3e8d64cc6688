"""Contract section 5: health, readiness, metrics, the admin listener and the catalogue."""

from __future__ import annotations

import json

import pytest

from .support import API_MODELS, ME, PREFIXES, Site, Sites, detail, script_all

NAMES = ["scaiqueue", "scaibunker", "scaigrid", "scopes", "queues", "bunkers", "models"]
SECRET = "sgk_env_Wq71bNvTy46Hd"


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(site: Site, path: str, admin: bool) -> None:
    """Both listeners say to anybody that the process lives and is able to serve."""
    assert 200 == site.get(path, None, admin=admin).status


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_asks_no_upstream(site: Site, path: str, admin: bool) -> None:
    """Health asks no list and carries no credential anywhere."""
    site.get(path, None, admin=admin)

    assert [] == [seen for seen in site.grid.calls() if seen.all("Authorization")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_ignores_a_bad_token(site: Site, path: str) -> None:
    """A token is not looked at where none is needed."""
    assert 200 == site.get(path, "nonsense").status


def test_metrics_on_the_admin_listener(site: Site) -> None:
    """The admin listener serves Prometheus text."""
    site.get(API_MODELS)

    answer = site.get("/metrics", None, admin=True)

    assert (200, True) == (answer.status, b"# TYPE" in answer.body)


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics", "/api/v1/metrics"])
def test_no_metrics_in_public(site: Site, path: str) -> None:
    """The public listener has no metrics."""
    detail(site.get(path), 404, "not_found")


@pytest.mark.parametrize("path", [API_MODELS, "/v1/lookups", "/v1/tenants/me/scaigrid_credentials"])
def test_no_lookups_on_the_admin_listener(site: Site, path: str) -> None:
    """The admin listener serves nothing of the public one but health."""
    answer = site.get(path, admin=True)

    assert (404, []) == (answer.status, site.grid.calls())


def test_metrics_hold_no_secret(sites: Sites) -> None:
    """Metrics hold no token, key or value of a caller."""
    site = script_all(sites(SCAIGRID_API_KEY=SECRET, SCAILOOKUP_DEV="true", SCAIFLOW_DEPLOY_AUTH="api_key"))
    token = site.issuer.token(sub="usr_planted")
    site.get(API_MODELS + "?q=planted", token)
    site.get("/v1/scaiqueue/scopes/planted/queues", token)
    site.get("/v1/planted", token)

    text = site.get("/metrics", None, admin=True).body.decode()

    assert [] == [secret for secret in (SECRET, token, "planted") if secret in text]


def test_admin_off(sites: Sites) -> None:
    """SCAILOOKUP_ADMIN=off closes the admin listener; health stays on the public one."""
    site = sites(SCAILOOKUP_ADMIN="off")

    assert (None, 200, 404) == (
        site.server.admin_port,
        site.get("/healthz", None).status,
        site.get("/metrics", None).status,
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_catalogue(site: Site, prefix: str) -> None:
    """The catalogue names every upstream and its lookups."""
    answer = site.get(prefix + "/lookups")

    text = json.dumps(answer.json)
    assert (200, []) == (answer.status, [name for name in NAMES if name not in text])


def test_catalogue_calls_nobody(site: Site) -> None:
    """The catalogue is our own knowledge: no upstream is asked."""
    site.get("/v1/lookups")

    assert [] == site.grid.calls()


def test_catalogue_names_the_permission(site: Site) -> None:
    """The catalogue says which permission a lookup needs."""
    assert "scaicore:view" in json.dumps(site.get("/v1/lookups").json)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_catalogue_needs_a_token(site: Site, prefix: str) -> None:
    """Without a token there is no catalogue."""
    detail(site.get(prefix + "/lookups", None), 401, "unauthenticated")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_catalogue_needs_the_permission(site: Site, prefix: str) -> None:
    """Without scaicore:view there is no catalogue."""
    site.grid.on(ME, {"permissions": []})

    answer = site.get(prefix + "/lookups", site.issuer.token(roles=["tenant_user"]))

    assert "need scaicore:view" == detail(answer, 403, "forbidden")["message"]


def test_catalogue_without_a_disabled_plugin(sites: Sites) -> None:
    """A plugin left out by name has no lookups: neither in the catalogue nor as a route."""
    site = script_all(sites(SCAILOOKUP_DISABLED_PLUGINS="scaibunker"))

    assert (False, 404, 200) == (
        "bunkers" in json.dumps(site.get("/v1/lookups").json),
        site.get("/v1/scaibunker/bunkers").status,
        site.get(API_MODELS).status,
    )


def test_catalogue_holds_no_secret(sites: Sites) -> None:
    """The catalogue shows no key."""
    site = sites(SCAIGRID_API_KEY=SECRET, SCAILOOKUP_DEV="true", SCAIFLOW_DEPLOY_AUTH="api_key")

    assert SECRET.encode() not in site.get("/v1/lookups").body
