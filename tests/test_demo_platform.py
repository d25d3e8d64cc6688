"""The demo's ScaiGrid: lists, who may see them, how it says no, and how it breaks."""

import asyncio
import io
import json
import os
import signal
import socket
import stat
import sys
import tomllib
import types
from contextlib import suppress
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from scailookup.app import Service
from scailookup.demo import data
from scailookup.demo.answers import ENVELOPES
from scailookup.demo.guide import guide, program
from scailookup.demo.issuer import Issuer, demo_tokens
from scailookup.demo.platform import ELSEWHERE, Platform
from scailookup.demo.run import environment, platform_running, run
from scailookup.settings import load

MODELS = "/v1/models"
SCOPES = "/v1/modules/scaiqueue/scopes"
BUNKERS = "/v1/modules/scaibunker/bunkers"
ACME = data.tenant("tnt_acme")
GLOBEX = data.tenant("tnt_globex")


class Clock:
    """A clock that moves when told."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer(base_url):
    return Issuer(base_url)


@pytest.fixture
def app(issuer, clock):
    return Platform(issuer, clock=clock)


@pytest.fixture
def get(http_client, base_url, issuer):
    """Ask as one of the demo's users, with a raw credential, or (None) with none."""
    tokens = demo_tokens(issuer)

    async def ask(path, who="viewer", **options):
        url = path if path.startswith("http") else base_url + path
        headers = {"Authorization": f"Bearer {tokens.get(who, who)}"} if who else {}
        return await http_client.fetch(
            url, headers=headers, raise_error=False, follow_redirects=False, request_timeout=0, **options
        )

    return ask


@pytest.fixture
def switch(http_client, base_url):
    """Throw the switch: a body to POST, or the method alone."""

    async def throw(body=None, method="POST", headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = raw if method == "POST" else None
        url = base_url + "/demo/faults"
        return await http_client.fetch(url, method=method, body=sent, headers=headers, raise_error=False)

    return throw


def _page(body):
    """The rows of any envelope, and the query or address of the next page."""
    if isinstance(body, list):
        return body, None
    inner = body.get("data") if isinstance(body.get("data"), dict) else body
    rows = next(inner[name] for name in ("data", "items", "models", "results") if name in inner)
    link = body.get("links", {}).get("next")
    cursor = inner.get("next_cursor") or body.get("meta", {}).get("next_cursor")
    token = body.get("next_page_token")
    return rows, link or (cursor and f"cursor={cursor}") or (token and f"page_token={token}")


async def _all(get, path, who="viewer"):
    """Every row of a list, page after page."""
    rows, further = _page(json.loads((await get(path, who)).body))
    while further:
        url = further if further.startswith("http") else f"{path}{'&' if '?' in path else '?'}{further}"
        more, further = _page(json.loads((await get(url, who)).body))
        rows += more
    return rows


def _error(reply):
    return reply.code, json.loads(reply.body)["error"]["code"]


# Data


def test_acme_is_a_large_tenant():
    """The first tenant has the promised number of everything."""
    queues = sum(map(len, ACME.queues.values()))
    assert (len(ACME.models), len(ACME.scopes), queues, len(ACME.bunkers)) == (60, 12, 204, 40)


def test_scopes_of_two_tenants_share_slugs_but_no_id():
    """Globex has scopes named like Acme's, with ids of its own."""
    ids, slugs = ({r[f] for r in ACME.scopes} & {r[f] for r in GLOBEX.scopes} for f in ("id", "slug"))
    assert (set(), {"billing", "orders", "support"}) == (ids, slugs)


def test_every_scope_has_the_system_queues():
    """No scope lacks one of the five system queues."""
    assert all(set(data.SYSTEM_QUEUES) <= {q["slug"] for q in queues} for queues in ACME.queues.values())


def test_queues_come_in_every_mode_and_order():
    """Both consumer modes and all three orderings occur."""
    queues = [queue for queues in ACME.queues.values() for queue in queues]
    modes, orders = ({q[f] for q in queues} for f in ("consumer_mode", "ordering"))
    assert ({"competing", "broadcast"}, {"fifo", "priority", "deadline"}) == (modes, orders)


def test_models_come_in_every_modality():
    """All four modalities occur."""
    assert {"chat", "embedding", "image", "audio"} == {model["modality"] for model in ACME.models}


@pytest.mark.parametrize("tenant", [ACME, GLOBEX])
def test_every_bunker_holds_the_planted_secret(tenant):
    """Each bunker has an `env_vars` with the secret that must never be seen."""
    assert {data.PLANTED_SECRET} == {bunker["env_vars"]["DEMO_PASSWORD"] for bunker in tenant.bunkers}


@pytest.mark.parametrize("tenant", [ACME, GLOBEX])
def test_ids_are_unique(tenant):
    """No slug or id of a tenant occurs twice."""
    names = [m["slug"] for m in tenant.models] + [b["bunker_id"] for b in tenant.bunkers]
    names += [queue["id"] for queues in tenant.queues.values() for queue in queues]
    assert len(names) == len(set(names))


# Lists


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "rows"),
    [
        (MODELS, ACME.models),
        (SCOPES, ACME.scopes),
        (f"{SCOPES}/{ACME.scopes[0]['id']}/queues", ACME.queues[ACME.scopes[0]["id"]]),
        (f"{SCOPES}/billing/queues", ACME.queues[ACME.scopes[0]["id"]]),
        (BUNKERS, ACME.bunkers),
        (MODELS + "?limit=7", ACME.models),
    ],
)
async def test_paging_visits_every_row_once(get, path, rows):
    """Following the cursors gives the whole list in its order."""
    assert list(rows) == await _all(get, path)


