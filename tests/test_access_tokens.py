"""Tokens by client credentials: fetched once for all, renewed before their end, once after a refusal."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from typing import Any
from urllib.parse import parse_qs

import pytest
from fakes import Asked, FakeClock, reply, said

from scailookup import Lookup, Upstream, auth
from scailookup.credentials import AccessTokens
from scailookup.errors import CallFailed, UpstreamApi, UpstreamAuth
from scailookup.log import Scrubber
from scailookup.model import Errand, Exchange, Grant, Reply, Request, Trace

pytestmark = pytest.mark.gen_test
BASE, TOKEN_URL = "https://up.example", "https://id.example/oauth/token"
CLIENT = Exchange("up", TOKEN_URL, "client-1", "planted secret/1", "read", (("audience", "up"),))
GRANT = Grant("shared", BASE, (), CLIENT.secret, CLIENT)
TRACE = Trace("req-1")


class Endpoint:
    """The way out to a token endpoint: answers in turn, the last stays; waits while ``gate`` is an event."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.errands: list[Errand] = []
        self.gate: asyncio.Event | None = None

    async def call(self, errand: Errand, judge: Any) -> Any:
        self.errands.append(errand)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return (await judge(answer if isinstance(answer, Reply) else reply(answer))).value


class World:
    """Tokens, their clock and their endpoint."""

    def __init__(self, *answers: Any) -> None:
        self.clock = FakeClock()
        self.endpoint = Endpoint(*answers)
        self.tokens = AccessTokens(self.endpoint, clock=self.clock)

    async def sign(self, grant: Grant = GRANT, seconds: float = 30.0) -> Grant:
        """The grant, signed."""
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.tokens.sign(grant, "tnt_acme", TRACE, deadline)

    @property
    def fetches(self) -> int:
        """How often the endpoint was asked."""
        return len(self.endpoint.errands)


def token(value: str, life: Any = 3600) -> dict[str, Any]:
    """A good answer."""
    return {"access_token": value, "token_type": "Bearer", "expires_in": life}


