"""Tokens that a real OpenBao issues as an OIDC provider, verified through its own discovery and JWKS."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from bao import Bao, running
from fakes import FakeClock

from scailookup.errors import Unauthenticated
from scailookup.identity import KeySet, Tokens
from scailookup.model import Caller
from scailookup.transport import CurlClient

TEMPLATE = """{
  "tenant_id": {{identity.entity.metadata.tenant}},
  "permissions": ["scaicore:view", "models:list"],
  "roles": {{identity.entity.groups.names}}
}"""
ALGORITHMS = ["RS256", "ES256"]


class Issuer:
    """An OpenBao with a key and a role for each algorithm, and a user of tnt_acme."""

    def __init__(self, bao: Bao) -> None:
        self.bao = bao
        self.base = f"{bao.url}/v1/identity/oidc"
        bao.call("POST", "identity/oidc/config", {"issuer": bao.url})
        bao.call(
            "PUT",
            "sys/policies/acl/oidc",
            {"policy": 'path "identity/oidc/token/*" { capabilities = ["read"] }'},
        )
        for algorithm in ALGORITHMS:
            self.key(f"key-{algorithm}", algorithm)
            self.role(algorithm, f"key-{algorithm}")
        self.user = self._user("alice", "tnt_acme")

    def key(self, name: str, algorithm: str) -> None:
        """A signing key that every role may use."""
        self.bao.call(
            "POST", f"identity/oidc/key/{name}", {"algorithm": algorithm, "allowed_client_ids": "*"}
        )

    def role(self, name: str, key: str, **more: Any) -> str:
        """A role that signs with a key; its client id, which is the tokens' audience."""
        self.bao.call(
            "POST", f"identity/oidc/role/{name}", {"key": key, "template": TEMPLATE, "ttl": "1h", **more}
        )
        return self.audience(name)

    def audience(self, role: str) -> str:
        """The client id of a role."""
        return str(self.bao.call("GET", f"identity/oidc/role/{role}")["data"]["client_id"])

    def token(self, role: str, user: str | None = None) -> str:
        """A token that the user gets for a role."""
        found = self.bao.call("GET", f"identity/oidc/token/{role}", token=user or self.user)
        return str(found["data"]["token"])

    def rotate(self, key: str) -> None:
        """Sign with another key from now on."""
        self.bao.call("POST", f"identity/oidc/key/{key}/rotate", {})

    def _user(self, name: str, tenant: str) -> str:
        bao = self.bao
        bao.call("POST", "sys/auth/userpass", {"type": "userpass"})
        bao.call("POST", f"auth/userpass/users/{name}", {"password": "pw", "token_policies": "oidc"})
        accessor = bao.call("GET", "sys/auth")["data"]["userpass/"]["accessor"]
        entity = bao.call("POST", "identity/entity", {"name": name, "metadata": {"tenant": tenant}})["data"][
            "id"
        ]
        alias = {"name": name, "canonical_id": entity, "mount_accessor": accessor}
        bao.call("POST", "identity/entity-alias", alias)
        bao.call("POST", "identity/group", {"name": "tenant_viewer", "member_entity_ids": [entity]})
        return str(
            bao.call("POST", f"auth/userpass/login/{name}", {"password": "pw"})["auth"]["client_token"]
        )


@pytest.fixture(scope="module")
def issuer(tmp_path_factory) -> Iterator[Issuer]:
    """One OpenBao for all tests here."""
    with running(tmp_path_factory.mktemp("oidc")) as bao:
        yield Issuer(bao)


class World:
    """Tokens and KeySet over a real client; the key set's clock is the test's."""

    def __init__(self, issuer: Issuer, audience: str, client: CurlClient) -> None:
        self.clock = FakeClock()
        self.keys = KeySet(client, base_url=issuer.base, clock=self.clock)
        self.tokens = Tokens(self.keys, audience=audience, base_url=issuer.base, issuer=None)

    async def caller(self, token: str) -> Caller | None:
        """Who the token is of, None when it is refused."""
        try:
            return await self.tokens.caller([f"Bearer {token}"])
        except Unauthenticated:
            return None


