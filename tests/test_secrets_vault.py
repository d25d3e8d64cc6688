"""VaultStore against a real OpenBao, and against a loopback server that is not one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bao import ROOT, Bao, running
from structlog.testing import capture_logs
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from scailookup.errors import InvalidParameter, SecretsUnavailable
from scailookup.secrets import HeldSecrets, open_store
from scailookup.secrets.logins import TokenFile
from scailookup.settings import load

LOGIN = "auth/approle/login"


@pytest.fixture(scope="module")
def bao(tmp_path_factory) -> Iterator[Bao]:
    """One server for all tests that leave it alive."""
    with running(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture
def own_bao(tmp_path) -> Iterator[Bao]:
    """A server for one test alone: to count its requests, to seal it, to kill it."""
    with running(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(url: str, **names: str) -> AsyncIterator[Any]:
    """The store for these ``VAULT_…`` settings."""
    environ = {"VAULT_ADDR": url, "SCAIKEY_BASE_URL": "https://k.example", "SCAIKEY_AUDIENCE": "a", **names}
    store = open_store(load(environ, system_file=None), lambda request, *, deadline: None)  # type: ignore[arg-type, return-value]
    assert store is not None
    try:
        yield store
    finally:
        await store.close()


def role_names(bao: Bao, name: str, **settings: Any) -> dict[str, str]:
    """Settings that log in as a new AppRole."""
    role, secret = bao.role(name, **settings)
    return {"VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}


def fill(path: Path, text: str) -> Path:
    """Replace a file as an agent does."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)
    return path


async def until(condition: Any) -> None:
    """Wait for as long as it takes; the test's own limit ends it."""
    while not condition():
        await asyncio.sleep(0.05)


# Reading and writing


@pytest.mark.gen_test
async def test_a_token_reads_a_secret(bao):
    """The string fields of the newest version, nothing else."""
    bao.put("one/key", value="sgk_1", number=5, user="u")
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        assert {"value": "sgk_1", "user": "u"} == await store.read("one/key")


@pytest.mark.gen_test
async def test_write_adds_a_version(bao):
    """What is written is what is read."""
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        await store.write("written/key", {"value": "sgk_w"})
        assert {"value": "sgk_w"} == await store.read("written/key")


@pytest.mark.gen_test
async def test_what_was_never_there_is_missing(bao):
    """No secret at the path is None."""
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        assert None is await store.read("never/there")


@pytest.mark.gen_test
async def test_a_soft_deleted_secret_is_missing(bao):
    """A deleted newest version is None."""
    bao.put("soft/key", value="x")
    bao.call("DELETE", "secret/data/soft/key")
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        assert None is await store.read("soft/key")


@pytest.mark.gen_test
async def test_a_destroyed_secret_is_missing(bao):
    """A destroyed newest version is None."""
    bao.put("hard/key", value="x")
    bao.call("PUT", "secret/destroy/hard/key", {"versions": [1]})
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        assert None is await store.read("hard/key")


@pytest.mark.gen_test
async def test_a_mount_that_is_not_there_is_a_fault(bao):
    """A wrong VAULT_MOUNT is told as such, not as a missing secret."""
    async with opened(bao.url, VAULT_TOKEN=ROOT, VAULT_MOUNT="nowhere") as store:
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    assert "VAULT_MOUNT" in caught.value.fix


@pytest.mark.gen_test
async def test_a_mount_of_version_1_is_a_fault(own_bao):
    """KV version 1 says "missing" to every read; it is not believed."""
    own_bao.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    async with opened(own_bao.url, VAULT_TOKEN=ROOT, VAULT_MOUNT="old") as store:
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    assert "KV version 2" in caught.value.fix


@pytest.mark.gen_test
async def test_a_namespace_that_is_not_there_is_a_fault(bao):
    """A wrong VAULT_NAMESPACE is no missing secret."""
    async with opened(bao.url, VAULT_TOKEN=ROOT, VAULT_NAMESPACE="nowhere") as store:
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")


