"""Which credential goes upstream, and to which address."""

from __future__ import annotations

import base64

import pytest
from fakes import FakeSecrets, settings
from structlog.testing import capture_logs

from scailookup import auth
from scailookup.credentials import (
    BASE_URL_FIELDS,
    KEY_FIELDS,
    Credentials,
    allowed_base_url,
    base_url_path,
    field_of,
    key_path,
)
from scailookup.declare import Upstream
from scailookup.errors import MissingCredentials, SecretsUnavailable
from scailookup.model import Caller, Grant

GRID = "https://scaigrid.scailabs.ai"
KEY, URL = "tenants/tnt_acme/scaigrid_api_key", "tenants/tnt_acme/scaigrid_base_url"
SIGNED_IN, DEV = Caller("u", "tnt_acme", "j.w.t"), Caller("dev", "tnt_acme")
STORED, ENV = {KEY: {"value": "sgk_tenant"}}, {"SCAIGRID_API_KEY": "sgk_env", "SCAILOOKUP_DEV": "true"}
DOWN = SecretsUnavailable("down")


class Held(FakeSecrets):
    """Secrets that are all at hand."""

    def held(self, path: str):
        if path not in self.data:
            raise LookupError(path)
        return self.data[path]


async def choose(secrets, caller=SIGNED_IN, how=None, **names: str) -> Grant:
    """The grant of one call."""
    upstream = Upstream("up", GRID, how or auth.Platform(needs="x:y"))
    store = secrets if isinstance(secrets, FakeSecrets) else FakeSecrets(secrets)
    return await Credentials(settings(**names), store).choose(upstream, caller)


JWT, TENANT, DEVKEY = ("caller", "Bearer j.w.t"), ("tenant", "Bearer sgk_tenant"), ("env", "Bearer sgk_env")
PINNED_KEY, PINNED_JWT = {"SCAIFLOW_DEPLOY_AUTH": "api_key"}, {"SCAIFLOW_DEPLOY_AUTH": "user_jwt"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("secrets", "caller", "names", "grant"),
    [
        (STORED, SIGNED_IN, ENV, JWT),
        (STORED, DEV, ENV, TENANT),
        ({}, DEV, ENV, DEVKEY),
        ({}, SIGNED_IN, {**ENV, **PINNED_JWT}, JWT),
        (STORED, SIGNED_IN, {**ENV, **PINNED_KEY}, TENANT),
        ({}, SIGNED_IN, {**ENV, **PINNED_KEY}, DEVKEY),
        ({}, DEV, {"SCAIGRID_API_KEY": "sgk_env", "SCAIFLOW_AUTH_DISABLED": "true"}, DEVKEY),
        ({KEY: {"api_key": "sgk_tenant"}}, DEV, {}, TENANT),
        ({KEY: {"anything": "sgk_tenant"}}, DEV, {}, TENANT),
        ({KEY: {"value": " sgk_tenant\n"}}, DEV, {}, TENANT),
    ],
)
async def test_the_chain(secrets, caller, names, grant):
    """The caller's JWT, then the tenant's key, then in dev mode the environment's."""
    found = await choose(secrets, caller, **names)
    assert grant == (found.step, dict(found.headers)["Authorization"])


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("secrets", "caller", "names"),
    [
        ({}, DEV, {}),
        ({}, DEV, {"SCAIGRID_API_KEY": "sgk_env"}),
        (STORED, DEV, {**ENV, **PINNED_JWT}),
        ({}, SIGNED_IN, {**PINNED_KEY, "SCAIGRID_API_KEY": "sgk_env"}),
        ({KEY: {}}, DEV, {}),
        ({KEY: {"value": ""}}, DEV, {}),
        ({KEY: {"value": "  \n"}}, DEV, {}),
        ({KEY: {"a": "1", "b": "2"}}, DEV, {}),
        ({KEY: {"value": "two\nlines"}}, DEV, {}),
        ({KEY: {"value": "sgk_\u00e9\u00e9\u00e9"}}, DEV, {}),
        ({KEY: {"value": "sgk_a sgk_b"}}, DEV, {}),
    ],
)
async def test_none(secrets, caller, names):
    """Without a credential it is MissingCredentials; a key that cannot be sent is none."""
    with pytest.raises(MissingCredentials):
        await choose(secrets, caller, **names)


@pytest.mark.gen_test
async def test_a_callers_token_asks_no_vault():
    """Where the JWT is used no secret is read."""
    store = FakeSecrets(STORED)
    await choose(store)
    assert [] == store.asked


