"""`GET /explain`: each step of a lookup by its result, who sees which, and that nothing secret is in it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bao import Bao, running
from harness import certificate

from .support import (
    API_MODELS,
    JWKS,
    ME,
    MODEL,
    MODELS,
    PREFIXES,
    QUEUES,
    SCOPES,
    Answer,
    Reply,
    Seen,
    Site,
    Sites,
    Upstream,
    detail,
    grid_error,
    models,
    script_all,
)

NAMES = ["token", "permission", "credential", "address", "dns", "connection", "call", "answer", "cache"]
CHECKS = ["header", "signature", "claims", "expiry", "audience", "tenant", "issuer"]
KEY = "sgk_explained_key_7391"
_serial = itertools.count(1)


def tenant() -> str:
    """A tenant that nothing was asked for yet: one tenant's explanations come a second apart."""
    return f"tnt_{next(_serial)}"


def ask(site: Site, lookup: str = "scaigrid/models", prefix: str = "/v1", **claims: Any) -> Answer:
    """Have a lookup explained, for a tenant_admin of a new tenant unless told otherwise."""
    claims = {"tenant_id": tenant(), "roles": ["tenant_admin"]} | claims
    return site.get(f"{prefix}/explain?lookup={quote(lookup, safe='')}", site.issuer.token(**claims))


def steps(answer: Answer) -> dict[str, Any]:
    """The steps of an explanation by name, after a look at what holds of each."""
    assert 200 == answer.status, answer.body
    assert [step["name"] for step in answer.json["steps"]] == NAMES
    assert all(
        step["message"] and step["status"] in ("ok", "warn", "failed", "skipped")
        for step in answer.json["steps"]
    )
    assert all(step.get("fix") for step in answer.json["steps"] if step["status"] == "failed")
    return {step["name"]: step for step in answer.json["steps"]}


def statuses(found: dict[str, Any], *left_out: str) -> list[str]:
    """The statuses in order; a name that is an address is not resolved, so dns is mostly left out."""
    return [step["status"] for name, step in found.items() if name not in ("dns", *left_out)]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("role", ["tenant_admin", "super_admin"])
def test_all_well(site: Site, prefix: str, role: str) -> None:
    """Whoever administers sees every step: all are well, with what was seen on the way."""
    answer = ask(site, prefix=prefix, roles=[role])
    found = steps(answer)
    assert ("/scaigrid/models", "ok", True) == tuple(
        answer.json[name] for name in ("lookup", "status", "whole")
    )
    assert ["ok"] * 8 == statuses(found)
    assert "no-store" == answer.header("Cache-Control")
    assert {"step": "caller", "store": "none"} == found["credential"]["details"]
    assert f"{site.grid.base}/v1/models" == found["address"]["details"]["url"]
    assert "127.0.0.1" == found["connection"]["details"]["address"]
    told = found["call"]["details"] | found["answer"]["details"]
    assert (200, 1, 1, 0, "caller") == tuple(
        told[n] for n in ("status", "pages", "rows", "dropped", "credential")
    )
    assert ("none", "closed") == (
        found["cache"]["details"]["state"],
        found["cache"]["details"]["circuit"]["state"],
    )


@pytest.mark.parametrize("role", ["tenant_viewer", "partner_admin"])
def test_others_see_their_own_part(site: Site, role: str) -> None:
    """Token and permission are shown, the rest is not, and the upstream is not asked."""
    answer = ask(site, roles=[role])
    found = steps(answer)
    assert ["ok", "ok"] + ["skipped"] * 6 == statuses(found)
    assert all("tenant_admin" in found[name]["message"] for name in NAMES[2:])
    assert all("details" not in found[name] for name in NAMES[2:])
    assert (False, []) == (answer.json["whole"], site.grid.calls())


def test_with_authentication_off(sites: Sites) -> None:
    """The developer sees everything; there is no token to look at, and the environment's key signs."""
    site = script_all(
        sites(
            SCAIFLOW_AUTH_DISABLED="true", SCAIGRID_API_KEY=KEY, SCAIKEY_BASE_URL=None, SCAIKEY_AUDIENCE=None
        )
    )
    answer = site.get("/v1/explain?lookup=scaigrid/models", None)
    found = steps(answer)
    assert ["skipped"] + ["ok"] * 7 == statuses(found)
    assert "env" == found["credential"]["details"]["step"]
    assert ["caller", "tenant"] == [one["step"] for one in found["credential"]["details"]["passed_over"]]
    assert KEY not in answer.body.decode()