@pytest.mark.gen_test
async def test_openai_models_page_too(get):
    """The OpenAI layer lists the same models under their ids."""
    assert [m["slug"] for m in ACME.models] == [m["id"] for m in await _all(get, "/oai/v1/models")]


@pytest.mark.gen_test
async def test_pages_are_small(get):
    """A page holds ten rows unless asked otherwise."""
    assert len(json.loads((await get(BUNKERS)).body)["data"]) == 10


@pytest.mark.gen_test
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "cursor=%C3%A9"])
async def test_bad_paging_is_refused(get, query):
    """A limit out of range or a cursor of others is a validation error."""
    assert _error(await get(f"{MODELS}?{query}")) == (422, "VALIDATION_ERROR")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "name", "value"),
    [(MODELS, "modality", "image"), (BUNKERS, "status", "running"), (BUNKERS, "lifecycle", "session")],
)
async def test_filters(get, path, name, value):
    """A documented filter keeps the rows that match, on every page."""
    assert {value} == {row[name] for row in await _all(get, f"{path}?{name}={value}&limit=3")}


@pytest.mark.gen_test
@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_each_envelope_gives_every_row_once(get, switch, envelope):
    """Whatever the envelope, its own way of paging leads to the whole list."""
    await switch({"envelope": envelope})
    assert list(ACME.models) == await _all(get, MODELS)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("envelope", "members"),
    [
        ("data", {"data", "has_more", "next_cursor"}),
        ("data.items", {"status", "data"}),
        ("object", {"object", "data", "has_more", "next_cursor"}),
        ("items", {"items", "meta"}),
        ("models", {"models", "next_page_token"}),
        ("results", {"results", "links"}),
    ],
)
async def test_envelope_members(get, switch, envelope, members):
    """Each envelope has the members it is known by."""
    await switch({"envelope": envelope})
    assert members == set(json.loads((await get(SCOPES)).body))


@pytest.mark.gen_test
async def test_bare_envelope_is_an_array(get, switch):
    """The bare envelope is the list itself, all of it."""
    await switch({"envelope": "bare"})
    assert list(ACME.bunkers) == json.loads((await get(BUNKERS)).body)


# Who may


@pytest.mark.gen_test
async def test_a_tenant_key_is_taken(get):
    """A tenant's API key sees what its tenant has."""
    assert list(GLOBEX.scopes) == await _all(get, SCOPES, data.KEYS["tnt_globex"])


@pytest.mark.gen_test
async def test_no_credential(get):
    """Without a bearer the answer is the documented 401."""
    assert _error(await get(MODELS, None)) == (401, "AUTH_TOKEN_MISSING")