@pytest.mark.gen_test
@pytest.mark.parametrize("names", [{}, ENV])
async def test_a_failing_vault_is_not_a_missing_key(names):
    """A vault that fails is SecretsUnavailable, even where the environment has a key."""
    with pytest.raises(SecretsUnavailable):
        await choose({KEY: DOWN}, DEV, **names)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("url", "hosts", "used"),
    [
        ("https://grid.acme.example/x/", "grid.acme.example", "https://grid.acme.example/x"),
        ("https://grid.acme.example:9443", "*.acme.example", "https://grid.acme.example:9443"),
        ("http://127.0.0.1:8080", "127.0.0.1", "http://127.0.0.1:8080"),
        ("https://evil.example", "grid.acme.example", GRID),
        ("http://grid.acme.example", "grid.acme.example", GRID),
        ("https://grid.acme.example", "", GRID),
        (None, "grid.acme.example", GRID),
    ],
)
async def test_a_tenants_own_address(url, hosts, used):
    """An address that is allowed is used with the tenant's key; else the operator's."""
    secrets = {**STORED, **({URL: {"value": url}} if url else {})}
    assert used == (await choose(secrets, DEV, SCAILOOKUP_TENANT_HOSTS=hosts)).base_url


@pytest.mark.gen_test
@pytest.mark.parametrize(("secrets", "caller"), [(STORED, SIGNED_IN), ({}, DEV)])
async def test_only_the_tenants_key_goes_there(secrets, caller):
    """A JWT and the environment's key go to the operator's address only."""
    address = {URL: {"value": "https://grid.acme.example"}}
    found = await choose({**secrets, **address}, caller, SCAILOOKUP_TENANT_HOSTS="grid.acme.example", **ENV)
    assert GRID == found.base_url


@pytest.mark.gen_test
async def test_an_address_that_is_not_allowed_is_a_warning():
    """The event names the tenant and not the address's secret parts."""
    with capture_logs() as events:
        await choose({**STORED, URL: {"value": "https://u:hunter22@evil.example"}}, DEV)
    assert ([("tenant_base_url_ignored", "tnt_acme")], False) == (
        [(e["event"], e["tenant"]) for e in events],
        "hunter22" in str(events),
    )


@pytest.mark.gen_test
async def test_an_address_that_cannot_be_read():
    """Where an address might be allowed, not knowing it is a failure; the key goes nowhere else."""
    with pytest.raises(SecretsUnavailable):
        await choose({**STORED, URL: DOWN}, DEV, SCAILOOKUP_TENANT_HOSTS="grid.acme.example")


@pytest.mark.gen_test
async def test_an_address_that_would_not_count():
    """Where no address is allowed, not knowing it does not matter."""
    assert GRID == (await choose({**STORED, URL: DOWN}, DEV)).base_url


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("how", "secrets", "step", "header"),
    [
        (auth.Anonymous(), {}, "none", None),
        (auth.ForwardCaller(), {}, "caller", ("Authorization", "Bearer j.w.t")),
        (auth.Bearer("w/a"), {"w/a": {"value": "k"}}, "shared", ("Authorization", "Bearer k")),
        (auth.Bearer("w/a#f"), {"w/a": {"value": "k", "f": "x"}}, "shared", ("Authorization", "Bearer x")),
        (
            auth.Bearer("t/{tenant}/a"),
            {"t/tnt_acme/a": {"key": "k"}},
            "tenant",
            ("Authorization", "Bearer k"),
        ),
        (auth.Header("X-Key", secret="w/a"), {"w/a": {"key": "k"}}, "shared", ("X-Key", "k")),
        (auth.Header("X-Key", secret="w/a", prefix="T "), {"w/a": {"key": "k"}}, "shared", ("X-Key", "T k")),
        (auth.Basic("w/a"), {"w/a": {"v": "u:p"}}, "shared", ("Authorization", "Basic dTpw")),
        (auth.Basic("w/a", user="u"), {"w/a": {"v": "p"}}, "shared", ("Authorization", "Basic dTpw")),
    ],
)
async def test_other_kinds(how, secrets, step, header):
    """Each kind of auth signs in its own way, and only it."""
    found = await choose(secrets, SIGNED_IN, how)
    assert (step, (header,) if header else ()) == (found.step, found.headers)