def bad_tokens(site: Site) -> dict[str, str | None]:
    """For each check a token that fails it."""
    issuer, now = site.issuer, int(time.time())
    return {
        "none": None,
        "header": issuer.token(header={"alg": "RS256", "crit": ["x"]}),
        "signature": issuer.token()[:-8] + "AAAAAAAA",
        "claims": issuer.token(sub=None),
        "expiry": issuer.token(iat=now - 900, exp=now - 600),
        "audience": issuer.token(aud="app_other"),
        "tenant": issuer.token(tenant_id="no/tenant"),
        "issuer": issuer.token(iss="https://else.example"),
    }


@pytest.mark.parametrize("check", ["none", *CHECKS])
def test_a_refused_token_says_which_check_failed(site: Site, check: str) -> None:
    """It is a 401 like everywhere, which tells besides how far the token came."""
    token = bad_tokens(site)[check]
    answer = site.get("/v1/explain?lookup=scaigrid/models", token)
    told = detail(answer, 401, "unauthenticated")["steps"]
    at = CHECKS.index("header" if check == "none" else check)
    wanted = ["ok"] * at + ["failed"] + ["skipped"] * (len(CHECKS) - at - 1)
    assert wanted == [one["status"] for one in told[0]["details"]["checks"]]
    assert ["failed"] + ["skipped"] * 8 == [step["status"] for step in told]
    assert [] == site.grid.calls()
    assert token is None or token not in answer.body.decode()


@pytest.mark.parametrize(
    ("claims", "source"),
    [
        ({"permissions": ["scaicore:view"]}, "claims"),
        ({"scope": "openid scaicore:view"}, "claims"),
        ({}, "roles"),
        ({"role": "tenant_admin", "roles": None}, "roles"),
        ({"roles": ["tenant_user"]}, "scaigrid"),
    ],
)
def test_the_source_of_the_permission(site: Site, claims: dict[str, Any], source: str) -> None:
    """The first source that grants is named."""
    site.grid.on(ME, {"permissions": ["scaicore:view"]})
    assert source == steps(ask(site, **claims))["permission"]["details"]["source"]


@pytest.mark.parametrize(
    ("claims", "heard"),
    [
        ({"permissions": []}, ["claims"]),
        ({"roles": ["tenant_user"]}, ["claims", "roles", "scaigrid"]),
    ],
)
def test_a_missing_permission(site: Site, claims: dict[str, Any], heard: list[str]) -> None:
    """What is lacking is named with who had a say, and nothing beyond is looked at."""
    site.grid.on(ME, {"permissions": []})
    found = steps(ask(site, **claims))
    assert ["ok", "failed"] + ["skipped"] * 6 == statuses(found)
    assert ("need scaicore:view", heard) == (
        found["permission"]["message"],
        found["permission"]["details"]["sources"],
    )
    assert [] == site.grid.calls(MODELS)


def test_permissions_that_cannot_be_had(site: Site) -> None:
    """ScaiGrid failing to say is no refusal, and is told as what it is."""
    site.grid.on(ME, Reply({}, 500))
    step = steps(ask(site, roles=["tenant_user"]))["permission"]
    assert ("failed", "identity_unavailable") == (step["status"], step["details"]["error"])


def test_a_stored_key(sites: Sites) -> None:
    """The path looked at is told, and why the caller's token was passed over; never the key."""
    site = script_all(sites(secrets={"tnt_acme": {"scaigrid_api_key": KEY}}, SCAIFLOW_DEPLOY_AUTH="api_key"))
    answer = ask(site, tenant_id="tnt_acme")
    told = steps(answer)["credential"]["details"]
    assert ("tenant", "SCAILOOKUP_SECRETS_FILE") == (told["step"], told["store"])
    assert ["caller"] == [one["step"] for one in told["passed_over"]]
    assert {"path": "tenants/tnt_acme/scaigrid_api_key", "outcome": "found"} == told["looked_at"][0]
    assert KEY not in answer.body.decode()