@pytest.mark.gen_test
async def test_a_namespace_is_used(own_bao):
    """The secret of the namespace is read, not the one of the root."""
    own_bao.call("POST", "sys/namespaces/team", {})
    own_bao.call("POST", "team/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    own_bao.put("one/key", value="root's")
    own_bao.call("POST", "team/secret/data/one/key", {"data": {"value": "team's"}})
    async with opened(own_bao.url, VAULT_TOKEN=ROOT, VAULT_NAMESPACE="team") as store:
        assert {"value": "team's"} == await store.read("one/key")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", ["a/../dots/key", "a/./b", "a//b", "", "/a", "a/", "a%2fb", "a.b", "a?x", "a\n"]
)
async def test_an_odd_path_is_missing_and_logged(bao, path):
    """Dot segments and their like never reach the library that folds them."""
    bao.put("dots/key", value="x")
    async with opened(bao.url, VAULT_TOKEN=ROOT) as store:
        with capture_logs() as events:
            found = await store.read(path)
    assert (None, ["secret_path_refused"]) == (found, [e["event"] for e in events])


@pytest.mark.gen_test
async def test_a_write_to_an_odd_path_names_the_tenant(bao):
    """The caller's tenant id is what cannot be stored."""
    async with opened(bao.url, VAULT_TOKEN=ROOT) as store:
        with pytest.raises(InvalidParameter) as caught:
            await store.write("tenants/../x", {"value": "x"})
    assert "tenant_id" == caught.value.extra["parameter"]


# Tokens and logins


@pytest.mark.gen_test
async def test_a_bad_token_is_a_fault(bao):
    """A token Vault does not know is the operator's to mend."""
    async with opened(bao.url, VAULT_TOKEN="s.nobody") as store:
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    assert "The operator must give VAULT_TOKEN" in caught.value.fix


@pytest.mark.gen_test
async def test_a_rotated_token_file_is_used(bao, tmp_path):
    """After a rotation the new token is used, the old one revoked or not."""
    bao.put("file/key", value="x")
    old, new = bao.token("lookups"), bao.token("lookups")
    path = fill(tmp_path / "token", old + "\n")
    async with opened(bao.url, VAULT_TOKEN_FILE=str(path)) as store:
        await store.read("file/key")
        bao.call("POST", "auth/token/revoke", {"token": old})
        fill(path, new + "\n")
        assert {"value": "x"} == await store.read("file/key")


@pytest.mark.gen_test
async def test_a_token_file_is_used_as_it_stands(bao, tmp_path):
    """What the file holds now is used, though the old token would still do."""
    path = fill(tmp_path / "token", bao.token("lookups"))
    async with opened(bao.url, VAULT_TOKEN_FILE=str(path)) as store:
        await store.read("never/there")
        fill(path, "s.nobody")
        with pytest.raises(SecretsUnavailable):
            await store.read("never/there")


def test_a_token_file_knows_that_it_changed(tmp_path):
    """A replaced file is seen without a refusal."""
    source = TokenFile(fill(tmp_path / "token", "one"))
    source.token()
    fill(tmp_path / "token", "two")
    assert (True, "two", False) == (source.changed(), source.token(), source.changed())


@pytest.mark.parametrize("text", [None, "", "two\nlines"])
def test_a_token_file_half_written_keeps_the_last_token(tmp_path, text):
    """Empty, nonsense or away: the last good token stays."""
    path = fill(tmp_path / "token", "one")
    source = TokenFile(path)
    source.token()
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert "one" == source.token()


@pytest.mark.gen_test
async def test_an_approle_reads_a_secret(bao):
    """Role id and secret id log in."""
    bao.put("role/key", value="x")
    async with opened(bao.url, **role_names(bao, "plain")) as store:
        assert {"value": "x"} == await store.read("role/key")


@pytest.mark.gen_test
async def test_an_approle_from_files_is_read_at_each_login(bao, tmp_path):
    """A rotated secret id is used by the next login."""
    bao.put("role/key", value="x")
    role, secret = bao.role("files")
    names = {
        "VAULT_ROLE_ID_FILE": str(fill(tmp_path / "role", role + "\n")),
        "VAULT_SECRET_ID_FILE": str(fill(tmp_path / "secret", secret + "\n")),
    }
    async with opened(bao.url, **names) as store:
        await store.read("role/key")
        bao.call("POST", "auth/approle/role/files/secret-id/destroy", {"secret_id": secret})
        fill(tmp_path / "secret", bao.role("files")[1])
        bao.revoke_logins()
        assert {"value": "x"} == await store.read("role/key")


