"""Contract section 2: who has scaicore:view, and which source says so."""

from __future__ import annotations

from typing import Any

import pytest

from .support import API_MODELS, LOOKUPS, ME, PREFIXES, Reply, Site, Sites, detail, script_all, sent

VIEW = "scaicore:view"
NOBODY: dict[str, Any] = {"roles": None}


def ask(site: Site, path: str = API_MODELS, **claims: Any) -> int:
    """Return the status for a token with these claims."""
    return site.get(path, site.issuer.token(**(NOBODY | claims))).status


def asked(site: Site) -> int:
    """Return how often /v1/me was asked."""
    return len(site.grid.calls(ME))


@pytest.mark.parametrize("path", [prefix + path for prefix in PREFIXES for path in [*LOOKUPS, "/lookups"]])
def test_every_lookup_and_the_catalogue(site: Site, path: str) -> None:
    """A caller without scaicore:view gets 403 everywhere, and no upstream list is asked."""
    token = site.issuer.token(roles=None, permissions=["models:list", "scaiqueue:view"])

    found = detail(site.get(path, token), 403, "forbidden")

    assert ("need scaicore:view", []) == (found["message"], site.grid.calls())


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"permissions": [VIEW]}, 200),
        ({"permissions": ["models:list", VIEW]}, 200),
        ({"permissions": []}, 403),
        ({"permissions": ["scaicore:viewer"]}, 403),
        ({"permissions": ["SCAICORE:VIEW"]}, 403),
        ({"permissions": [], "roles": ["super_admin"]}, 403),
        ({"permissions": [], "role": "super_admin"}, 403),
        ({"permissions": [], "scope": VIEW}, 403),
        ({"permissions": ["models:list"], "roles": ["tenant_admin"], "scope": VIEW}, 403),
        ({"permissions": [VIEW], "roles": ["tenant_user"]}, 200),
    ],
    ids=str,
)
def test_permissions_claim_decides_alone(site: Site, claims: dict[str, Any], status: int) -> None:
    """A permissions claim, when present, is the only source: nothing else grants, nobody else is asked."""
    site.grid.on(ME, {"permissions": [VIEW]})

    assert (status, 0) == (ask(site, **claims), asked(site))


@pytest.mark.parametrize("scope", [VIEW, f"openid {VIEW}", f"{VIEW} profile", f"a  {VIEW}  b"])
def test_scope_grants(site: Site, scope: str) -> None:
    """A word of scope grants, and nobody is asked."""
    assert (200, 0) == (ask(site, scope=scope), asked(site))


@pytest.mark.parametrize(
    "scope", ["", "openid", "scaicore:viewer", f"x{VIEW}", f"{VIEW},openid", "scaicore:*"]
)
def test_scope_does_not_grant(site: Site, scope: str) -> None:
    """A part of a word in scope is no grant; ScaiGrid is asked then."""
    site.grid.on(ME, {"permissions": []})

    assert (403, 1) == (ask(site, scope=scope), asked(site))


@pytest.mark.parametrize("role", ["super_admin", "partner_admin", "tenant_admin", "tenant_viewer"])
@pytest.mark.parametrize("claim", ["role", "roles"])
def test_role_grants(site: Site, claim: str, role: str) -> None:
    """Four roles carry scaicore:view, in role or in roles."""
    value = role if claim == "role" else ["tenant_user", role]

    assert (200, 0) == (ask(site, **{claim: value}), asked(site))


@pytest.mark.parametrize("role", ["tenant_user", "partner_viewer", "Tenant_Admin", "tenant_admins", ""])
@pytest.mark.parametrize("claim", ["role", "roles"])
def test_role_does_not_grant(site: Site, claim: str, role: str) -> None:
    """Another role grants nothing; ScaiGrid is asked then."""
    site.grid.on(ME, {"permissions": []})

    assert (403, 1) == (ask(site, **{claim: role if claim == "role" else [role]}), asked(site))


@pytest.mark.parametrize(
    "claims",
    [{"roles": 7}, {"roles": {"tenant_admin": True}}, {"role": 7}, {"scope": 7}, {"roles": [7, None, {}]}],
    ids=str,
)
def test_odd_claims_are_no_grant(site: Site, claims: dict[str, Any]) -> None:
    """Claims of odd types grant nothing and are no fault of ours."""
    site.grid.on(ME, {"permissions": []})

    assert ask(site, **claims) in {401, 403}


@pytest.mark.parametrize(
    "me",
    [
        {"permissions": [VIEW]},
        {"data": {"permissions": ["models:list", VIEW]}},
        {"status": "ok", "data": {"id": "usr_1", "permissions": [VIEW]}},
        {"roles": ["tenant_viewer"]},
        {"data": {"roles": ["tenant_user", "tenant_admin"]}},
    ],
    ids=str,
)
def test_scaigrid_grants(site: Site, me: Any) -> None:
    """/v1/me is read tolerantly: permissions or roles, under data or not."""
    site.grid.on(ME, me)

    assert (200, 1) == (ask(site), asked(site))


