"""Contract section 4 and 7: no secret leaves in a message, a header or a log line."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from .support import (
    API_BUNKERS,
    API_MODELS,
    API_QUEUES,
    BUNKERS,
    ME,
    MODELS,
    Answer,
    Reply,
    Site,
    Sites,
    grid_error,
    script_all,
)

TENANT, ENV, OTHER = "sgk_tenant_Xk29fQpLm83Zr", "sgk_env_Wq71bNvTy46Hd", "sgk_other_Pz05cRsUj92Kf"
SECRETS = {"tnt_acme": {"scaigrid_api_key": TENANT}, "tnt_other": {"scaigrid_api_key": OTHER}}
KEYS = {"SCAILOOKUP_LOG_LEVEL": "debug", "SCAIGRID_API_KEY": ENV, "SCAILOOKUP_DEV": "true"}
FORMS = {
    "message": lambda secret: grid_error("A", f"key {secret} is bad", 500),
    "message of a 401": lambda secret: grid_error("A", f"key {secret} is bad", 401),
    "message of a 200": lambda secret: {"error": {"code": "A", "message": f"key {secret} is bad"}},
    "bearer": lambda secret: grid_error("A", f"Authorization: Bearer {secret}", 403),
    "code": lambda secret: grid_error(secret, "m", 500),
    "code within": lambda secret: grid_error(f"A.{secret}", "m", 500),
    "detail": lambda secret: Reply({"detail": f"no {secret}"}, 500),
    "over the clip": lambda secret: grid_error("A", "x" * 278 + secret, 500),
    "twice": lambda secret: grid_error("A", f"{secret}{secret} {secret}", 500),
    "code over the clip": lambda secret: grid_error("A" * 42 + secret, "m", 500),
}


def fragments(secret: str) -> Iterable[str]:
    """Return the parts of a secret that must not be seen: whole, its start, its end."""
    if secret.startswith("sgk_"):
        body = secret.split("_", 2)[2]
        return secret, body[:10], body[-10:]
    signature = secret.split(".")[2]
    return secret, secret[:16], signature[:10], signature[-10:]


def seen(secret: str, *texts: str) -> list[str]:
    """Return the fragments of a secret that occur in any text."""
    return [part for part in fragments(secret) if any(part in text for text in texts)]


def everything(answer: Answer) -> str:
    """Return an answer as text, headers and all."""
    return str(answer.headers) + answer.body.decode()


@pytest.mark.parametrize("form", FORMS)
def test_callers_token_is_scrubbed(sites: Sites, form: str) -> None:
    """An upstream that repeats the caller's token is not repeated."""
    site = sites(secrets=SECRETS, **KEYS)
    token = site.issuer.token()
    site.grid.on(MODELS, FORMS[form](token))

    answer = site.get(API_MODELS, token)

    assert (502, []) == (answer.status, seen(token, everything(answer)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tenant", ["tnt_acme", "tnt_nokey"])
def test_keys_are_scrubbed(sites: Sites, form: str, tenant: str) -> None:
    """An upstream that repeats the key it got is not repeated."""
    site = sites(secrets=SECRETS, SCAIFLOW_DEPLOY_AUTH="api_key", **KEYS)
    key = TENANT if tenant == "tnt_acme" else ENV
    site.grid.on(MODELS, FORMS[form](key))

    answer = site.get(API_MODELS, site.issuer.token(tenant_id=tenant))

    assert (502, []) == (answer.status, seen(key, everything(answer)))


def test_every_secret_held_is_scrubbed(sites: Sites) -> None:
    """A secret we hold but did not send is scrubbed as well."""
    site = sites(secrets=SECRETS, SCAIFLOW_DEPLOY_AUTH="api_key", **KEYS)
    script_all(site).get(API_MODELS, site.issuer.token(tenant_id="tnt_other"))
    site.grid.on(MODELS, grid_error("A", f"also {OTHER} and {ENV}", 500))

    answer = site.get(API_MODELS)

    assert [] == seen(OTHER, everything(answer)) + seen(ENV, everything(answer))


def hostile(site: Site) -> tuple[list[Answer], list[str]]:
    """Send what could make a server talk, and return the answers and the tokens sent."""
    token, bad = site.issuer.token(), site.issuer.token(aud="planted-aud")
    maybe = site.issuer.token(roles=None)
    forged = site.issuer.token(header={"kid": "nobody"})
    site.grid.on(ME, Reply({"error": {"code": "A", "message": f"planted-me {maybe}"}}, 500))
    site.grid.on(BUNKERS, {"data": [{"id": "b", "status": "running", "env_vars": {"A": "planted-env"}}, 7]})
    site.grid.on(
        MODELS,
        Reply(
            {"error": {"code": "A", "message": f"{token} {TENANT}"}}, 401, {"Set-Cookie": "planted-cookie"}
        ),
        Reply("<html>planted-page"),
        Reply({"data": []}, 302, {"Location": f"http://127.0.0.1:1/{TENANT}?planted-link"}),
        {"data": [{"slug": "a", "x": "planted-row"}], "next_cursor": "planted-cursor"},
        Reply(reset=True),
        Reply({"data": []}),
    )
    headers = {"Cookie": "a=planted-cookie", "X-Api-Key": "planted-header", "traceparent": "planted-trace"}
    asks = [
        (f"{API_MODELS}?q=planted-query", token),
        (f"{API_MODELS}?q=planted-query", token),
        (f"{API_MODELS}?planted-name=planted-value", token),
        (API_MODELS, token),
        (API_MODELS, token),
        (API_MODELS, token),
        (API_BUNKERS, token),
        (API_QUEUES, token),
        (API_MODELS, bad),
        (API_MODELS, forged),
        (API_MODELS, maybe),
        (API_MODELS, TENANT),
        (f"{API_MODELS}?access_token={token}", None),
    ]
    return [site.get(path, bearer, headers) for path, bearer in asks], [token, bad, maybe, forged]


@pytest.mark.parametrize("pin", ["user_jwt", "api_key"])
def test_nothing_planted_is_logged(sites: Sites, pin: str) -> None:
    """At level debug no line holds a token, a key, a body or a query value."""
    site = sites(secrets=SECRETS, SCAIFLOW_DEPLOY_AUTH=pin, **KEYS)
    _, tokens = hostile(site)
    site.get("/v1/scaigrid/models", headers={"X-Request-ID": f"last-{pin}"})
    site.server.event("upstream_call", request_id=f"last-{pin}")
    lines = list(site.server.lines)
    allowed = ("planted-name",)  # a parameter's name may be named

    leaks = [line for line in lines for secret in [*tokens, TENANT, ENV, OTHER] if seen(secret, line)]
    planted = [line for line in lines if "planted" in line.replace(*allowed, "")]
    assert ([], []) == (leaks, planted)


@pytest.mark.parametrize("pin", ["user_jwt", "api_key"])
def test_nothing_planted_is_answered(sites: Sites, pin: str) -> None:
    """No answer holds a token, a key, an upstream's body or its headers."""
    site = sites(secrets=SECRETS, SCAIFLOW_DEPLOY_AUTH=pin, **KEYS)
    answers, tokens = hostile(site)
    texts = [everything(answer) for answer in answers]

    leaks = [text for text in texts for secret in [*tokens, TENANT, ENV, OTHER] if seen(secret, text)]
    marks = ["planted-me", "planted-env", "planted-cookie", "planted-page", "planted-link", "planted-header"]
    assert ([], []) == (leaks, [mark for mark in marks if any(mark in text for text in texts)])


def test_vault_token_stays(sites: Sites) -> None:
    """The secret store's own token is in no answer and no line."""
    secret = "skt_vault_Lm4xTq8sWd2"
    site = sites(
        SCAIVAULT_URL="http://127.0.0.1:9",
        SCAIVAULT_TOKEN=secret,
        SCAIFLOW_DEPLOY_AUTH="api_key",
        SCAILOOKUP_LOG_LEVEL="debug",
    )

    answer = site.get(API_MODELS)

    assert (503, False) == (answer.status, secret in everything(answer) + "".join(site.server.lines))


def test_lines_are_json(sites: Sites) -> None:
    """Off a terminal every line of stderr is one JSON object."""
    site = script_all(sites(secrets=SECRETS, SCAIFLOW_DEPLOY_AUTH="api_key", **KEYS))
    site.get(API_MODELS)

    assert {dict} == {type(json.loads(line)) for line in list(site.server.lines)}