@pytest.mark.gen_test
@pytest.mark.parametrize("credential", ["sgk_demo_nobody", "not-a-token"])
async def test_unknown_credential(get, credential):
    """An unknown key and a string that is no token are invalid."""
    assert _error(await get(MODELS, credential)) == (401, "AUTH_TOKEN_INVALID")


@pytest.mark.gen_test
async def test_expired_token(get, issuer):
    """An expired token is an expired session."""
    assert _error(await get(MODELS, issuer.issue("usr_x", "tnt_acme", exp=1))) == (401, "SESSION_EXPIRED")


@pytest.mark.gen_test
async def test_missing_permission(get):
    """A tenant_user may not list scopes."""
    assert _error(await get(SCOPES, "user")) == (403, "AUTHZ_PERMISSION_DENIED")


@pytest.mark.gen_test
async def test_models_are_for_everybody(get):
    """A tenant_user may list models."""
    assert (await get(MODELS, "user")).code == 200


@pytest.mark.gen_test
async def test_grid_error_shape(get):
    """ScaiGrid's own errors come with status and meta."""
    reply = await get(MODELS, None, method="GET")
    assert {"status", "error", "meta"} == set(json.loads(reply.body))


@pytest.mark.gen_test
async def test_module_error_shape(get):
    """A module's errors hold `error` alone."""
    assert {"error"} == set(json.loads((await get(SCOPES, None)).body))


@pytest.mark.gen_test
async def test_unknown_scope(get):
    """A scope that does not exist is a 404 in the platform's shape."""
    assert _error(await get(SCOPES + "/nowhere/queues")) == (404, "SCOPE_NOT_FOUND")


@pytest.mark.gen_test
async def test_another_tenants_scope_is_unknown(get):
    """A scope id of another tenant is a 404."""
    reply = await get(f"{SCOPES}/{GLOBEX.scopes[0]['id']}/queues")
    assert _error(reply) == (404, "SCOPE_NOT_FOUND")


@pytest.mark.gen_test
async def test_unknown_route(get):
    """Any other path is a 404 in the platform's shape."""
    assert _error(await get("/v1/nowhere")) == (404, "NOT_FOUND")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", [MODELS, SCOPES, BUNKERS])
async def test_tenants_are_apart(get, path):
    """A viewer of the one tenant sees nothing that the other's alone has."""
    theirs = {MODELS: GLOBEX.models, SCOPES: GLOBEX.scopes, BUNKERS: GLOBEX.bunkers}[path]
    assert list(theirs) == await _all(get, path, "globex")


@pytest.mark.gen_test
async def test_bunker_admins_see_every_tenants(get):
    """Who holds scaibunker:admin sees bunkers across tenants."""
    assert {"tnt_acme", "tnt_globex"} == {row["tenant_id"] for row in await _all(get, BUNKERS, "admin")}


@pytest.mark.gen_test
async def test_a_tenant_nobody_knows_has_nothing(get, issuer):
    """A token of a tenant without data lists nothing."""
    token = issuer.issue("usr_x", "tnt_other", roles=("tenant_viewer",))
    assert await _all(get, BUNKERS, token) == []


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/v1/me", "/v1/auth/me"])
async def test_me(get, path):
    """The caller is told the own roles and permissions."""
    me = json.loads((await get(path)).body)["data"]
    assert (me["roles"], "scaicore:view" in me["permissions"]) == (["tenant_viewer"], True)


@pytest.mark.gen_test
async def test_me_knows_users_by_name(get, issuer):
    """Roles are looked up by subject when the token names none."""
    token = issuer.issue("usr_acme_vera", "tnt_acme")
    assert json.loads((await get("/v1/me", token)).body)["data"]["roles"] == ["tenant_viewer"]


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_health_is_open(get, path):
    """Health needs no credential."""
    assert (await get(path, None)).code == 200


# The rate limit


def _left(reply):
    return [reply.headers[f"X-Scaigrid-Ratelimit-{name}"] for name in ("Limit", "Remaining", "Reset")]


async def _spend(get, times):
    """That many requests with Acme's key; the last reply."""
    for _ in range(times):
        reply = await get("/v1/me", data.KEYS["tnt_acme"])
    return reply


