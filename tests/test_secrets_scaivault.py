"""ScaiVaultStore against a real loopback server that answers what the test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from scailookup.errors import CallFailed, InvalidParameter, SecretsUnavailable
from scailookup.model import Reply, Request
from scailookup.secrets import open_store
from scailookup.settings import load

KEY = "tenants/tnt_acme/scaigrid_api_key"
TOKEN = "skt_of_the_tests"
MISSING = {"error": {"code": "secret_not_found", "message": "no", "request_id": "r"}}


@dataclass
class Vault:
    """What the server answers and what it was asked."""

    url: str = ""
    status: int = 200
    body: Any = field(default_factory=lambda: {"path": KEY, "version": 1, "data": {"value": "sgk_a"}})
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)


class Handler(RequestHandler):
    def initialize(self, vault: Vault) -> None:
        self.vault = vault

    def get(self) -> None:
        self.vault.seen.append(self.request)
        self.set_status(self.vault.status)
        for name, value in self.vault.headers.items():
            self.set_header(name, value)
        body = self.vault.body
        self.finish(body if isinstance(body, (bytes, str)) else json.dumps(body))

    put = get


async def fetch(request: Request, *, deadline: float) -> Reply:
    """The transport's contract over Tornado's simple client."""
    wanted = HTTPRequest(
        request.url, request.method, dict(request.headers), request.body, follow_redirects=False
    )
    try:
        found = await AsyncHTTPClient().fetch(wanted, raise_error=False)
    except OSError:
        raise CallFailed("unreachable", f"text with {TOKEN}", repeatable=True) from None
    if found.code == 599:
        raise CallFailed("unreachable", f"text with {TOKEN}", repeatable=True)
    return Reply(found.code, {k.lower(): v for k, v in found.headers.get_all()}, found.body or b"")


@pytest.fixture
def vault(io_loop) -> Iterator[Vault]:
    found = Vault()
    server = HTTPServer(Application([(r"/.*", Handler, {"vault": found})]))
    sock, port = bind_unused_port()
    server.add_socket(sock)
    found.url = f"http://127.0.0.1:{port}"
    yield found
    server.stop()


def store_at(url: str) -> Any:
    settings = load(
        {
            "SCAIVAULT_URL": url,
            "SCAIVAULT_TOKEN": TOKEN,
            "SCAIKEY_BASE_URL": "https://k.example",
            "SCAIKEY_AUDIENCE": "a",
        },
        system_file=None,
    )
    return open_store(settings, fetch)


@pytest.fixture
def store(vault) -> Any:
    return store_at(vault.url)


@pytest.mark.gen_test
async def test_a_secret_is_the_strings_of_data(vault, store):
    """Members of ``data`` that are strings are the fields."""
    vault.body = {"data": {"value": "sgk_a", "user": "u", "n": 1, "none": None}}
    assert {"value": "sgk_a", "user": "u"} == await store.read(KEY)


@pytest.mark.gen_test
async def test_what_a_read_sends(vault, store):
    """A GET of the path with our token, asking for JSON."""
    await store.read(KEY)
    seen = vault.seen[0]
    sent = (seen.method, seen.uri, seen.headers["Authorization"], seen.headers["Accept"])
    assert ("GET", f"/v1/secrets/{KEY}", f"Bearer {TOKEN}", "application/json") == sent


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [MISSING, {"error": "secret_not_found"}])
async def test_secret_not_found_is_missing(vault, store, body):
    """ScaiVault's own 404 means that there is no secret."""
    vault.status, vault.body = 404, body
    assert None is await store.read(KEY)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body", ["<html>", {}, [], {"error": {"code": "no_route"}}, {"error": "not_found"}, ""]
)
async def test_any_other_404_is_a_fault(vault, store, body):
    """A gateway's 404 says nothing about a secret."""
    vault.status, vault.body = 404, body
    with pytest.raises(SecretsUnavailable):
        await store.read(KEY)


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [301, 400, 401, 403, 429, 500, 503])
async def test_a_refusal_is_a_fault(vault, store, status):
    """No other status is a missing secret, whatever its body says."""
    vault.status, vault.body = status, MISSING
    with pytest.raises(SecretsUnavailable):
        await store.read(KEY)


