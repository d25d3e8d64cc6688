"""Contract sections 3 and 6: the secret stores, read over the wire, and what their failing means."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .support import API_MODELS, Reply, Site, Sites, Upstream, detail, script_all, sent

KEY = "sgk_vault_key_0001"
STORES = ["scaivault", "hashicorp"]
NOT_FOUND = {
    "scaivault": Reply({"error": {"code": "secret_not_found", "message": "no"}}, 404),
    "hashicorp": Reply({"errors": []}, 404),
}
PLANTED = {"errors": ["planted-text"], "error": {"code": "down", "message": "planted-text"}}
FAILING = {
    "500": Reply(PLANTED, 500),
    "503": Reply(PLANTED, 503),
    "403": Reply(PLANTED, 403),
    "reset": Reply(reset=True),
    "html": Reply("<html>planted-text"),
}


def path(store: str, tenant: str, name: str = "scaigrid_api_key") -> str:
    """Return where a store keeps a tenant's secret."""
    root = "/v1/secrets/" if store == "scaivault" else "/v1/secret/data/"
    return f"{root}tenants/{tenant}/{name}"


def kept(store: str, **fields: str) -> dict[str, Any]:
    """Return a store's answer for a secret."""
    if store == "scaivault":
        return {"path": "p", "version": 1, "secret_type": "kv", "data": fields, "metadata": {}}
    meta = {"version": 1, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
    return {"data": {"data": fields, "metadata": meta | {"custom_metadata": None}}, "lease_duration": 0}


def vaulted(sites: Sites, other: Upstream, store: str, **settings: str) -> Site:
    """Return a site pinned to api_key with `other` as its secret store."""
    if store == "scaivault":
        where = {"SCAIVAULT_URL": other.base, "SCAIVAULT_TOKEN": "skt_vault_token_0001"}
    else:
        where = {"VAULT_ADDR": other.base, "VAULT_TOKEN": "hvs.vault-token-0001"}
        other.on("/v1/auth/token/lookup-self", {"data": {"ttl": 3600, "renewable": False}})
    return script_all(sites(SCAIFLOW_DEPLOY_AUTH="api_key", **where, **settings))


def ask(site: Site, tenant: str) -> Any:
    """Ask for models as a viewer of a tenant."""
    return site.get(API_MODELS, site.issuer.token(tenant_id=tenant))


@pytest.mark.parametrize("field", ["value", "api_key", "key", "something"])
@pytest.mark.parametrize("store", STORES)
def test_key_is_read(sites: Sites, other: Upstream, store: str, field: str) -> None:
    """The tenant's key is found under any of the documented fields, or as the only text there is."""
    site = vaulted(sites, other, store)
    other.on(path(store, f"tnt_{field}"), kept(store, **{field: KEY}))

    assert (200, [f"Bearer {KEY}"]) == (ask(site, f"tnt_{field}").status, sent(site.grid))


def test_scaivault_token(sites: Sites, other: Upstream) -> None:
    """ScaiVault is asked with its own token and nothing of the caller's."""
    site = vaulted(sites, other, "scaivault")
    other.on(path("scaivault", "tnt_tok"), kept("scaivault", value=KEY))

    ask(site, "tnt_tok")

    assert {"Bearer skt_vault_token_0001"} == set(sent(other))


def test_hashicorp_token(sites: Sites, other: Upstream) -> None:
    """Vault is asked with its own token and nothing of the caller's."""
    site = vaulted(sites, other, "hashicorp")
    other.on(path("hashicorp", "tnt_tok"), kept("hashicorp", value=KEY))

    ask(site, "tnt_tok")

    (seen,) = other.calls(path("hashicorp", "tnt_tok"))
    assert ("hvs.vault-token-0001", []) == (seen.header("X-Vault-Token"), seen.all("Authorization"))


@pytest.mark.parametrize("store", STORES)
def test_missing_key(sites: Sites, other: Upstream, store: str) -> None:
    """A key the store does not have is 412, not a failure of the store."""
    site = vaulted(sites, other, store)
    for name in ("scaigrid_api_key", "scaigrid_base_url"):
        other.on(path(store, "tnt_none", name), NOT_FOUND[store])

    detail(ask(site, "tnt_none"), 412, "missing_credentials")


@pytest.mark.parametrize("store", STORES)
def test_missing_is_remembered(sites: Sites, other: Upstream, store: str) -> None:
    """A missing key is not asked for again at once."""
    site = vaulted(sites, other, store)
    other.on(path(store, "tnt_gone"), NOT_FOUND[store])
    ask(site, "tnt_gone")
    known = len(other.calls())

    ask(site, "tnt_gone")

    assert known == len(other.calls())


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("store", STORES)
def test_failing_store(sites: Sites, other: Upstream, store: str, how: str) -> None:
    """A store that fails is 503 secrets_unavailable, in our own words, never a missing key."""
    site = vaulted(sites, other, store)
    other.on(path(store, f"tnt_{how}"), FAILING[how])

    answer = ask(site, f"tnt_{how}")

    detail(answer, 503, "secrets_unavailable")
    assert (False, []) == (b"planted" in answer.body, site.grid.calls())


@pytest.mark.parametrize("store", STORES)
def test_value_is_fresh_for_a_while(sites: Sites, other: Upstream, store: str) -> None:
    """A value read is not read again while it is fresh."""
    site = vaulted(sites, other, store)
    other.on(path(store, "tnt_fresh"), kept(store, value=KEY))
    ask(site, "tnt_fresh")
    known = len(other.calls())

    assert (200, known) == (ask(site, "tnt_fresh").status, len(other.calls()))


@pytest.mark.parametrize("store", STORES)
def test_value_is_held_through_an_outage(sites: Sites, other: Upstream, store: str) -> None:
    """A value no longer fresh is used on while the store fails."""
    site = vaulted(sites, other, store, SCAILOOKUP_SECRET_FRESH="1")
    other.on(path(store, "tnt_held"), kept(store, value=KEY))
    ask(site, "tnt_held")
    other.on(path(store, "tnt_held"), Reply({"errors": ["down"], "error": {"code": "x"}}, 500))
    time.sleep(1.3)

    assert (200, 2) == (ask(site, "tnt_held").status, len(sent(site.grid)))


@pytest.mark.parametrize("store", STORES)
def test_rotated_value_is_read_afresh(sites: Sites, other: Upstream, store: str) -> None:
    """A fresh value that gets 401 is read again and tried once more."""
    site = vaulted(sites, other, store)
    other.on(path(store, "tnt_rot"), kept(store, value="sgk_old_key_0001"))
    ask(site, "tnt_rot")
    other.on(path(store, "tnt_rot"), kept(store, value="sgk_new_key_0002"))
    good = "Bearer sgk_new_key_0002"
    site.grid.on(
        "/v1/models",
        lambda seen: (
            {"data": []} if seen.header("Authorization") == good else Reply({"error": {"code": "X"}}, 401)
        ),
    )

    assert (200, good) == (ask(site, "tnt_rot").status, sent(site.grid)[-1])


@pytest.mark.parametrize("store", STORES)
def test_outage_does_not_touch_callers_tokens(sites: Sites, other: Upstream, store: str) -> None:
    """Where the caller's JWT goes the store is not asked at all."""
    where = {"scaivault": "SCAIVAULT_URL", "hashicorp": "VAULT_ADDR"}[store]
    token = {"scaivault": "SCAIVAULT_TOKEN", "hashicorp": "VAULT_TOKEN"}[store]
    site = script_all(sites(**{where: "http://127.0.0.1:9", token: "skt_vault_token_0001"}))

    assert 200 == ask(site, "tnt_acme").status


def test_redirected_store_is_not_followed(sites: Sites, other: Upstream) -> None:
    """A redirect of the store is a failure; its token goes nowhere else."""
    site = vaulted(sites, other, "scaivault")
    other.on(path("scaivault", "tnt_redir"), Reply(b"", 302, {"Location": "/elsewhere"}))
    other.on("/elsewhere", kept("scaivault", value=KEY))

    detail(ask(site, "tnt_redir"), 503, "secrets_unavailable")
    assert [] == other.calls("/elsewhere")
