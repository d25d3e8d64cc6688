"""Contract section 1: bunkers, which of them and whose."""

from __future__ import annotations

import pytest

from .support import API_BUNKERS, BUNKER, BUNKERS, Site, rows, slugs

TERMINAL = ["terminated", "terminating", "failed", "error", "deleted"]
LIVES = ["ephemeral", "session", "appliance"]


def bunker(name: str, /, **fields: object) -> dict:
    """Return a running session bunker, changed."""
    return BUNKER | {"bunker_id": name} | fields


@pytest.mark.parametrize("status", ["running", "ready"])
@pytest.mark.parametrize("lifecycle", [*LIVES, "persistent"])
def test_running_or_ready_is_active(site: Site, status: str, lifecycle: str) -> None:
    """A running or ready bunker is active whatever its lifecycle."""
    site.grid.on(BUNKERS, {"data": [bunker("b", status=status, lifecycle=lifecycle)]})

    assert ["b"] == slugs(site.get(API_BUNKERS), "bunker_id")


@pytest.mark.parametrize("status", ["pending", "provisioning", "paused", "stopped"])
def test_persistent_is_active_until_terminal(site: Site, status: str) -> None:
    """A persistent bunker that is not terminal is active."""
    site.grid.on(BUNKERS, {"data": [bunker("b", status=status, lifecycle="persistent")]})

    assert ["b"] == slugs(site.get(API_BUNKERS), "bunker_id")


@pytest.mark.parametrize("status", TERMINAL)
def test_persistent_and_terminal_is_gone(site: Site, status: str) -> None:
    """A persistent bunker with a terminal status is not active, and not counted as dropped."""
    site.grid.on(BUNKERS, {"data": [bunker("b", status=status, lifecycle="persistent")]})

    assert {"data": []} == site.get(API_BUNKERS).json


@pytest.mark.parametrize("status", ["pending", "provisioning", "paused", *TERMINAL])
@pytest.mark.parametrize("lifecycle", LIVES)
def test_others_are_not_active(site: Site, status: str, lifecycle: str) -> None:
    """Any other bunker that does not run is not active, and not counted as dropped."""
    site.grid.on(BUNKERS, {"data": [bunker("b", status=status, lifecycle=lifecycle), bunker("kept")]})

    answer = site.get(API_BUNKERS)

    assert {"data": [bunker("kept")]} == answer.json


def test_only_the_callers_tenant(site: Site) -> None:
    """Another tenant's bunkers are left out and not counted."""
    site.grid.on(BUNKERS, {"data": [bunker("a", tenant_id="tnt_globex"), bunker("b", tenant_id="tnt_acme")]})

    answer = site.get(API_BUNKERS)

    assert (["b"], {"data"}) == (slugs(answer, "bunker_id"), set(answer.json))


def test_only_other_tenants(site: Site) -> None:
    """A list of other tenants' bunkers alone is an empty list."""
    site.grid.on(BUNKERS, {"data": [bunker("a", tenant_id="tnt_globex")]})

    assert {"data": []} == site.get(API_BUNKERS).json


@pytest.mark.parametrize("tenant", ["TNT_ACME", "tnt_acme ", "tnt_acme2", "tnt_acm"])
def test_tenant_is_compared_exactly(site: Site, tenant: str) -> None:
    """A tenant id that only resembles the caller's is another tenant."""
    site.grid.on(BUNKERS, {"data": [bunker("a", tenant_id=tenant)]})

    assert [] == rows(site.get(API_BUNKERS))


def test_each_caller_sees_the_own_tenant(site: Site) -> None:
    """The tenant compared with is the one of the token."""
    site.grid.on(BUNKERS, {"data": [bunker("a", tenant_id="tnt_globex"), bunker("b", tenant_id="tnt_acme")]})
    token = site.issuer.token(tenant_id="tnt_globex")

    assert ["a"] == slugs(site.get(API_BUNKERS, token), "bunker_id")


def test_env_vars_never_leave(site: Site) -> None:
    """env_vars stay behind, whatever is in them."""
    site.grid.on(BUNKERS, {"data": [bunker("b", env_vars={"TOKEN": "planted-secret"})]})

    answer = site.get(API_BUNKERS)

    assert ([bunker("b")], False) == (rows(answer), b"planted-secret" in answer.body)


def test_other_fields_come_along(site: Site) -> None:
    """The upstream's other fields of a bunker are passed on as they are."""
    extra = {"name": "box", "memory_mb": 512, "label_set": {"team": "a"}, "gpu_count": 0}
    site.grid.on(BUNKERS, {"data": [bunker("b", **extra)]})

    assert [bunker("b", **extra)] == rows(site.get(API_BUNKERS))


@pytest.mark.parametrize(
    ("alias", "field"), [("id", "bunker_id"), ("image", "image_ref"), ("lifecycle_mode", "lifecycle")]
)
def test_aliases(site: Site, alias: str, field: str) -> None:
    """A field under the platform's other name comes out under the contract's."""
    record = bunker("b")
    record[alias] = record.pop(field)
    site.grid.on(BUNKERS, {"data": [record]})

    assert [bunker("b")[field]] == slugs(site.get(API_BUNKERS), field)


def test_lifecycle_mode_counts(site: Site) -> None:
    """A bunker persistent by lifecycle_mode is active while paused."""
    record = {"id": "b", "lifecycle_mode": "persistent", "status": "paused"}
    site.grid.on(BUNKERS, {"data": [record]})

    assert ["b"] == slugs(site.get(API_BUNKERS), "bunker_id")


def test_status_filter_sees_active_ones_only(site: Site) -> None:
    """The status parameter filters what is listed and brings back nothing that is not."""
    site.grid.on(BUNKERS, {"data": [bunker("a", status="terminated"), bunker("b")]})

    assert [] == rows(site.get(API_BUNKERS + "?status=terminated"))