@pytest.mark.gen_test
@pytest.mark.parametrize(("status", "named"), [(401, "SCAIVAULT_TOKEN"), (403, "policy")])
async def test_a_refused_token_names_what_the_operator_must_do(vault, store, status, named):
    """The fix of a 401 and of a 403 differ."""
    vault.status = status
    with pytest.raises(SecretsUnavailable) as caught:
        await store.read(KEY)
    assert named in caught.value.fix


@pytest.mark.gen_test
@pytest.mark.parametrize(("sent", "told"), [("17", 17), ("99999", 3600), ("soon", 5), ("-1", 5)])
async def test_a_rate_limit_passes_its_retry_after_on(vault, store, sent, told):
    """Seconds are passed on up to an hour, nonsense is our default."""
    vault.status, vault.headers = 429, {"Retry-After": sent}
    with pytest.raises(SecretsUnavailable) as caught:
        await store.read(KEY)
    assert told == caught.value.extra["retry_after"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body", ["not json", {}, {"data": None}, {"data": "sgk_a"}, [1], b"\xff", "[" * 100_000]
)
async def test_an_answer_without_data_is_a_fault(vault, store, body):
    """A 200 that holds no secret is not a missing one."""
    vault.body = body
    with pytest.raises(SecretsUnavailable):
        await store.read(KEY)


@pytest.mark.gen_test
async def test_an_unreachable_vault_is_a_fault_without_foreign_text():
    """A transport failure is told in our own words."""
    sock, port = bind_unused_port()
    sock.close()
    with pytest.raises(SecretsUnavailable) as caught:
        await store_at(f"http://127.0.0.1:{port}").read(KEY)
    assert "ScaiVault cannot be reached (unreachable)" == caught.value.message


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    ["tenants/Acme/k", "a.b/k", "a/../b", "a//b", "/".join("abcdefghijk"), "a" * 513, "a/b\n", "", "a b"],
)
async def test_a_path_that_does_not_fit_is_missing_and_logged(vault, store, path):
    """ScaiVault cannot hold it: nothing is asked, one warning names the path."""
    with capture_logs() as events:
        found = await store.read(path)
    logged = [(e["event"], e["log_level"]) for e in events]
    assert (None, [("secret_path_unrepresentable", "warning")], []) == (found, logged, vault.seen)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/".join("abcdefghij"), "a" * 512, "a-b/c_9"])
async def test_a_path_at_the_limits_is_asked(vault, store, path):
    """Ten levels and 512 characters fit."""
    await store.read(path)
    assert [f"/v1/secrets/{path}"] == [seen.uri for seen in vault.seen]


@pytest.mark.gen_test
async def test_what_a_write_sends(vault, store):
    """A PUT of the data as a kv secret, with our token."""
    vault.status = 201
    await store.write(KEY, {"value": "sgk_b"})
    seen = vault.seen[0]
    sent = (seen.method, seen.uri, seen.headers["Authorization"], json.loads(seen.body))
    body = {"data": {"value": "sgk_b"}, "secret_type": "kv"}
    assert ("PUT", f"/v1/secrets/{KEY}", f"Bearer {TOKEN}", body) == sent


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [400, 403, 404, 503])
async def test_a_refused_write_is_a_fault(vault, store, status):
    """A write that did not succeed is raised."""
    vault.status, vault.body = status, MISSING
    with pytest.raises(SecretsUnavailable):
        await store.write(KEY, {"value": "sgk_b"})


@pytest.mark.gen_test
async def test_a_write_to_a_path_that_does_not_fit_names_the_tenant(vault, store):
    """The caller's tenant id is what cannot be stored; nothing is sent."""
    with pytest.raises(InvalidParameter) as caught:
        await store.write("tenants/Acme/k", {"value": "x"})
    assert ("tenant_id", []) == (caught.value.extra["parameter"], vault.seen)


@pytest.mark.gen_test
async def test_probe_asks_for_health_only(vault, store):
    """The check sends no token and reads no secret."""
    await store.probe()
    assert [("/v1/health", False)] == [(s.uri, "Authorization" in s.headers) for s in vault.seen]


@pytest.mark.gen_test
async def test_probe_of_an_ill_vault_raises(vault, store):
    """A health answer that is not a success fails the check."""
    vault.status = 503
    with pytest.raises(SecretsUnavailable):
        await store.probe()