@pytest.mark.parametrize(
    "me",
    [
        {"permissions": []},
        {"permissions": ["models:list"], "roles": ["tenant_user"]},
        {"data": {"permissions": [], "roles": []}},
        {"roles": ["tenant_user"]},
        Reply({"error": {"code": "AUTH_TOKEN_INVALID", "message": "x"}}, 401),
        Reply({"error": {"code": "AUTHZ_PERMISSION_DENIED", "message": "x"}}, 403),
    ],
    ids=str,
)
def test_scaigrid_does_not_grant(site: Site, me: Any) -> None:
    """/v1/me without the grant, or its 401 or 403, is 403 here."""
    site.grid.on(ME, me)

    answer = site.get(API_MODELS, site.issuer.token(roles=None))

    assert "need scaicore:view" == detail(answer, 403, "forbidden")["message"]


@pytest.mark.parametrize(
    "me",
    [
        Reply({"error": {"code": "DOWN", "message": "planted-upstream-text"}}, 500),
        Reply(b"", 502),
        Reply({"error": {"code": "BUSY", "message": "x"}}, 429),
        Reply({"error": {"code": "DOWN", "message": "x"}}, 503, {"Retry-After": "7"}),
        Reply(reset=True),
        Reply({"permissions": [VIEW]}, cut=True),
    ],
    ids=["500", "502", "429", "503", "reset", "cut"],
)
def test_scaigrid_fails(site: Site, me: Reply) -> None:
    """/v1/me failing otherwise is 503 identity_unavailable."""
    site.grid.on(ME, me)

    answer = site.get(API_MODELS, site.issuer.token(roles=None))

    detail(answer, 503, "identity_unavailable")
    assert (False, []) == (b"planted" in answer.body, site.grid.calls("/v1/models"))


def test_scaigrid_is_slow(sites: Sites) -> None:
    """/v1/me that does not answer in time is 503 identity_unavailable."""
    site = sites(SCAILOOKUP_DEADLINE="1")
    site.grid.on(ME, Reply({"permissions": [VIEW]}, delay=30))

    detail(site.get(API_MODELS, site.issuer.token(roles=None)), 503, "identity_unavailable")


def test_scaigrid_gets_the_callers_token(site: Site) -> None:
    """/v1/me is asked with the caller's own token."""
    site.grid.on(ME, {"permissions": [VIEW]})
    token = site.issuer.token(roles=None)

    site.get(API_MODELS, token)

    assert [f"Bearer {token}"] == sent(site.grid, ME)


def test_scaigrid_gets_the_callers_token_under_the_key_pin(sites: Sites) -> None:
    """/v1/me is the caller's question even where the lookup goes with the tenant's key."""
    keys = {"tnt_acme": {"scaigrid_api_key": "sgk_acme_key_0001"}}
    site = script_all(sites(secrets=keys, SCAIFLOW_DEPLOY_AUTH="api_key"))
    site.grid.on(ME, {"permissions": [VIEW]})
    token = site.issuer.token(roles=None)

    site.get(API_MODELS, token)

    assert [f"Bearer {token}", "Bearer sgk_acme_key_0001"] == sent(site.grid)


@pytest.mark.parametrize(("me", "status"), [({"permissions": [VIEW]}, 200)])
def test_scaigrid_is_remembered(site: Site, me: Any, status: int) -> None:
    """What /v1/me said is remembered for the same caller."""
    site.grid.on(ME, me)
    token = site.issuer.token(roles=None)

    assert ([status] * 3, 1) == ([site.get(API_MODELS, token).status for _ in range(3)], asked(site))


def test_scaigrid_is_remembered_per_caller(site: Site) -> None:
    """What /v1/me said of one caller says nothing about another."""
    site.grid.on(ME, {"permissions": [VIEW]}, {"permissions": []})

    assert (200, 403) == (ask(site), ask(site))


@pytest.mark.parametrize(
    ("sources", "claims", "status", "calls"),
    [
        ("claims", {"permissions": [VIEW]}, 200, 0),
        ("claims", {"roles": ["tenant_admin"]}, 403, 0),
        ("claims", {}, 403, 0),
        ("roles", {"permissions": [], "roles": ["tenant_admin"]}, 200, 0),
        ("roles", {"permissions": [VIEW], "roles": ["tenant_user"]}, 403, 0),
        ("scaigrid", {"permissions": []}, 200, 1),
        ("scaigrid", {"roles": ["tenant_admin"]}, 200, 1),
        ("claims,roles", {}, 403, 0),
        ("claims,roles", {"roles": ["tenant_admin"]}, 200, 0),
        ("claims,scaigrid", {"roles": ["tenant_admin"]}, 200, 1),
        ("claims,scaigrid", {"permissions": []}, 403, 0),
        ("roles,scaigrid", {"permissions": [], "roles": ["tenant_user"]}, 200, 1),
    ],
)
def test_sources_setting(sites: Sites, sources: str, claims: dict[str, Any], status: int, calls: int) -> None:
    """A source left out of SCAILOOKUP_PERMISSIONS is neither read nor asked."""
    site = script_all(sites(SCAILOOKUP_PERMISSIONS=sources))
    site.grid.on(ME, {"permissions": [VIEW]})

    assert (status, calls) == (ask(site, **claims), asked(site))
