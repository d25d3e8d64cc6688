"""Contract section 3: which credential goes upstream, and to which address."""

from __future__ import annotations

import pytest

from .support import (
    API_MODELS,
    MODELS,
    Site,
    Sites,
    detail,
    failure,
    grid_error,
    script_all,
    sent,
)

ACME, GLOBEX, ENV = "sgk_acme_key_0001", "sgk_globex_key_0002", "sgk_env_key_0003"
SECRETS = {"tnt_acme": {"scaigrid_api_key": ACME}, "tnt_globex": {"scaigrid_api_key": GLOBEX}}
STEP = "X-Lookup-Credential"
PLATFORM = {"SCAIGRID_API_KEY": ENV}
DEV = PLATFORM | {"SCAILOOKUP_DEV": "true"}
OPEN = {"SCAIFLOW_AUTH_DISABLED": "true"}
REFUSED = [401, 403]


def pinned(sites: Sites, pin: str | None, secrets: dict | None = None, **settings: str) -> Site:
    """Return a scripted site with SCAIFLOW_DEPLOY_AUTH pinned."""
    pins = {"SCAIFLOW_DEPLOY_AUTH": pin} if pin else {}
    return script_all(sites(secrets=secrets, **pins, **settings))


@pytest.mark.parametrize("pin", [None, "user_jwt"])
def test_callers_token(sites: Sites, pin: str | None) -> None:
    """Unpinned or pinned to it, the caller's JWT goes, verbatim, though the tenant has a key."""
    site = pinned(sites, pin, SECRETS, **DEV)
    token = site.issuer.token()

    answer = site.get(API_MODELS, token)

    assert ("caller", [f"Bearer {token}"]) == (answer.header(STEP), sent(site.grid))


@pytest.mark.parametrize(("tenant", "key"), [("tnt_acme", ACME), ("tnt_globex", GLOBEX)])
def test_tenant_key(sites: Sites, tenant: str, key: str) -> None:
    """Pinned to api_key, the key of the caller's own tenant goes."""
    site = pinned(sites, "api_key", SECRETS, **DEV)

    answer = site.get(API_MODELS, site.issuer.token(tenant_id=tenant))

    assert ("tenant", [f"Bearer {key}"]) == (answer.header(STEP), sent(site.grid))


@pytest.mark.parametrize("secrets", [None, SECRETS], ids=["no store", "store"])
def test_env_key_in_dev_mode(sites: Sites, secrets: dict | None) -> None:
    """In dev mode a tenant without a key gets SCAIGRID_API_KEY."""
    site = pinned(sites, "api_key", secrets, **DEV)

    answer = site.get(API_MODELS, site.issuer.token(tenant_id="tnt_nokey"))

    assert ("env", [f"Bearer {ENV}"]) == (answer.header(STEP), sent(site.grid))


@pytest.mark.parametrize("secrets", [None, SECRETS], ids=["no store", "store"])
@pytest.mark.parametrize("settings", [{}, PLATFORM, {"SCAILOOKUP_DEV": "true"}], ids=["", "env key", "dev"])
def test_missing_credentials(sites: Sites, secrets: dict | None, settings: dict[str, str]) -> None:
    """Without any credential it is 412 with a fix that says what to do, and no call is made."""
    site = pinned(sites, "api_key", secrets, **settings)

    answer = site.get(API_MODELS, site.issuer.token(tenant_id="tnt_nokey"))

    fix = detail(answer, 412, "missing_credentials")["fix"]
    assert (True, True, []) == (
        "POST /v1/tenants/me/scaigrid_credentials" in fix,
        "ScaiKey" in fix,
        site.grid.calls(),
    )


def test_env_key_outside_dev_warns(sites: Sites) -> None:
    """SCAIGRID_API_KEY outside dev mode is ignored with a warning at start that does not show it."""
    site = pinned(sites, "api_key", None, **PLATFORM)

    warnings = [line for line in site.server.lines if "SCAIGRID_API_KEY" in line and "warn" in line.lower()]
    assert (1, False) == (len(warnings), any(ENV in line for line in site.server.lines))


def test_no_auth_env_key(sites: Sites) -> None:
    """With auth disabled a foreign bearer is neither read nor forwarded: the env key goes."""
    site = pinned(sites, None, None, **OPEN, **PLATFORM)

    answer = site.get(API_MODELS, "whatever.it.is")

    assert (200, "env", [f"Bearer {ENV}"]) == (answer.status, answer.header(STEP), sent(site.grid))


def test_no_auth_ignores_even_a_good_token(sites: Sites) -> None:
    """With auth disabled a good token of another tenant changes nothing."""
    site = pinned(sites, None, {"dev": {"scaigrid_api_key": ACME}} | SECRETS, **OPEN)

    answer = site.get(API_MODELS, site.issuer.token(tenant_id="tnt_globex"))

    assert ("tenant", [f"Bearer {ACME}"]) == (answer.header(STEP), sent(site.grid))