def test_no_credential(sites: Sites) -> None:
    """Every step of the chain says why it gave none."""
    site = script_all(sites(secrets={"tnt_acme": {"scaigrid_api_key": KEY}}, SCAIFLOW_DEPLOY_AUTH="api_key"))
    found = steps(ask(site))
    assert ["ok", "ok", "failed"] + ["skipped"] * 5 == statuses(found)
    told = found["credential"]["details"]
    assert ["caller", "tenant", "env"] == [one["step"] for one in told["passed_over"]]
    assert (["nothing"], "missing_credentials") == (
        [one["outcome"] for one in told["looked_at"]],
        told["error"],
    )


def test_a_tenants_address_that_is_ignored(sites: Sites) -> None:
    """It works, by the operator's address, and is worth a warning."""
    stored = {"scaigrid_api_key": KEY, "scaigrid_base_url": "https://elsewhere.example"}
    site = script_all(sites(secrets={"tnt_acme": stored}, SCAIFLOW_DEPLOY_AUTH="api_key"))
    found = steps(ask(site, tenant_id="tnt_acme"))
    assert ("warn", "operator") == (found["credential"]["status"], found["address"]["details"]["of"])
    assert "SCAILOOKUP_TENANT_HOSTS" in found["credential"]["message"]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """A real OpenBao that holds the key of one tenant."""
    with running(tmp_path_factory.mktemp("bao")) as bao:
        bao.put("tenants/tnt_acme/scaigrid_api_key", value=KEY)
        yield bao


def test_a_real_vault(tmp_path: Path, vault: Bao) -> None:
    """OpenBao is looked into at the tenant's path; a failing one is told as failing, not as empty."""
    where = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": vault.token("lookups")}
    site = script_all(Site(tmp_path, SCAIFLOW_DEPLOY_AUTH="api_key", SCAILOOKUP_SECRET_FRESH="0", **where))
    try:
        told = steps(ask(site, tenant_id="tnt_acme"))["credential"]["details"]
        assert ("VAULT_ADDR", "tenant") == (told["store"], told["step"])
        assert {"path": "tenants/tnt_acme/scaigrid_api_key", "outcome": "found"} == told["looked_at"][0]
        vault.stop()
        step = steps(ask(site))["credential"]
        assert ("failed", "secrets_unavailable") == (step["status"], step["details"]["error"])
        assert ["failed"] == [one["outcome"] for one in step["details"]["looked_at"]]
    finally:
        site.stop()


def test_a_name_that_does_not_resolve(sites: Sites) -> None:
    """The name, the connection and the call each say so."""
    site = sites(SCAIGRID_BASE_URL="http://no-such-host.invalid", SCAILOOKUP_CONNECT_TIMEOUT="30")
    found = steps(ask(site))
    assert ["failed", "skipped", "failed", "skipped"] == [found[name]["status"] for name in NAMES[4:8]]
    assert "no-such-host.invalid" in found["dns"]["message"]
    assert "unreachable" == found["call"]["details"]["code"]


def test_a_name_that_resolves(sites: Sites) -> None:
    """Its addresses are told, and how long it took."""
    site = sites()
    port = site.grid.port
    named = script_all(sites(SCAIGRID_BASE_URL=f"http://localhost:{port}"))
    site.grid.on(MODELS, {"data": [MODEL]})
    step = steps(ask(named))["dns"]
    assert "ok" == step["status"]
    assert "127.0.0.1" in step["details"]["addresses"]
    assert step["details"]["ms"] >= 0


def test_behind_a_proxy(sites: Sites) -> None:
    """Name and connection are the proxy's matter; its password is not told, nor one in a tenant's address."""
    password = "pr0xy-password-5512"
    stored = {"scaigrid_api_key": KEY, "scaigrid_base_url": f"https://me:{password}@elsewhere.example"}
    proxy = Upstream()
    proxy.on(MODELS, {"data": [MODEL]})
    site = sites(
        secrets={"tnt_acme": stored},
        SCAIFLOW_DEPLOY_AUTH="api_key",
        SCAILOOKUP_PROXY=f"http://us:{password}@127.0.0.1:{proxy.port}",
        SCAIGRID_BASE_URL="http://grid.invalid",
        SCAIKEY_JWKS_URL="http://id.invalid" + JWKS,
    )
    try:
        proxy.on(JWKS, site.issuer.jwks())
        answer = ask(site, tenant_id="tnt_acme")
        found = steps(answer)
        assert ["skipped", "skipped", "ok"] == [
            found[name]["status"] for name in ("dns", "connection", "call")
        ]
        assert "no user or password" in found["credential"]["message"]
        assert password not in answer.body.decode()
    finally:
        proxy.stop()