@pytest.mark.gen_test
async def test_a_refused_login_is_a_fault(bao):
    """A wrong secret id is the operator's to mend, and is not quoted."""
    role, _ = bao.role("refused")
    async with opened(bao.url, VAULT_ROLE_ID=role, VAULT_SECRET_ID="wrong-marker") as store:
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    said = str(caught.value.detail())
    assert (True, False) == ("VAULT_SECRET_ID" in caught.value.fix, "wrong-marker" in said)


@pytest.mark.gen_test
async def test_a_revoked_login_is_made_anew(own_bao):
    """A refused token leads to a login and the read is repeated."""
    own_bao.put("one/key", value="x")
    async with opened(own_bao.url, **role_names(own_bao, "r")) as store:
        await store.read("one/key")
        own_bao.revoke_logins()
        assert ({"value": "x"}, 2) == (await store.read("one/key"), own_bao.requests(LOGIN))


@pytest.mark.gen_test
async def test_a_herd_of_refusals_makes_one_login(own_bao):
    """Many calls refused at once share one new login."""
    own_bao.put("one/key", value="x")
    async with opened(own_bao.url, **role_names(own_bao, "r")) as store:
        await store.read("one/key")
        own_bao.revoke_logins()
        found = await asyncio.gather(*(store.read("one/key") for _ in range(30)))
        assert ([{"value": "x"}] * 30, 2) == (found, own_bao.requests(LOGIN))


@pytest.mark.gen_test
async def test_a_removed_policy_is_a_fault(bao):
    """A denied read is not a missing secret."""
    bao.call("PUT", "sys/policies/acl/gone", {"policy": 'path "secret/data/*" { capabilities = ["read"] }'})
    async with opened(bao.url, VAULT_TOKEN=bao.token("gone")) as store:
        await store.read("never/there")
        bao.call("DELETE", "sys/policies/acl/gone")
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("never/there")
    assert "policy" in caught.value.fix


@pytest.mark.gen_test
async def test_a_denied_approle_does_not_log_in_again_and_again(own_bao):
    """A login that did not help is not repeated for every read."""
    async with opened(own_bao.url, **role_names(own_bao, "r", token_policies="default")) as store:
        found = await asyncio.gather(*(store.read(f"k{i}") for i in range(20)), return_exceptions=True)
        kinds = {type(exc) for exc in found}
        assert ({SecretsUnavailable}, True) == (kinds, own_bao.requests(LOGIN) < 20)


@pytest.mark.gen_test
async def test_a_new_policy_of_the_role_is_had_by_logging_in(bao):
    """A role's new policy comes with a new token, which a refusal fetches."""
    bao.put("one/key", value="x")
    few = 'path "secret/data/never/*" { capabilities = ["read"] }'
    bao.call("PUT", "sys/policies/acl/few", {"policy": few})
    async with opened(bao.url, **role_names(bao, "grown", token_policies="few")) as store:
        await store.read("never/there")
        bao.call("POST", "auth/approle/role/grown", {"token_policies": "lookups"})
        assert {"value": "x"} == await store.read("one/key")


@pytest.mark.gen_test
async def test_a_login_is_renewed(own_bao):
    """Before two thirds of the lease have gone by for long, the token is renewed."""
    own_bao.put("one/key", value="x")
    async with opened(own_bao.url, **role_names(own_bao, "r", token_ttl="6s")) as store:
        await store.read("one/key")
        await until(lambda: own_bao.requests("auth/token/renew-self"))
        assert ({"value": "x"}, 1) == (await store.read("one/key"), own_bao.requests(LOGIN))


@pytest.mark.gen_test
async def test_a_login_nearing_its_end_is_replaced(own_bao):
    """When renewing gives ever less, the store logs in again without being refused first."""
    async with opened(own_bao.url, **role_names(own_bao, "r", token_ttl="12s", token_max_ttl="18s")) as store:
        await store.read("never/there")
        await until(lambda: own_bao.requests(LOGIN) > 1)
        assert 0 == own_bao.refusals()