@pytest.mark.gen_test
async def test_what_is_left_is_told(get):
    """The headers count down from sixty for a key."""
    assert _left(await _spend(get, 2)) == ["60", "58", "60"]


@pytest.mark.gen_test
async def test_the_sixty_first_is_refused(get):
    """A key gets sixty requests a minute and then a 429."""
    await _spend(get, 60)
    assert _error(await _spend(get, 1)) == (429, "RATE_LIMITED")


@pytest.mark.gen_test
async def test_refusal_says_when_to_come_back(get, clock):
    """Retry-After is the time until the oldest request is a minute old."""
    await _spend(get, 60)
    clock.now += 18
    reply = await _spend(get, 1)
    assert (reply.headers["Retry-After"], _left(reply)) == ("42", ["60", "0", "42"])


@pytest.mark.gen_test
async def test_the_window_slides(get, clock):
    """A minute later the key may ask again."""
    await _spend(get, 61)
    clock.now += 60
    assert (await _spend(get, 1)).code == 200


@pytest.mark.gen_test
async def test_keys_are_counted_apart(get):
    """One tenant's full minute is not the other's."""
    await _spend(get, 61)
    assert (await get("/v1/me", data.KEYS["tnt_globex"])).code == 200


@pytest.mark.gen_test
async def test_the_limit_can_be_switched_off(get, switch):
    """With rate_limit false a key may ask as often as it likes."""
    await switch({"rate_limit": False})
    assert (await _spend(get, 61)).code == 200


@pytest.mark.gen_test
async def test_users_are_not_limited(get):
    """A user's token is counted and never refused."""
    for _ in range(121):
        reply = await get("/v1/me")
    assert (reply.code, _left(reply)[1]) == (200, "0")


# Faults


@pytest.mark.gen_test
@pytest.mark.parametrize(("status", "code"), [(500, "INTERNAL_ERROR"), (502, "BACKEND_ERROR")])
async def test_status_fault(get, switch, status, code):
    """The status asked for, in the documented shape."""
    await switch({"status": status})
    assert (status, code) == _error(await get(MODELS))


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [429, 503])
async def test_status_fault_with_retry_after(get, switch, status):
    """A 429 and a 503 say when to come back."""
    await switch({"status": status})
    assert (await get(MODELS)).headers["Retry-After"] == "5"


@pytest.mark.gen_test
async def test_html_fault(get, switch):
    """A login page with status 200."""
    await switch({"html": True})
    reply = await get(MODELS)
    assert (reply.code, reply.headers["Content-Type"], reply.body[:9]) == (200, "text/html", b"<!doctype")


@pytest.mark.gen_test
async def test_empty_fault(get, switch):
    """An empty body with status 200."""
    await switch({"empty": True})
    reply = await get(MODELS)
    assert (reply.code, reply.body) == (200, b"")


@pytest.mark.gen_test
async def test_redirect_fault(get, switch):
    """A redirect to a host that cannot be reached."""
    await switch({"redirect": True})
    reply = await get(MODELS)
    assert (reply.code, reply.headers["Location"]) == (302, ELSEWHERE)


@pytest.mark.gen_test
async def test_reset_fault(get, switch):
    """The connection is cut before an answer."""
    await switch({"reset": True})
    with pytest.raises(ConnectionResetError):
        await get(MODELS)


@pytest.mark.gen_test
async def test_delay_fault(get, switch):
    """After the delay comes the answer as ever."""
    await switch({"delay": 0.01})
    assert (await get(MODELS)).code == 200


@pytest.mark.gen_test
async def test_delay_fault_waits_until_the_platform_stops(get, switch, app):
    """A delayed answer comes after all, at the latest when the platform stops."""
    await switch({"delay": 600})
    waiting = asyncio.ensure_future(get(MODELS))
    await get("/.well-known/openid-configuration", None)
    app.stop()
    assert (await waiting).code == 200


@pytest.mark.gen_test
async def test_a_fault_is_kept_to_its_path(get, switch):
    """A fault with a path leaves the others alone."""
    await switch({"status": 500, "path": "/v1/modules/scaiqueue"})
    assert [(await get(path)).code for path in (SCOPES, MODELS)] == [500, 200]


