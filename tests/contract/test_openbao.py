"""The service before a real OpenBao: the tenant's key read, rotated, deleted, and the vault gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bao import Bao, running

from .support import API_MODELS, Reply, Site, detail, script_all, sent

OLD, NEW = "sgk_openbao_key_0001", "sgk_openbao_key_0002"
KEY_PATH = "tenants/tnt_acme/scaigrid_api_key"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Bao]:
    """A real OpenBao that holds the key of one tenant."""
    with running(tmp_path) as bao:
        bao.put(KEY_PATH, value=OLD)
        yield bao


def before(tmp_path: Path, vault: Bao, **settings: str) -> Site:
    """A service pinned to stored keys, with every list scripted."""
    where = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": vault.token("lookups")}
    return script_all(Site(tmp_path, SCAIFLOW_DEPLOY_AUTH="api_key", **where, **settings))


def only(*keys: str) -> object:
    """An upstream that accepts these keys and refuses any other."""
    good = {f"Bearer {key}" for key in keys}
    refusal = Reply({"error": {"code": "AUTH_TOKEN_INVALID", "message": "no"}}, 401)
    return lambda seen: {"data": [{"slug": "m"}]} if seen.header("Authorization") in good else refusal


def test_the_key_is_used(tmp_path: Path, vault: Bao) -> None:
    """A pinned lookup goes upstream with the key that OpenBao holds."""
    site = before(tmp_path, vault)
    try:
        answer = site.get(API_MODELS)
        assert (200, "tenant", [f"Bearer {OLD}"]) == (
            answer.status,
            answer.header("X-Lookup-Credential"),
            sent(site.grid),
        )
    finally:
        site.stop()


def test_a_rotation_needs_no_restart(tmp_path: Path, vault: Bao) -> None:
    """A key rotated in OpenBao is used at once when the upstream refuses the old one."""
    site = before(tmp_path, vault)
    try:
        site.get(API_MODELS)
        vault.put(KEY_PATH, value=NEW)
        site.grid.on("/v1/models", only(NEW))
        site.grid.forget()
        site.grid.on("/v1/models", only(NEW))
        assert (200, [f"Bearer {OLD}", f"Bearer {NEW}"]) == (site.get(API_MODELS).status, sent(site.grid))
    finally:
        site.stop()


def test_a_deleted_key_is_missing(tmp_path: Path, vault: Bao) -> None:
    """Once the key is deleted in OpenBao and no longer fresh, a pinned lookup is 412."""
    site = before(tmp_path, vault, SCAILOOKUP_SECRET_FRESH="0")
    try:
        assert 200 == site.get(API_MODELS).status
        vault.call("DELETE", f"secret/data/{KEY_PATH}")
        detail(site.get(API_MODELS), 412, "missing_credentials")
    finally:
        site.stop()


def test_a_stopped_vault_is_no_missing_key(tmp_path: Path, vault: Bao) -> None:
    """While OpenBao is down the held key serves; once it may not be held any longer it is 503."""
    site = before(tmp_path, vault, SCAILOOKUP_SECRET_FRESH="0", SCAILOOKUP_SECRET_HOLD="4")
    try:
        assert 200 == site.get(API_MODELS).status
        read = time.monotonic()
        vault.stop()
        held = site.get(API_MODELS).status
        young = time.monotonic() - read < 4
        time.sleep(5)
        detail(site.get(API_MODELS), 503, "secrets_unavailable")
        assert held == 200 or not young
    finally:
        site.stop()