@pytest.mark.gen_test
async def test_a_batch_login_is_replaced(own_bao):
    """A token that cannot be renewed is replaced by a new login."""
    async with opened(own_bao.url, **role_names(own_bao, "r", token_ttl="6s", token_type="batch")) as store:
        await store.read("never/there")
        await until(lambda: own_bao.requests(LOGIN) > 1)
        assert 0 == own_bao.requests("auth/token/renew-self")


@pytest.mark.gen_test
async def test_a_given_token_that_expires_is_announced(bao):
    """The operator hears of it with the seconds left, and never of the token."""
    token = bao.token("lookups", ttl="6s", renewable=False)
    with capture_logs() as events:
        async with opened(bao.url, VAULT_TOKEN=token) as store:
            await store.read("never/there")
            await until(lambda: events)
    said = (events[0]["event"], events[0]["log_level"], events[0]["seconds_left"] <= 2, token in str(events))
    assert ("vault_token_expiring", "warning", True, False) == said


# Outages


@pytest.mark.gen_test
async def test_a_stopped_server_is_a_fault(own_bao):
    """A refused connection is SecretsUnavailable too."""
    async with opened(own_bao.url, VAULT_TOKEN=ROOT) as store:
        await store.read("one/key")
        own_bao.stop()
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")


@pytest.mark.gen_test
async def test_a_sealed_server_is_a_fault(own_bao):
    """A sealed Vault is said to be sealed."""
    async with opened(own_bao.url, VAULT_TOKEN=ROOT) as store:
        own_bao.call("PUT", "sys/seal")
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    assert "Vault is sealed or in standby" == caught.value.message


@pytest.mark.gen_test
async def test_an_unsealed_server_is_used_again(own_bao):
    """After the unsealing reads succeed."""
    own_bao.put("one/key", value="x")
    async with opened(own_bao.url, VAULT_TOKEN=ROOT) as store:
        own_bao.call("PUT", "sys/seal")
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")
        own_bao.call("PUT", "sys/unseal", {"key": own_bao.unseal_key})
        assert {"value": "x"} == await store.read("one/key")


@pytest.mark.gen_test
async def test_a_stopped_server_is_stood_in_for_until_hold_ends(own_bao):
    """The held value answers for ``hold`` seconds, then the outage is raised."""
    own_bao.put("one/key", value="x")
    now = [0.0]
    async with opened(own_bao.url, VAULT_TOKEN=ROOT) as store:
        held = HeldSecrets(store, fresh=60, hold=600, clock=lambda: now[0])
        await held.get("one/key")
        own_bao.stop()
        now[0] = 600.0
        meanwhile = await held.get("one/key")
        now[0] = 602.0
        with pytest.raises(SecretsUnavailable):
            await held.get("one/key")
    assert {"value": "x"} == meanwhile


@pytest.mark.gen_test
async def test_a_rotation_is_seen_after_fresh(bao):
    """Through the holder a new version is read when the old one is no longer fresh."""
    bao.put("rotated/key", value="old")
    now = [0.0]
    async with opened(bao.url, VAULT_TOKEN=ROOT) as store:
        held = HeldSecrets(store, fresh=60, hold=600, clock=lambda: now[0])
        await held.get("rotated/key")
        bao.put("rotated/key", value="new")
        before = await held.get("rotated/key")
        now[0] = 60.0
        assert ({"value": "old"}, {"value": "new"}) == (before, await held.get("rotated/key"))


@pytest.mark.gen_test
async def test_a_closed_store_is_a_fault(bao):
    """After close nothing is asked."""
    async with opened(bao.url, VAULT_TOKEN=ROOT) as store:
        await store.read("one/key")
    with pytest.raises(SecretsUnavailable):
        await store.read("one/key")


# The check


@pytest.mark.gen_test
async def test_probe_of_a_good_vault_is_silent(bao):
    """A known token and a KV v2 mount pass, with no more than the policy we document."""
    async with opened(bao.url, VAULT_TOKEN=bao.token("lookups")) as store:
        assert None is await store.probe()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "names", [{"VAULT_TOKEN": "s.nobody"}, {"VAULT_TOKEN": ROOT, "VAULT_MOUNT": "nowhere"}]
)
async def test_probe_finds_a_bad_token_and_a_bad_mount(bao, names):
    """Either fails the check."""
    async with opened(bao.url, **names) as store:
        with pytest.raises(SecretsUnavailable):
            await store.probe()


