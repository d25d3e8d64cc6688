"""Contract section 3: a tenant's own base URL, and what must never go to it."""

from __future__ import annotations

import pytest

from .support import API_MODELS, MODELS, Reply, Site, Sites, Upstream, script_all, sent, slugs

ACME, ENV = "sgk_acme_key_0001", "sgk_env_key_0003"
ALLOWED = "127.0.0.1,grid.example,10.1.2.3,*.example.com"
REFUSED = [  # {port} is that of a host nobody allowed: localhost
    "http://localhost:{port}",
    "http://127.0.0.1@localhost:{port}",
    "http://127.0.0.1:80@localhost:{port}/",
    "http://localhost:{port}\\\\@127.0.0.1",
    "http://localhost:{port}#@127.0.0.1",
    "http://localhost:{port}?@127.0.0.1",
    "http://localhost:{port}/?@127.0.0.1",
    "http://grid.example",
    "http://10.1.2.3",
    "http://a.example.com",
    "ftp://127.0.0.1:{port}",
    "file:///etc/passwd",
    "127.0.0.1:{port}",
    "//127.0.0.1:{port}",
    "https://example.com",
    "https://evilexample.com",
    "https://a.example.com.evil",
    "https://127.0.0.1.evil",
    "http://127.0.0.1:99999999",
    "http://127.0.0.1:http",
    "http://[::1",
    "",
]


def pinned(sites: Sites, pin: str | None, secrets: dict, **settings: str) -> Site:
    """Return a scripted site with SCAIFLOW_DEPLOY_AUTH pinned."""
    pins = {"SCAIFLOW_DEPLOY_AUTH": pin} if pin else {}
    return script_all(sites(secrets=secrets, **pins, **settings))


def with_base(base: str) -> dict[str, dict[str, str]]:
    """Return a tenant with a key and a base URL."""
    return {"tnt_acme": {"scaigrid_api_key": ACME, "scaigrid_base_url": base}}


@pytest.mark.parametrize("host", ["127.0.0.1", "grid.example,127.0.0.1"])
def test_tenant_base_url(sites: Sites, other: Upstream, host: str) -> None:
    """An allowed tenant base URL is honoured, with the tenant's key."""
    site = pinned(sites, "api_key", with_base(other.base), SCAILOOKUP_TENANT_HOSTS=host)
    other.on(MODELS, {"data": [{"slug": "theirs"}]})

    answer = site.get(API_MODELS)

    assert (["theirs"], [], [f"Bearer {ACME}"]) == (slugs(answer), site.grid.calls(), sent(other))


@pytest.mark.parametrize("hosts", ["", "localhost,*.0.0.1,grid.example,127.0.0"])
def test_host_not_allowed(sites: Sites, other: Upstream, hosts: str) -> None:
    """A base URL of a host not in SCAILOOKUP_TENANT_HOSTS is ignored."""
    site = pinned(sites, "api_key", with_base(other.base), SCAILOOKUP_TENANT_HOSTS=hosts)

    answer = site.get(API_MODELS)

    assert (200, [], [f"Bearer {ACME}"]) == (answer.status, other.calls(), sent(site.grid))


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=REFUSED)
def test_base_url_not_allowed(sites: Sites, other: Upstream, number: int) -> None:
    """A base URL that is not allowed is ignored: the operator's address gets the call."""
    secrets = {
        f"tnt_{index}": {"scaigrid_api_key": ACME, "scaigrid_base_url": base.format(port=other.port)}
        for index, base in enumerate(REFUSED)
    }
    site = pinned(sites, "api_key", secrets, SCAILOOKUP_TENANT_HOSTS=ALLOWED)

    answer = site.get(API_MODELS, site.issuer.token(tenant_id=f"tnt_{number}"))

    assert (200, [], [f"Bearer {ACME}"]) == (answer.status, other.calls(), sent(site.grid))


def test_ignored_base_url_warns(sites: Sites, other: Upstream) -> None:
    """A tenant base URL that is not allowed makes a warning event."""
    site = pinned(sites, "api_key", with_base("http://grid.example"), SCAILOOKUP_TENANT_HOSTS="other.example")

    site.get(API_MODELS)

    site.server.event("upstream_call")
    levels = [event for event in site.server.events if event.get("level") == "warning"]
    assert any("base_url" in str(event) or "base url" in str(event).lower() for event in levels)


@pytest.mark.parametrize("pin", [None, "user_jwt"])
def test_token_goes_to_the_operator_only(sites: Sites, other: Upstream, pin: str | None) -> None:
    """A caller's JWT never goes to a tenant's base URL, allowed or not."""
    site = pinned(sites, pin, with_base(other.base), SCAILOOKUP_TENANT_HOSTS="127.0.0.1")
    token = site.issuer.token()

    site.get(API_MODELS, token)

    assert ([], [f"Bearer {token}"]) == (other.calls(), sent(site.grid))


def test_env_key_goes_to_the_operator_only(sites: Sites, other: Upstream) -> None:
    """The env key never goes to a tenant's base URL."""
    secrets = {"tnt_acme": {"scaigrid_base_url": other.base}}
    site = pinned(
        sites,
        "api_key",
        secrets,
        SCAILOOKUP_TENANT_HOSTS="127.0.0.1",
        SCAIGRID_API_KEY=ENV,
        SCAILOOKUP_DEV="true",
    )

    site.get(API_MODELS)

    assert ([], [f"Bearer {ENV}"]) == (other.calls(), sent(site.grid))


def test_me_goes_to_the_operator_only(sites: Sites, other: Upstream) -> None:
    """The question for permissions, with the caller's JWT, never goes to a tenant's base URL."""
    site = pinned(sites, "api_key", with_base(other.base), SCAILOOKUP_TENANT_HOSTS="127.0.0.1")
    site.grid.on("/v1/me", {"permissions": ["scaicore:view"]})
    other.on(MODELS, Reply({"data": []}))

    site.get(API_MODELS, site.issuer.token(roles=None))

    assert ([MODELS], ["/v1/me"]) == (
        [seen.path for seen in other.calls()],
        [seen.path for seen in site.grid.calls()],
    )