def test_no_auth_tenant(sites: Sites) -> None:
    """SCAILOOKUP_DEV_TENANT is the tenant of the dev principal."""
    site = pinned(sites, None, SECRETS, **OPEN, SCAILOOKUP_DEV_TENANT="tnt_globex")

    site.get(API_MODELS, None)

    assert [f"Bearer {GLOBEX}"] == sent(site.grid)


@pytest.mark.parametrize("pin", ["user_jwt", None])
def test_no_auth_has_no_token(sites: Sites, pin: str | None) -> None:
    """With auth disabled there is no caller's JWT: pinned to it, or without any key, it is 412."""
    settings = PLATFORM if pin else {}
    site = pinned(sites, pin, None, **OPEN, **settings)

    detail(site.get(API_MODELS, site.issuer.token()), 412, "missing_credentials")


@pytest.mark.parametrize("status", REFUSED)
def test_callers_token_does_not_fall_through(sites: Sites, status: int) -> None:
    """A refused JWT is an error; the tenant's key is not tried."""
    site = pinned(sites, None, SECRETS, **DEV)
    site.grid.on(MODELS, grid_error("NOPE", "no", status))
    token = site.issuer.token()

    answer = site.get(API_MODELS, token)

    failure(answer, "scaigrid_auth", status, "NOPE")
    assert ("caller", [f"Bearer {token}"]) == (answer.header(STEP), sent(site.grid))


@pytest.mark.parametrize("status", REFUSED)
def test_tenant_key_does_not_fall_through(sites: Sites, status: int) -> None:
    """A refused tenant key is an error; the env key is not tried."""
    site = pinned(sites, "api_key", SECRETS, **DEV)
    site.grid.on(MODELS, grid_error("NOPE", "no", status))

    answer = site.get(API_MODELS)

    failure(answer, "scaigrid_auth", status, "NOPE")
    assert ("tenant", {f"Bearer {ACME}"}) == (answer.header(STEP), set(sent(site.grid)))


def test_403_is_not_tried_again(sites: Sites) -> None:
    """A tenant key that gets 403 is asked with once."""
    site = pinned(sites, "api_key", SECRETS)
    site.grid.on(MODELS, grid_error("NOPE", "no", 403))

    site.get(API_MODELS)

    assert 1 == len(site.grid.calls(MODELS))


def test_rotated_key_is_read_afresh(sites: Sites) -> None:
    """A tenant key that gets 401 is read afresh from the store and tried once more."""
    site = pinned(sites, "api_key", {"tnt_rot": {"scaigrid_api_key": "sgk_old_key_0001"}})
    site.grid.on(
        MODELS,
        lambda seen: (
            {"data": [{"slug": "a"}]}
            if seen.header("Authorization") == "Bearer sgk_new_key_0002"
            else grid_error("AUTH_TOKEN_INVALID", "no", 401)
        ),
    )
    before = site.get(API_MODELS, site.issuer.token(tenant_id="tnt_rot"))
    site.keep({"tnt_rot": {"scaigrid_api_key": "sgk_new_key_0002"}})

    after = site.get(API_MODELS, site.issuer.token(tenant_id="tnt_rot"))

    assert (502, 200) == (before.status, after.status)
    assert "Bearer sgk_new_key_0002" == sent(site.grid)[-1]


def test_revoked_key_is_tried_once_more(sites: Sites) -> None:
    """A tenant key that stays refused, and stays what it was in the store, makes two calls."""
    site = pinned(sites, "api_key", SECRETS)
    site.grid.on(MODELS, grid_error("AUTH_TOKEN_INVALID", "no", 401))

    site.get(API_MODELS)

    assert 2 == len(site.grid.calls(MODELS))


@pytest.mark.parametrize("status", REFUSED)
def test_fix_of_a_stored_key(sites: Sites, status: int) -> None:
    """Where a stored key was refused the fix is to set it anew, and names who must."""
    site = pinned(sites, "api_key", SECRETS)
    site.grid.on(MODELS, grid_error("NOPE", "no", status))

    fix = detail(site.get(API_MODELS), 502, "scaigrid_auth")["fix"]
    assert (True, True) == ("key" in fix.lower(), "admin" in fix.lower())


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_step_is_named_on_errors(sites: Sites, status: int) -> None:
    """X-Lookup-Credential stands on errors too."""
    site = pinned(sites, "api_key", SECRETS)
    site.grid.on(MODELS, grid_error("NOPE", "no", status))

    assert "tenant" == site.get(API_MODELS).header(STEP)


@pytest.mark.parametrize("path", [API_MODELS + "?foo=1", "/api/v1/nothing"])
def test_step_is_not_named_before_it_is_known(site: Site, path: str) -> None:
    """Where no credential was chosen none is named."""
    assert None is site.get(path).header(STEP)