async def settle() -> None:
    """Let what runs behind come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_asked_and_what_is_sent():
    """The client goes out as Basic, form-encoded first, with scope and more; the token comes back."""
    world = World(token("t1"))
    signed = await world.sign()
    errand = world.endpoint.errands[0]
    request = errand.request()
    basic = base64.b64decode(dict(request.headers)["Authorization"].removeprefix("Basic ")).decode()
    assert ("POST", TOKEN_URL, "client-1:planted+secret%2F1", False) == (
        *(request.method, request.url, basic),
        request.reads,
    )
    assert {"grant_type": ["client_credentials"], "scope": ["read"], "audience": ["up"]} == parse_qs(
        (request.body or b"").decode()
    )
    assert ((("Authorization", "Bearer t1"),), "t1") == (signed.headers, signed.secret)
    assert ("up", "token", "shared") == (errand.upstream, errand.lookup, errand.grant.step)


async def test_the_client_in_the_body():
    """Where the endpoint wants it so the client stands in the form, and no Authorization is sent."""
    world = World(token("t1"))
    exchange = Exchange("up", TOKEN_URL, "client-1", "s & 1", in_body=True)
    await world.sign(Grant("shared", BASE, (), exchange.secret, exchange))
    request = world.endpoint.errands[0].request()
    assert (["client-1"], ["s & 1"], False) == (
        *(parse_qs((request.body or b"").decode())[name] for name in ("client_id", "client_secret")),
        "Authorization" in dict(request.headers),
    )


async def test_one_fetch_for_all():
    """Everybody who needs the token at once waits for one fetch, and who leaves takes nobody along."""
    world = World(token("t1"))
    world.endpoint.gate = asyncio.Event()
    asking = [asyncio.ensure_future(world.sign()) for _ in range(20)]
    await settle()
    asking[0].cancel()
    world.endpoint.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert (1, {"t1"}) == (world.fetches, {signed.secret for signed in found[1:]})


async def test_held_until_shortly_before_its_end():
    """A token is renewed behind before its end; until the new one is there the old one is used."""
    world = World(token("t1", 600), token("t2", 600))
    first = await world.sign()
    world.clock.now += 500
    held = await world.sign()
    world.clock.now += 50
    world.endpoint.gate = asyncio.Event()
    old = await world.sign()
    await settle()
    world.endpoint.gate.set()
    await settle()
    new = await world.sign()
    assert (["t1", "t1", "t1", "t2"], 2) == ([g.secret for g in (first, held, old, new)], world.fetches)


async def test_never_used_after_its_end():
    """A token that is over is not sent: the call waits for the next one."""
    world = World(token("t1", 10), token("t2", 10))
    await world.sign()
    world.clock.now += 10
    assert "t2" == (await world.sign()).secret


@pytest.mark.parametrize("life", [None, 0, -1, True, "x", 1e300, [1]])
async def test_a_life_that_is_not_said(life):
    """Without a sound word on its life a token is taken to live five minutes."""
    world = World(token("t1", life), token("t2"))
    await world.sign()
    world.clock.now += 239
    await world.sign()
    assert 1 == world.fetches
    world.clock.now += 61
    assert "t2" == (await world.sign()).secret


async def test_a_refused_token_is_fetched_anew_once():
    """After a refusal the next call fetches another; when that one is refused too, it stands for a while."""
    world = World(token("t1"), token("t2"), token("t3"))
    world.tokens.refuse(await world.sign())
    second = await world.sign()
    world.tokens.refuse(second)
    third = await world.sign()
    world.clock.now += 11
    world.tokens.refuse(third)
    fourth = await world.sign()
    assert ["t2", "t2", "t3"] == [grant.secret for grant in (second, third, fourth)]


async def test_a_refusal_of_an_older_token_costs_nothing():
    """Who was refused with the token before does not throw away the one that took its place."""
    world = World(token("t1"), token("t2"))
    old = await world.sign()
    world.tokens.refuse(old)
    await world.sign()
    world.clock.now += 60
    world.tokens.refuse(old)
    assert ("t2", 2) == ((await world.sign()).secret, world.fetches)


async def test_a_failed_fetch_is_remembered_for_a_moment():
    """A failing endpoint is asked once a second and not once a call."""
    world = World(CallFailed("unreachable", "no connection"), token("t1"))
    for _ in range(3):
        with pytest.raises(CallFailed, match="no connection"):
            await world.sign()
    assert 1 == world.fetches
    world.clock.now += 1
    assert "t1" == (await world.sign()).secret


async def test_a_failing_endpoint_costs_no_good_token():
    """While a token is good, a renewal that fails is not noticed."""
    world = World(token("t1", 600), CallFailed("unreachable", "no connection"))
    await world.sign()
    world.clock.now += 560
    await world.sign()
    await settle()
    assert ("t1", 2) == ((await world.sign()).secret, world.fetches)


async def test_a_fetch_outlives_the_deadline_of_who_began_it():
    """A short deadline ends the wait and not the fetch."""
    world = World(token("t1"))
    world.endpoint.gate = asyncio.Event()
    with pytest.raises(CallFailed, match="timeout"):
        await world.sign(seconds=0.01)
    world.endpoint.gate.set()
    assert ("t1", 1) == ((await world.sign()).secret, world.fetches)


@pytest.mark.parametrize(
    "answer",
    [
        *({}, [], "t", {"access_token": ""}, {"access_token": 7}, {"access_token": "a b"}),
        *({"access_token": "\u00e9"}, {"access_token": "a\r\nX: y"}),
        *({"access_token": "a", "token_type": "mac"}, {"access_token": "a", "token_type": 7}),
    ],
)
async def test_what_is_no_token(answer):
    """An answer without a bearer token that can be sent is bad_shape."""
    with pytest.raises(CallFailed) as caught:
        await World(answer).sign()
    assert "bad_shape" == caught.value.code


async def test_what_was_refused_is_forgotten_with_the_next_fetch():
    """A secret that was exchanged since does not stay in memory, whether or not its fetch went well."""
    world = World(token("t1"), reply({}, 500))
    world.tokens.refuse(await world.sign())
    with pytest.raises(CallFailed):
        await world.sign()
    assert set() == world.tokens._refused


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_client(status):
    """The endpoint's own code and text are told."""
    refusal = reply({"error": "invalid_client", "error_description": "unknown client"}, status)
    with pytest.raises(CallFailed) as caught:
        await World(refusal).sign()
    assert ("invalid_client", "unknown client", status) == (
        *(caught.value.code, caught.value.text),
        caught.value.status,
    )


async def test_every_token_is_known_to_the_scrubber():
    """The tokens held are a source of the scrubber's."""
    world = World(token("planted-token-1"))
    await world.sign()
    scrub = Scrubber()
    scrub.add_source(world.tokens.values)
    assert "a [redacted] b" == scrub("a planted-token-1 b")


# ---- through a whole lookup


