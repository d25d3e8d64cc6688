"""The secret store taken away from a service whose calls all go by tenants' keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from bao import POLICY, Bao, running
from contract.support import MODEL, MODELS, Reply, Seen

from .scene import Scene

Make = Callable[..., Scene]
PATH = "tenants/{}/scaigrid_api_key"
OLD, NEW = "sgk_live_of_the_tenant_0001", "sgk_live_of_the_tenant_0002"
REFUSED = Reply({"error": {"code": "AUTH_TOKEN_INVALID", "message": "no"}}, 401)


@pytest.fixture
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """An OpenBao that holds the keys of two tenants; one is asked for, the other is not at first."""
    with running(tmp_path_factory.mktemp("bao")) as made:
        made.put(PATH.format("tnt_acme"), value=OLD)
        made.put(PATH.format("tnt_globex"), value=OLD)
        yield made


def before(scene: Make, bao: Bao, **more: str) -> Scene:
    """The service, logged in with a role."""
    role, secret = bao.role("lookups", token_ttl="4s", token_max_ttl="4s")
    names = {"VAULT_ADDR": bao.url, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}
    return scene(SCAIFLOW_DEPLOY_AUTH="api_key", **names, **more)


def stands(s: Scene) -> None:
    """Those whose key was read go on, those of a tenant whose key was not are told."""
    s.load.mark()
    s.load.more(30)
    assert set(s.load.seen) <= {"200", "200 stale"}
    s.claims = {"tenant_id": "tnt_globex"}
    s.sees("503 secrets_unavailable", "200")


def test_openbao_is_sealed(scene: Make, bao: Bao) -> None:
    """It answers that it is sealed until somebody unseals it."""
    with before(scene, bao) as s:
        bao.call("PUT", "sys/seal")
        stands(s)
        bao.call("PUT", "sys/unseal", {"key": bao.unseal_key})
        s.recovers()


def test_openbao_is_stopped(scene: Make, bao: Bao) -> None:
    """Connections to it are refused."""
    with before(scene, bao) as s:
        bao.stop()
        stands(s)


def test_openbao_s_token_expires(scene: Make, bao: Bao) -> None:
    """The role's token ends, and once more by an operator's hand: there is another at once."""
    with before(scene, bao) as s:
        bao.revoke_logins()
        s.claims = {"tenant_id": "tnt_globex"}
        s.load.more(60)


def test_openbao_s_policy_is_removed(scene: Make, bao: Bao) -> None:
    """The token is good and may read nothing."""
    with before(scene, bao) as s:
        bao.call("DELETE", "sys/policies/acl/lookups")
        stands(s)
        bao.call("PUT", "sys/policies/acl/lookups", {"policy": POLICY})
        s.recovers()


def test_a_tenant_s_key_is_rotated(scene: Make, bao: Bao) -> None:
    """A new key is stored, then the upstream refuses the old one, which the service holds."""
    good = {OLD}

    def judge(seen: Seen) -> Reply:
        key = (seen.header("Authorization") or "").removeprefix("Bearer ")
        return Reply({"data": [MODEL]}) if key in good else REFUSED

    with before(scene, bao, SCAILOOKUP_SECRET_FRESH="60") as s:
        s.grid.on(MODELS, judge)
        good.add(NEW)
        bao.put(PATH.format("tnt_acme"), value=NEW)
        good.discard(OLD)
        s.load.more(60)
