"""Contract section 5: a tenant reads and sets its own ScaiGrid credentials."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .support import PREFIXES, Answer, Reply, Seen, Site, Sites, Upstream, detail

ROUTE = "/v1/tenants/me/scaigrid_credentials"
KEY = "sgk_live_abcdefgh1234"
UNSET = {"configured": False, "base_url": None, "masked_key": None}
MISSING = Reply({"error": {"code": "secret_not_found", "message": "no"}}, 404)
SECRET_PATHS = [
    f"/v1/secrets/tenants/{tenant}/{name}"
    for tenant in (
        "tnt_acme",
        "tnt_globex",
        "tnt_bare",
        "tnt_url",
        "tnt_down",
        "tnt_new",
        "tnt_rot",
        "tnt_both",
    )
    for name in ("scaigrid_api_key", "scaigrid_base_url")
]


class Vault:
    """A ScaiVault that keeps what is put into it."""

    def __init__(self, upstream: Upstream) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.http = upstream
        for path in SECRET_PATHS:
            upstream.on(path, self.answer)

    def answer(self, seen: Seen) -> Any:
        """Serve a GET or a PUT of one secret."""
        if seen.method == "PUT":
            self.kept[seen.path] = json.loads(seen.body)["data"]
            return {"path": seen.path, "version": 2}
        if seen.method == "GET" and seen.path in self.kept:
            return {"path": seen.path, "version": 1, "data": self.kept[seen.path]}
        return MISSING

    def puts(self) -> list[tuple[str, list[Any]]]:
        """Return path and values of every write."""
        return [
            (seen.path, list(json.loads(seen.body)["data"].values()))
            for seen in self.http.calls()
            if seen.method == "PUT"
        ]

    def put(self, tenant: str, name: str, value: str) -> None:
        """Keep a tenant's secret."""
        self.kept[f"/v1/secrets/tenants/{tenant}/{name}"] = {"value": value}


@pytest.fixture
def vault(other: Upstream) -> Vault:
    """An empty ScaiVault."""
    return Vault(other)


@pytest.fixture
def site(sites: Sites, vault: Vault) -> Site:
    """A site whose secret store is the vault."""
    return sites(
        SCAIVAULT_URL=vault.http.base,
        SCAIVAULT_TOKEN="skt_vault_token_0001",
        SCAILOOKUP_TENANT_HOSTS="127.0.0.1,*.example.com",
    )


def post(site: Site, body: Any, path: str = ROUTE, **claims: Any) -> Answer:
    """POST a body as a tenant admin, unless claims say otherwise."""
    token = site.issuer.token(**({"roles": ["tenant_admin"]} | claims))
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return site.get(path, token, {"Content-Type": "application/json"}, method="POST", body=raw)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_unset(site: Site, prefix: str) -> None:
    """A tenant without a key has nothing configured: a bare object of nulls."""
    answer = site.get(f"{prefix}/tenants/me/scaigrid_credentials", site.issuer.token(tenant_id="tnt_bare"))

    assert (200, UNSET) == (answer.status, answer.json)


def test_unset_without_a_store(sites: Sites) -> None:
    """No secret store configured is the same as no key."""
    answer = sites().get(ROUTE)

    assert (200, UNSET) == (answer.status, answer.json)


def test_configured(site: Site, vault: Vault) -> None:
    """A key is shown by its first and last four characters, with its base URL."""
    vault.put("tnt_url", "scaigrid_api_key", KEY)
    vault.put("tnt_url", "scaigrid_base_url", "https://grid.example.com")

    answer = site.get(ROUTE, site.issuer.token(tenant_id="tnt_url"))

    assert {
        "configured": True,
        "base_url": "https://grid.example.com",
        "masked_key": "sgk_…1234",
    } == answer.json


@pytest.mark.parametrize("roles", [["tenant_user"], ["tenant_viewer"], []])
def test_anyone_of_the_tenant_may_read(site: Site, roles: list[str]) -> None:
    """Reading needs no permission."""
    answer = site.get(ROUTE, site.issuer.token(tenant_id="tnt_bare", roles=roles))

    assert 200 == answer.status


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_without_a_token(site: Site, vault: Vault, method: str) -> None:
    """Without a token neither route does anything."""
    body = json.dumps({"api_key": KEY}).encode() if method == "POST" else b""

    detail(site.get(ROUTE, None, method=method, body=body), 401, "unauthenticated")
    assert [] == vault.puts()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "claims", [{"roles": ["tenant_admin"]}, {"roles": ["super_admin"]}, {"role": "tenant_admin"}]
)
def test_admin_sets_a_key(site: Site, vault: Vault, prefix: str, claims: dict[str, Any]) -> None:
    """A tenant or super admin sets the key of the own tenant: 204 and nothing else."""
    answer = post(site, {"api_key": KEY}, f"{prefix}/tenants/me/scaigrid_credentials", **claims)

    assert (204, b"") == (answer.status, answer.body)
    assert ("/v1/secrets/tenants/tnt_acme/scaigrid_api_key", [KEY]) in vault.puts()


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": ["tenant_user"]},
        {"roles": ["tenant_viewer"]},
        {"roles": ["partner_viewer"]},
        {"roles": []},
        {"roles": None, "permissions": ["scaicore:view"]},
        {"roles": None, "scope": "tenant_admin"},
    ],
    ids=str,
)
def test_others_may_not_set(site: Site, vault: Vault, claims: dict[str, Any]) -> None:
    """Anybody else gets 403, and nothing is written."""
    detail(post(site, {"api_key": KEY}, **claims), 403, "forbidden")
    assert [] == vault.puts()