@pytest.mark.gen_test
async def test_probe_finds_a_mount_of_another_kind(bao):
    """A mount that answers but is no KV v2 fails the check."""
    async with opened(bao.url, VAULT_TOKEN=ROOT, VAULT_MOUNT="cubbyhole") as store:
        with pytest.raises(SecretsUnavailable):
            await store.probe()


# The way there


@pytest.fixture
def listener(io_loop) -> Iterator[Any]:
    """A loopback HTTP server; ``seen`` are its requests, ``reply`` is what it answers."""

    class Handler(RequestHandler):
        seen: list[Any] = []
        reply: tuple[int, dict[str, str], str] = (200, {}, "{}")

        def prepare(self) -> None:
            self.seen.append(self.request)
            status, headers, body = self.reply
            self.set_status(status)
            for name, value in headers.items():
                self.set_header(name, value)
            self.finish(body)

    server = HTTPServer(Application(default_handler_class=Handler))
    sock, port = bind_unused_port()
    server.add_socket(sock)
    Handler.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    yield Handler
    server.stop()


@pytest.mark.gen_test
async def test_proxies_of_the_environment_are_ignored(bao, listener, monkeypatch):
    """No proxy variable makes a third party see the token."""
    bao.put("one/key", value="x")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, listener.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with opened(bao.url, **role_names(bao, "direct")) as store:
        assert ({"value": "x"}, []) == (await store.read("one/key"), listener.seen)


@pytest.mark.gen_test
async def test_the_proxy_of_the_settings_is_used(listener):
    """``SCAILOOKUP_PROXY`` is the way out."""
    listener.reply = (503, {}, "")
    async with opened("http://vault.invalid:8200", VAULT_TOKEN="t", SCAILOOKUP_PROXY=listener.url) as store:
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")
    assert "http://vault.invalid:8200/v1/secret/data/one/key" in {seen.uri for seen in listener.seen}


@pytest.mark.gen_test
async def test_the_login_takes_no_token_from_the_environment(listener, monkeypatch, tmp_path):
    """Neither VAULT_TOKEN of the process nor ~/.vault-token is sent along."""
    (tmp_path / ".vault-token").write_text("s.of-the-home")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "s.of-the-environment")
    async with opened(listener.url, VAULT_ROLE_ID="r", VAULT_SECRET_ID="s") as store:
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")
    assert {None} == {seen.headers.get("X-Vault-Token") for seen in listener.seen}


@pytest.mark.gen_test
async def test_a_redirect_is_not_followed(listener):
    """A redirect does not carry the token away."""
    listener.reply = (307, {"Location": f"{listener.url}/elsewhere"}, "")
    async with opened(listener.url, VAULT_TOKEN="t") as store:
        with pytest.raises(SecretsUnavailable):
            await store.read("one/key")
    assert False is any("elsewhere" in seen.uri for seen in listener.seen)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "reply",
    [
        (404, {"Content-Type": "text/html"}, "<p>marker</p>"),
        (404, {"Content-Type": "application/json"}, "{}"),
        (404, {"Content-Type": "application/json"}, '["marker"]'),
        (404, {"Content-Type": "application/json"}, '{"errors":["marker"]}'),
        (404, {"Content-Type": "application/json"}, '{"errors":[{"marker":1}]}'),
        (200, {"Content-Type": "text/html"}, "<p>marker</p>"),
        (200, {"Content-Type": "application/json"}, '{"data":"marker"}'),
        (200, {"Content-Type": "application/json"}, '{"data":{"data":null}}'),
        (500, {"Content-Type": "application/json"}, '{"errors":["marker"]}'),
        (429, {}, "marker"),
        (400, {"Content-Type": "application/json"}, '{"errors":["marker"]}'),
    ],
)
async def test_an_answer_that_is_not_vaults_is_a_fault_and_not_quoted(listener, reply):
    """Whatever stands at VAULT_ADDR, only Vault's own word makes a secret missing."""
    listener.reply = reply
    async with opened(listener.url, VAULT_TOKEN="t") as store:
        with pytest.raises(SecretsUnavailable) as caught:
            await store.read("one/key")
    assert "marker" not in str(caught.value.detail())