@pytest.mark.gen_test
async def test_the_longer_path_wins(get, switch):
    """Of two faults that fit, the more particular one counts."""
    await switch({"status": 502, "path": MODELS})
    await switch({"status": 500})
    assert [(await get(path)).code for path in (MODELS, SCOPES)] == [502, 500]


@pytest.mark.gen_test
async def test_the_issuer_is_not_broken(get, switch):
    """Faults are ScaiGrid's: ScaiKey still serves its keys."""
    await switch({"status": 500})
    assert (await get("/.well-known/openid-configuration", None)).code == 200


@pytest.mark.gen_test
async def test_null_mends_one_fault(get, switch):
    """Null takes back one fault."""
    await switch({"status": 500})
    await switch({"status": None})
    assert (await get(MODELS)).code == 200


@pytest.mark.gen_test
async def test_delete_mends_all(get, switch):
    """DELETE takes back every fault."""
    await switch({"status": 500})
    await switch({"html": True, "path": MODELS})
    await switch(method="DELETE")
    assert (await get(MODELS)).code == 200


@pytest.mark.gen_test
async def test_faults_are_shown(switch):
    """GET shows what is broken and where."""
    await switch({"status": 500, "path": MODELS})
    shown = json.loads((await switch(method="GET")).body)
    assert shown == {"faults": [{"path": MODELS, "status": 500}]}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"stauts":500}', b'{"status":200}', b'{"status":"500"}', b'{"delay":-1}',
        b'{"envelope":"xml"}', b'{"html":1}', b'{"path":"v1","html":true}', b'{"path":"/v1"}', b'"\xff"',
    ],
)  # fmt: skip
async def test_a_bad_fault_is_refused(switch, body):
    """A body that cannot be meant is a 400 that says why, in JSON."""
    reply = await switch(body)
    assert (reply.code, bool(json.loads(reply.body)["error"]["message"])) == (400, True)


@pytest.mark.gen_test
async def test_web_pages_cannot_throw_the_switch(switch):
    """A request that a browser sends for some page is refused."""
    assert (await switch({"status": 500}, headers={"Origin": "https://evil.test"})).code == 403


# Running it


def _env(tmp_path, environ, **options):
    return environment(environ, upstream_url="http://127.0.0.1:9", secrets_file=tmp_path / "s", **options)


def test_the_environment_leads_to_the_demo(tmp_path):
    """Whatever names another platform or another secret store is overruled."""
    names = ("SCAIGRID_API_KEY", "SCAIKEY_JWKS_URL", "SCAIKEY_ISSUER", "SCAIFLOW_SCAIKEY_CLIENT_ID")
    others = ("SCAIFLOW_ENV_FILE", "VAULT_ADDR", "SCAIVAULT_URL")
    env = _env(tmp_path, dict.fromkeys([*names, *others], "x"))
    assert {"SCAIGRID_BASE_URL", "SCAIKEY_BASE_URL", "SCAIKEY_AUDIENCE", "SCAILOOKUP_SECRETS_FILE",
            "SCAIFLOW_API_PORT", "SCAILOOKUP_ADMIN", "SCAIFLOW_SCAIKEY_CLIENT_ID"} == set(env)  # fmt: skip
    assert "x" != env["SCAIFLOW_SCAIKEY_CLIENT_ID"]


def test_other_settings_pass_through(tmp_path):
    """A setting that the demo does not need for itself keeps its value."""
    assert _env(tmp_path, {"SCAILOOKUP_FRESH": "3"})["SCAILOOKUP_FRESH"] == "3"


def test_arguments_beat_the_environment(tmp_path):
    """Host and port given as arguments win."""
    environ = {"SCAIFLOW_API_HOST": "127.0.0.2", "SCAIFLOW_API_PORT": "1"}
    env = _env(tmp_path, environ, host="127.0.0.3", port=2)
    assert (env["SCAIFLOW_API_HOST"], env["SCAIFLOW_API_PORT"]) == ("127.0.0.3", "2")