@pytest.mark.gen_test
async def test_a_basic_password_may_hold_anything():
    """What is encoded need not be ASCII."""
    found = await choose({"w/a": {"v": "p\u00e4ss w\u00f6rd"}}, SIGNED_IN, auth.Basic("w/a", user="u"))
    encoded = dict(found.headers)["Authorization"].removeprefix("Basic ")
    assert "u:p\u00e4ss w\u00f6rd" == base64.b64decode(encoded).decode()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("how", "secrets", "caller"),
    [
        (auth.ForwardCaller(), {}, DEV),
        (auth.Bearer("w/a"), {}, SIGNED_IN),
        (auth.Bearer("w/a#f"), {"w/a": {"value": "k"}}, SIGNED_IN),
        (auth.Bearer("w/a"), {"w/a": {"value": "a\nb"}}, SIGNED_IN),
        (auth.Bearer("w/a"), {"w/a": {"value": "  "}}, SIGNED_IN),
        (auth.Bearer("w/a#f"), {"w/a": {"f": " "}}, SIGNED_IN),
    ],
)
async def test_other_kinds_without_a_secret(how, secrets, caller):
    """A secret that is not there or cannot be sent is MissingCredentials."""
    with pytest.raises(MissingCredentials):
        await choose(secrets, caller, how)


@pytest.mark.gen_test
async def test_fresh_reads_anew():
    """After a refusal the key is read past the memory."""
    store = FakeSecrets(STORED)
    await Credentials(settings(), store).choose(Upstream("up", GRID, auth.Platform("x")), DEV, fresh=True)
    assert {True} == {fresh for _, fresh in store.asked}


@pytest.mark.parametrize(
    ("data", "caller", "step"),
    [
        ({}, SIGNED_IN, "caller"),
        ({**STORED, URL: None}, DEV, "tenant"),
        (STORED, DEV, None),
        ({KEY: None}, DEV, None),
    ],
)
def test_recall_asks_nobody(data, caller, step):
    """What is at hand is granted at once; for everything else there is no answer yet."""
    store = Held(data)
    found = Credentials(settings(), store).recall(Upstream("up", GRID, auth.Platform("x")), caller)
    assert (step, []) == (found and found.step, store.asked)


@pytest.mark.parametrize("tenant", ["", "a/b", "..", "a b", "x" * 65, "\u00e9", "a\n"])
@pytest.mark.parametrize("path", [key_path, base_url_path])
def test_illegal_tenants(path, tenant):
    """A tenant id that could change a path makes none."""
    with pytest.raises(ValueError, match="tenant id"):
        path(tenant)


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        ({"value": "a", "api_key": "b"}, "a"),
        ({"value": "", "api_key": "b"}, "b"),
        ({"value": " ", "api_key": "b"}, "b"),
        ({"value": " a "}, "a"),
        ({"value": "  "}, None),
        ({"other": "a"}, "a"),
        ({"other": " "}, None),
        ({"one": "a", "two": "b"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_field_of(secret, value):
    """The first field with something in it, or the only one."""
    assert value == field_of(secret, KEY_FIELDS)


def test_field_of_an_address():
    """An address has field names of its own."""
    assert "https://x" == field_of({"user": "u", "base_url": "https://x"}, BASE_URL_FIELDS)


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://a.example", ("a.example",), True),
        ("https://A.Example:99/p", ("a.EXAMPLE",), True),
        ("https://x.y.a.example", ("*.a.example",), True),
        ("https://a.example", ("*.a.example",), False),
        ("https://evil\u043b.example", ("*.example",), False),
        ("https://evila.example", ("*.a.example",), False),
        ("https://10.0.0.1", ("*.0.0.1",), False),
        ("https://[::1]:5", ("[::1]",), True),
        ("http://localhost:5", ("localhost",), True),
        ("http://127.0.0.1:5", (), False),
        ("http://a.example", ("a.example",), False),
        ("https://u:p@a.example", ("a.example",), False),
        ("https://a.example@evil.example", ("a.example",), False),
        ("https://a.example?x", ("a.example",), False),
        ("https://a.example#x", ("a.example",), False),
        ("https://a.example/../x", ("a.example",), False),
        ("https://a.example:99999", ("a.example",), False),
        ("//a.example", ("a.example",), False),
        ("ftp://a.example", ("a.example",), False),
        ("https://a.exam\nple", ("a.example",), False),
        (" https://a.example", ("a.example",), False),
        ("https://a.exam\tple", ("a.example",), False),
        ("", ("a.example",), False),
    ],
)
def test_allowed_base_url(url, hosts, allowed):
    """Https, or http to loopback, to a host on the list, and nothing odd about it."""
    assert allowed is (allowed_base_url(url, hosts) is None)