def test_a_port_nobody_listens_on(sites: Sites) -> None:
    """The connection fails and so does the call, by the service's own word."""
    gone = Upstream()
    gone.stop()
    found = steps(ask(sites(SCAIGRID_BASE_URL=gone.base)))
    assert ["failed", "failed", "skipped"] == [found[name]["status"] for name in NAMES[5:8]]
    assert "unreachable" == found["call"]["details"]["code"]


@pytest.mark.parametrize(("days", "known", "word"), [(30, False, "self-signed"), (-3, True, "expired")])
def test_a_certificate_that_is_refused(tmp_path: Path, days: int, known: bool, word: str) -> None:
    """What it is refused for, whose it is and when it ends are told; nothing was sent."""
    pem = certificate(tmp_path / "server.pem", days)
    secure = Upstream(tls=pem)
    site = Site(tmp_path, SCAIGRID_BASE_URL=secure.base, **({"SSL_CERT_FILE": str(pem)} if known else {}))
    try:
        found = steps(ask(site))
        told = found["connection"]["details"]
        assert ("failed", True) == (found["connection"]["status"], word in found["connection"]["message"])
        assert ("CN=127.0.0.1", True) == (told["issuer"], told["days_left"] in (days - 1, days))
        assert ("tls", []) == (found["call"]["details"]["code"], secure.calls())
    finally:
        site.stop()
        secure.stop()


@pytest.mark.parametrize(("days", "status"), [(30, "ok"), (3, "warn")])
def test_a_certificate_that_is_trusted(tmp_path: Path, days: int, status: str) -> None:
    """Protocol, issuer and end are told; one that ends soon is worth a warning."""
    pem = certificate(tmp_path / "server.pem", days)
    secure = Upstream(tls=pem)
    secure.on(MODELS, {"data": [MODEL]})
    site = Site(tmp_path, SCAIGRID_BASE_URL=secure.base, SSL_CERT_FILE=str(pem))
    try:
        found = steps(ask(site))
        told = found["connection"]["details"]
        assert (status, "ok") == (found["connection"]["status"], found["call"]["status"])
        assert ("CN=127.0.0.1", True) == (told["issuer"], told["protocol"].startswith("TLSv1."))
        assert told["days_left"] in (days - 1, days)
    finally:
        site.stop()
        secure.stop()


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (grid_error("INTERNAL_ERROR", "broken", 500), 500, "INTERNAL_ERROR"),
        (grid_error("AUTH_TOKEN_INVALID", "no", 401), 401, "AUTH_TOKEN_INVALID"),
        (Reply({}, 302, {"Location": "https://else.example/"}), 302, "redirected"),
        (Reply(reset=True), None, "unreachable"),
    ],
)
def test_a_call_that_fails(site: Site, reply: Reply, status: int | None, code: str) -> None:
    """Its message and fix are those that the lookup itself gives."""
    site.grid.on(MODELS, reply)
    told = site.get(API_MODELS).json["detail"]
    found = steps(ask(site))
    step = found["call"]
    assert ["failed", "skipped"] == [found[name]["status"] for name in ("call", "answer")]
    assert (told["error"], told["message"], told["fix"]) == (
        step["details"]["error"],
        step["message"],
        step["fix"],
    )
    assert (status, code) == (step["details"].get("status"), step["details"]["code"])


@pytest.mark.parametrize("reply", ["<html>sign in</html>", {"nothing": "here"}, {"data": [{"x": 1}]}])
def test_an_answer_that_cannot_be_read(site: Site, reply: Any) -> None:
    """The call went well, and the answer is at fault."""
    site.grid.on(MODELS, reply)
    found = steps(ask(site))
    assert ["ok", "failed"] == [found[name]["status"] for name in ("call", "answer")]
    assert (200, "bad_shape") == (found["call"]["details"]["status"], found["answer"]["details"]["code"])


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        ({"data": [MODEL]}, '{"data": [...]}'),
        ({"data": {"items": [MODEL]}}, '{"data": {"items": [...]}}'),
        ({"object": "list", "data": [MODEL]}, '{"object": "list", "data": [...]}'),
        ([MODEL], "[...]"),
        ({"items": [MODEL]}, '{"items": [...]}'),
        ({"models": [MODEL]}, '{"models": [...]}'),
        ({"results": [MODEL]}, '{"results": [...]}'),
    ],
)
def test_the_envelope(site: Site, body: Any, envelope: str) -> None:
    """The envelope that was recognised is told."""
    site.grid.on(MODELS, body)
    assert envelope == steps(ask(site))["answer"]["details"]["envelope"]