def test_key_and_base_url(site: Site, vault: Vault) -> None:
    """A key with an allowed base URL writes both paths of the caller's tenant."""
    body = {"api_key": KEY, "base_url": "https://grid.example.com"}

    assert 204 == post(site, body, tenant_id="tnt_both").status
    assert {
        "/v1/secrets/tenants/tnt_both/scaigrid_api_key": [KEY],
        "/v1/secrets/tenants/tnt_both/scaigrid_base_url": ["https://grid.example.com"],
    } == dict(vault.puts())


def test_what_was_set_is_shown(site: Site) -> None:
    """After a POST the GET shows the new key, masked."""
    token = site.issuer.token(tenant_id="tnt_new", roles=["tenant_admin"])
    before = site.get(ROUTE, token).json

    post(site, {"api_key": KEY}, tenant_id="tnt_new")

    assert (False, "sgk_…1234") == (before["configured"], site.get(ROUTE, token).json["masked_key"])


def test_rotation_is_shown(site: Site) -> None:
    """A second POST replaces the key."""
    for key in (KEY, "sgk_live_rotated_5678"):
        post(site, {"api_key": key}, tenant_id="tnt_rot")

    answer = site.get(ROUTE, site.issuer.token(tenant_id="tnt_rot"))

    assert "sgk_…5678" == answer.json["masked_key"]


@pytest.mark.parametrize("length", [8, 256])
def test_key_length_accepted(site: Site, length: int) -> None:
    """sgk_ and 8 to 256 printable characters are a key."""
    assert 204 == post(site, {"api_key": "sgk_" + "k" * length}).status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"api_key": "sgk_live_abcdefgh1234"',
        b"\xff\xfe",
        b"[" * 50_000,
        [],
        "sgk_live_abcdefgh1234",
        None,
        {},
        {"base_url": "https://grid.example.com"},
        {"api_key": None},
        {"api_key": 7},
        {"api_key": [KEY]},
        {"api_key": ""},
        {"api_key": "sgk_"},
        {"api_key": "sgk_" + "k" * 7},
        {"api_key": "sgk_" + "k" * 257},
        {"api_key": "key_live_abcdefgh1234"},
        {"api_key": "SGK_live_abcdefgh1234"},
        {"api_key": " " + KEY},
        {"api_key": KEY + "\n"},
        {"api_key": KEY + "\r\nX-Evil: 1"},
        {"api_key": KEY + "\x00"},
        {"api_key": KEY + "\x7f"},
        {"api_key": KEY, "base_url": 7},
        {"api_key": KEY, "base_url": "grid.example.com"},
        {"api_key": KEY, "base_url": "http://grid.example.com"},
        {"api_key": KEY, "base_url": "https://example.com"},
        {"api_key": KEY, "base_url": "https://grid.example.com.evil"},
        {"api_key": KEY, "base_url": "https://other.example"},
        {"api_key": KEY, "base_url": "https://grid.example.com@other.example"},
        {"api_key": KEY, "base_url": "file:///etc/passwd"},
        {"api_key": KEY, "base_url": "https://grid.example.com\r\nX: 1"},
    ],
    ids=lambda body: repr(body)[:60],
)
def test_body_refused(site: Site, vault: Vault, body: Any) -> None:
    """Any other body is 400, shows no key, and writes nothing."""
    answer = post(site, body)

    detail(answer, 400, "invalid_parameter")
    assert ([], False) == (vault.puts(), KEY.encode() in answer.body)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_vault_down(site: Site, vault: Vault, method: str) -> None:
    """A vault that fails is 503 secrets_unavailable."""
    for name in ("scaigrid_api_key", "scaigrid_base_url"):
        vault.http.on(f"/v1/secrets/tenants/tnt_down/{name}", Reply({"error": {"code": "down"}}, 500))
    claims = {"tenant_id": "tnt_down", "roles": ["tenant_admin"]}
    answer = (
        post(site, {"api_key": KEY}, **claims)
        if method == "POST"
        else site.get(ROUTE, site.issuer.token(**claims))
    )

    detail(answer, 503, "secrets_unavailable")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods(site: Site, method: str) -> None:
    """No other method is served."""
    answer = site.get(ROUTE, site.issuer.token(roles=["tenant_admin"]), method=method)
    allow = {name.strip() for name in (answer.header("Allow") or "").split(",")}

    detail(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= allow


def test_get_is_not_cached_by_anyone(site: Site) -> None:
    """The answer names nobody else's key: a second tenant sees its own state."""
    post(site, {"api_key": KEY}, tenant_id="tnt_acme")

    assert UNSET == site.get(ROUTE, site.issuer.token(tenant_id="tnt_globex")).json