def test_a_chosen_port_is_never_changed(tmp_path):
    """A port that was asked for stays, though it is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) == _env(tmp_path, {}, port=port)["SCAIFLOW_API_PORT"]


def test_a_taken_default_port_gives_way(tmp_path):
    """A default port that somebody has becomes a free one."""
    sockets = []
    for port in (8001, 8002):
        with suppress(OSError):  # somebody else has it: just as well
            sockets.append(socket.create_server(("127.0.0.1", port)))
    env = _env(tmp_path, {})
    for sock in sockets:
        sock.close()
    assert (env["SCAIFLOW_API_PORT"], env["SCAILOOKUP_ADMIN"]) == ("0", "127.0.0.1:0")


def test_the_two_listeners_do_not_collide(tmp_path):
    """A service on the admin listener's default port drives that one to a free port."""
    assert _env(tmp_path, {}, port=8002)["SCAILOOKUP_ADMIN"] == "127.0.0.1:0"


def test_the_guide_names_every_token():
    """The text for people holds all addresses and tokens."""
    tokens = {name: f"t-{name}" for name in data.USERS}
    text = guide("http://u", None, "http://p", tokens)
    words = ["http://u", "http://p", *(f"{name.upper()}_TOKEN='t-{name}'" for name in data.USERS)]
    assert all(word in text for word in words)


def test_the_guide_calls_the_program_by_its_place_where_its_name_would_not_find_it(tmp_path):
    """After `make demo` nothing is on the path: lines to paste name the file, quoted for the shell."""
    own, other = tmp_path / "an environment", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "scailookup").touch(mode=0o755)
    asked = (str(own), str(other), str(tmp_path))
    assert [program(own, path) for path in asked] == ["scailookup", *[f"'{own}/scailookup'"] * 2]


@pytest.mark.gen_test
async def test_the_platform_runs_on_loopback():
    """The running platform answers at the address it names."""
    async with platform_running() as upstream:
        reply = await AsyncHTTPClient(force_instance=True).fetch(upstream.url + "/health")
    assert (upstream.url[:17], reply.code) == ("http://127.0.0.1:", 200)


class Ending(Service):
    """The real service, which notes its settings and has the demo ended as soon as it serves."""

    seen = None

    def __init__(self, settings, metrics, *, demo):
        file = Path(settings.secrets_file)
        mode = stat.S_IMODE(file.stat().st_mode)
        type(self).seen = (file, mode, tomllib.loads(file.read_text()), settings)
        super().__init__(settings, metrics, demo=demo)

    def start(self):
        super().start()
        os.kill(os.getpid(), signal.SIGTERM)


PORTS = {"SCAIFLOW_API_PORT": "0", "SCAILOOKUP_ADMIN": "127.0.0.1:0"}


@pytest.fixture
def stub(monkeypatch):
    module = types.ModuleType("scailookup.app")
    module.Service = type("Stub", (Ending,), {})
    monkeypatch.setitem(sys.modules, "scailookup.app", module)
    return module.Service


@pytest.mark.gen_test
async def test_sigterm_ends_it_well(stub):
    """SIGTERM ends the demo with status 0."""
    assert await run(as_json=True, environ=PORTS, out=io.StringIO()) == 0


@pytest.mark.gen_test
async def test_json_is_one_line(stub):
    """With as_json one line says everything."""
    out = io.StringIO()
    await run(as_json=True, environ=PORTS, out=out)
    members = {"url", "admin_url", "upstream_url", "issuer", "tokens"}
    assert (set(json.loads(out.getvalue())), out.getvalue().count("\n")) == (members, 1)


@pytest.mark.gen_test
async def test_the_secrets_are_private_and_gone_afterwards(stub):
    """The keys lie in a file for the owner only, in a directory that is removed."""
    await run(as_json=False, environ=PORTS, out=io.StringIO())
    file, mode, tables, _ = stub.seen
    keys = {name: {"scaigrid_api_key": key} for name, key in data.KEYS.items()}
    assert (0o600, {"tenants": keys}, False) == (mode, tables, file.parent.exists())


@pytest.mark.gen_test
async def test_the_service_gets_real_settings(stub):
    """The service's settings are what `load` makes of the environment."""
    await run(as_json=True, environ={**PORTS, "SCAILOOKUP_FRESH": "3"}, out=io.StringIO())
    assert (type(load({"SCAIFLOW_AUTH_DISABLED": "true"}, system_file=None)), 3.0) == (
        type(stub.seen[3]), stub.seen[3].fresh)  # fmt: skip