def test_a_call_that_breaks_on_a_later_page(site: Site) -> None:
    """The status of a page before is not told as that of the call that failed."""
    site.grid.on(MODELS, {"data": [MODEL], "next_cursor": "2", "has_more": True}, Reply(reset=True))
    told = steps(ask(site))["call"]["details"]
    assert ("unreachable", False, 1) == (told["code"], "status" in told, told["replies"])


def test_dropped_rows(site: Site) -> None:
    """Their number, and the reason of the first with the names of its fields."""
    site.grid.on(MODELS, {"data": [MODEL, {"title": "GPT", "size": 3}, 7]})
    step = steps(ask(site))["answer"]
    assert ("warn", 1, 2) == (step["status"], step["details"]["rows"], step["details"]["dropped"])
    assert "title, size" in step["details"]["first_dropped"]


def test_pages_and_truncation(sites: Sites) -> None:
    """Every page is read as the lookup would; where it ends before its end, that is a warning."""
    site = sites(SCAILOOKUP_MAX_PAGES="2")
    page = itertools.count(1)
    site.grid.on(
        MODELS,
        lambda _: {"data": models([f"m/{next(page)}"]), "has_more": True, "next_cursor": str(next(page))},
    )
    step = steps(ask(site))["answer"]
    assert ("warn", 2, 2, True) == (
        step["status"],
        *(step["details"][n] for n in ("pages", "rows", "truncated")),
    )


def test_a_selection(site: Site) -> None:
    """With a query it is told how many of the rows are wanted."""
    site.grid.on(MODELS, {"data": models(["acme/a", "acme/b", "other/c"])})
    told = steps(ask(site, "scaigrid/models?q=acme"))["answer"]["details"]
    assert (3, 2) == (told["rows"], told["selected"])


def test_a_lookup_with_values(site: Site) -> None:
    """The path is the lookup's own; a value goes upstream as it would."""
    answer = ask(site, "scaiqueue/scopes/scp_1/queues")
    assert ("/scaiqueue/scopes/{scope_id}/queues", "ok") == (answer.json["lookup"], answer.json["status"])
    ask(site, "/scaiqueue/scopes/a%2Fb/queues")
    ask(site, "scaiqueue/scopes/caf\u00e9 x/queues")
    asked = [seen.path for seen in site.grid.calls()]
    assert [QUEUES, f"{SCOPES}/a%2Fb/queues", f"{SCOPES}/caf%C3%A9%20x/queues"] == asked


def test_memory_is_told_and_not_touched(sites: Sites) -> None:
    """What is held is told with its age; the explanation is answered by the upstream and leaves it be."""
    site = script_all(sites(SCAILOOKUP_FRESH="600"))
    token = site.issuer.token(roles=["tenant_admin"], tenant_id=tenant())
    where = "/v1/explain?lookup=scaigrid/models"
    first = steps(site.get(where, token))["cache"]["details"]
    assert ("none", 1) == (first["state"], len(site.grid.calls(MODELS)))
    site.get(API_MODELS, token)
    assert 2 == len(site.grid.calls(MODELS))
    told = steps(site.get(where, token))["cache"]["details"]
    assert ("fresh", True) == (told["state"], told["left"] > 500)
    site.grid.on(MODELS, {"data": []})
    assert MODEL["slug"] == site.get(API_MODELS, token).json["data"][0]["slug"]


def test_a_refusal_leaves_memory_be(sites: Sites) -> None:
    """An explanation that the upstream refuses takes nothing from callers that are served from memory."""
    site = script_all(sites(SCAILOOKUP_FRESH="600"))
    token = site.issuer.token(roles=["tenant_admin"], tenant_id=tenant())
    site.get(API_MODELS, token)
    site.grid.on(MODELS, grid_error("AUTH_TOKEN_INVALID", "no", 401))
    assert "failed" == steps(site.get("/v1/explain?lookup=scaigrid/models", token))["call"]["status"]
    assert 200 == site.get(API_MODELS, token).status