def up(**more: Any) -> Upstream:
    """An upstream whose calls are signed with a token."""
    how = auth.ClientCredentials(TOKEN_URL, secret="up/oauth", **more)
    return Upstream("up", BASE, how, (Lookup("things", "/things"),))


STORE = {"up/oauth": {"client_id": "client-1", "client_secret": "planted-secret"}}


def answering(*tokens: str, refused: tuple[str, ...] = ()) -> dict[str, Any]:
    """An endpoint that gives these tokens in turn, and an upstream that refuses some."""
    left = list(tokens)

    def things(request: Request) -> Any:
        sent = dict(request.headers)["Authorization"].removeprefix("Bearer ")
        return reply({"error": {"message": f"bad {sent}"}}, 401) if sent in refused else [{"id": sent}]

    return {
        TOKEN_URL: lambda request: token(left.pop(0) if len(left) > 1 else left[0]),
        f"{BASE}/things": things,
    }


async def test_a_lookup_signed_with_a_token():
    """Client id and secret come out of one stored secret; the token call is logged like any other."""
    asked = Asked(answering("token-1"), STORE)
    served = await asked.ask(up())
    assert ([{"id": "token-1"}], [("token", TOKEN_URL), ("things", f"{BASE}/things")]) == (
        said(served)["data"],
        [(call.lookup, call.url) for call in asked.calls],
    )


async def test_a_refused_token_is_renewed_within_the_lookup():
    """A 401 fetches another token and makes the call once more, once."""
    asked = Asked(answering("token-1", "token-2", refused=("token-1",)), STORE)
    assert [{"id": "token-2"}] == said(await asked.ask(up()))["data"]
    always = Asked(answering("token-1", "token-2", refused=("token-1", "token-2")), STORE)
    with pytest.raises(UpstreamAuth) as caught:
        await always.ask(up())
    assert (4, False) == (len(always.fetch.urls), "token-2" in caught.value.message)


async def test_an_answer_outlives_its_token():
    """Answers are kept under the client and not under the token: a hit needs none, a new one spoils none."""
    asked = Asked(answering("token-1", "token-2"), STORE, ages={"fresh": 60.0})
    await asked.ask(up())
    asked.lookups.tokens.refuse(await asked.lookups.tokens.sign(client_grant(), "t", TRACE, 1e12))
    assert ([{"id": "token-1"}], 2) == (said(await asked.ask(up()))["data"], len(asked.fetch.urls))


async def test_remembered_failures_are_bounded():
    """Ever more clients that an endpoint refuses fill no memory: the oldest is asked for again."""
    world = World(CallFailed("denied", "no", status=401))
    for number in (*range(10_001), 10_000, 0):
        exchange = dataclasses.replace(CLIENT, client_id=f"client-{number}")
        with pytest.raises(CallFailed):
            await world.sign(dataclasses.replace(GRANT, exchange=exchange))
    assert 10_002 == world.fetches


async def test_what_is_known_of_refusals_is_bounded():
    """Secrets of clients that were exchanged do not gather in memory."""
    world = World(token("t1"))
    signed = await world.sign()
    world.tokens._refused.update(dataclasses.replace(CLIENT, client_id=f"c-{n}") for n in range(10_000))
    world.tokens.refuse(signed)
    assert {CLIENT} == world.tokens._refused


async def test_another_client_is_another_answer():
    """Two clients that have the same secret do not see each other's answers."""
    asked = Asked(answering("token-1", "token-2"), STORE, ages={"fresh": 60.0})
    await asked.ask(up())
    asked.secrets.data["up/oauth"] = {"client_id": "client-2", "client_secret": "planted-secret"}
    assert [{"id": "token-2"}] == said(await asked.ask(up()))["data"]


def client_grant() -> Grant:
    """The grant that ``up`` makes of ``STORE``."""
    return Grant(
        "shared", BASE, (), "planted-secret", Exchange("up", TOKEN_URL, "client-1", "planted-secret")
    )


@pytest.mark.parametrize(("status", "kind"), [(401, UpstreamAuth), (400, UpstreamAuth), (503, UpstreamApi)])
async def test_an_endpoint_that_gives_no_token(status, kind):
    """A refused client is a matter of the credential, everything else of the endpoint; no secret is shown."""
    answers = {TOKEN_URL: reply({"error": "invalid_client", "error_description": "planted-secret"}, status)}
    asked = Asked(answers, STORE)
    with pytest.raises(kind) as caught:
        await asked.ask(up())
    assert (status, "shared", False) == (
        *(caught.value.upstream_status, caught.value.credential),
        "planted-secret" in f"{caught.value.message} {caught.value.fix}",
    )