@contextlib.asynccontextmanager
async def world(issuer: Issuer, audience: str) -> AsyncIterator[World]:
    """A World whose client is closed with the block."""
    client = CurlClient(connect_timeout=5.0, max_body=1 << 20)
    try:
        yield World(issuer, audience, client)
    finally:
        await client.close()


def kid(token: str) -> str:
    """The id of the key that signed a token."""
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.gen_test
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_verified(issuer, algorithm):
    """Issuer, audience and signature hold, and the template's claims make the caller."""
    token = issuer.token(algorithm)
    async with world(issuer, issuer.audience(algorithm)) as found:
        caller = await found.caller(token)
    assert (algorithm, "tnt_acme", {"scaicore:view", "models:list"}, {"tenant_viewer"}) == (
        jwt.get_unverified_header(token)["alg"],
        *(caller.tenant, caller.permissions, caller.roles),
    )


@pytest.mark.gen_test
async def test_the_subject_is_the_entity(issuer):
    """The subject is OpenBao's id of the user."""
    entity = issuer.bao.call("GET", "identity/entity/name/alice")["data"]["id"]
    async with world(issuer, issuer.audience("RS256")) as found:
        assert entity == (await found.caller(issuer.token("RS256"))).subject


@pytest.mark.gen_test
async def test_another_roles_token_is_refused(issuer):
    """A token of another audience is refused, though the same key signed it."""
    issuer.role("neighbour", "key-RS256")
    async with world(issuer, issuer.audience("RS256")) as found:
        assert (True, None) == (
            (await found.caller(issuer.token("RS256"))) is not None,
            await found.caller(issuer.token("neighbour")),
        )


@pytest.mark.gen_test
async def test_a_changed_token_is_refused(issuer):
    """Another tenant written into the claims breaks the signature."""
    head, body, signature = issuer.token("RS256").split(".")
    claims = json.loads(jwt.utils.base64url_decode(body)) | {"tenant_id": "tnt_globex"}
    forged = jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()
    async with world(issuer, issuer.audience("RS256")) as found:
        assert None is await found.caller(f"{head}.{forged}.{signature}")


@pytest.mark.gen_test
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_rotation_is_followed(issuer, algorithm):
    """A token of a key that came after the first fetch is verified."""
    async with world(issuer, issuer.audience(algorithm)) as found:
        before = issuer.token(algorithm)
        await found.caller(before)
        for _ in range(2):  # the next key is published ahead of its time
            issuer.rotate(f"key-{algorithm}")
        after = issuer.token(algorithm)
        assert (True, "tnt_acme") == (kid(before) != kid(after), (await found.caller(after)).tenant)


@pytest.mark.gen_test
async def test_a_token_before_a_rotation_stays_good(issuer):
    """While OpenBao still lists the old key, its tokens verify."""
    async with world(issuer, issuer.audience("ES256")) as found:
        before = issuer.token("ES256")
        issuer.rotate("key-ES256")
        assert "tnt_acme" == (await found.caller(before)).tenant


@pytest.mark.gen_test
async def test_a_key_that_is_gone_verifies_nothing(issuer):
    """After its key was deleted a token is refused as soon as the keys are fetched anew."""
    issuer.key("brief", "ES256")
    audience = issuer.role("brief", "brief")
    async with world(issuer, audience) as found:
        token = issuer.token("brief")
        good = await found.caller(token)
        issuer.bao.call("DELETE", "identity/oidc/role/brief")
        issuer.bao.call("DELETE", "identity/oidc/key/brief")
        await found.keys.find("unknown", "ES256")
        assert ("tnt_acme", None) == (good.tenant, await found.caller(token))


@pytest.mark.gen_test
async def test_the_issuer_must_be_the_same(issuer):
    """A token of this OpenBao is none of an issuer by another name."""
    client = CurlClient(connect_timeout=5.0, max_body=1 << 20)
    keys = KeySet(client, jwks_url=f"{issuer.base}/.well-known/keys")
    tokens = Tokens(keys, audience=issuer.audience("RS256"), base_url=None, issuer="https://scaikey.example")
    with pytest.raises(Unauthenticated, match="another issuer"):
        await tokens.caller([f"Bearer {issuer.token('RS256')}"])
    await client.close()