def test_an_open_circuit(sites: Sites) -> None:
    """It is shared with the lookups: who explains does not get past it, and is told of it."""
    site = sites(SCAILOOKUP_CIRCUIT="1")
    site.grid.on(MODELS, Reply(reset=True))
    site.get(API_MODELS)
    asked = len(site.grid.calls(MODELS))
    found = steps(ask(site))
    assert ("circuit_open", "open") == (
        found["call"]["details"]["code"],
        found["cache"]["details"]["circuit"]["state"],
    )
    assert ("warn", asked) == (found["cache"]["status"], len(site.grid.calls(MODELS)))


def test_a_rate_limit_that_the_lookup_met(sites: Sites) -> None:
    """While the upstream's Retry-After runs, an explanation does not ask it."""
    site = sites(SCAILOOKUP_FAILURE_MEMORY="600")
    site.grid.on(MODELS, grid_error("RATE_LIMITED", "slow down", 429, Retry_After="600"))
    token = site.issuer.token(roles=["tenant_admin"], tenant_id=tenant())
    site.get(API_MODELS, token)
    found = steps(site.get("/v1/explain?lookup=scaigrid/models", token))
    assert ("failed", True, 1) == (
        found["call"]["status"],
        found["call"]["details"]["remembered"],
        len(site.grid.calls(MODELS)),
    )
    assert "RATE_LIMITED" in found["cache"]["details"]["failure"]["message"]


def test_a_rate_limit_that_an_explanation_met(site: Site) -> None:
    """So it does when the 429 was its own: the next one waits as long."""
    site.grid.on(MODELS, grid_error("RATE_LIMITED", "slow down", 429, Retry_After="600"))
    who = tenant()
    assert "failed" == steps(ask(site, tenant_id=who))["call"]["status"]
    found = steps(ask(site, tenant_id=who))
    assert ("skipped", 1) == (found["call"]["status"], len(site.grid.calls(MODELS)))
    assert "in 600 s" in found["call"]["message"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("", "lookup"),
        ("lookup=", "lookup"),
        ("lookup=scaigrid/models&lookup=scaigrid/models", "lookup"),
        ("lookup=scaigrid/nothing", "lookup"),
        ("lookup=lookups", "lookup"),
        ("lookup=../healthz", "lookup"),
        ("lookup=%zz", "lookup"),
        ("lookup=scaigrid/models&q=x", "query"),
        ("lookup=scaigrid/models%3Fmodel=x", "model"),
        ("lookup=scaigrid/models%3Flimit=0", "limit"),
        ("lookup=scaiqueue/scopes/%252E/queues", "scope_id"),
    ],
)
def test_what_is_refused(site: Site, query: str, parameter: str) -> None:
    """A lookup that there is not, and whatever the lookup itself would refuse, is 400 by its name."""
    answer = site.get(f"/v1/explain?{query}")
    assert parameter == detail(answer, 400, "invalid_parameter")["parameter"]
    assert [] == site.grid.calls()


def test_only_get(site: Site) -> None:
    """Other methods are refused as everywhere."""
    answer = site.get("/v1/explain?lookup=scaigrid/models", method="POST")
    assert "GET, HEAD" == (detail(answer, 405, "method_not_allowed"), answer.header("Allow"))[1]


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("pin", ["user_jwt", "api_key"])
def test_nothing_secret_leaves(sites: Sites, pin: str, status: int) -> None:
    """An upstream that sends the credential back wherever it can gets nothing of it shown or logged."""
    keys = {f"tnt_{number}": {"scaigrid_api_key": f"{KEY}_{number}"} for number in (200, 403, 500)}
    site = sites(secrets=keys, SCAIFLOW_DEPLOY_AUTH=pin)

    def echo(seen: Seen) -> Reply:
        said = (seen.header("Authorization") or "").removeprefix("Bearer ")
        body: Any = {"data": [{said: 1, f"Bearer {said}": 2}, {"slug": "a"}]}
        if status >= 400:
            body = {"error": {"code": said, "message": f"you sent {said}"}}
        return Reply(body, status, {"Content-Type": f"x/{said}"})

    site.grid.on(MODELS, echo)
    token = site.issuer.token(roles=["tenant_admin"], tenant_id=f"tnt_{status}")
    answer = site.get("/v1/explain?lookup=scaigrid/models", token)
    assert steps(answer)["call"]["status"] == ("ok" if status == 200 else "failed")
    text = "\n".join([answer.body.decode(), *site.server.lines])
    assert pin == "user_jwt" or "[redacted]" in text
    assert [] == [part for part in (f"{KEY}_", *token.split(".")[:2]) if part[:20] in text]
