"""The short way and the ordinary road: the same bytes, counts and events; what falls through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import time
from collections.abc import AsyncIterator

import pytest
import structlog
from fakes import FakeClock, FakeFetch, FakeSecrets, jwks, settings
from harness import encode, rsa_key
from structlog.testing import capture_logs
from tornado.netutil import bind_sockets

from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials, key_path
from scailookup.errors import CallFailed, Overloaded, SecretsUnavailable
from scailookup.identity import KeySet, Permissions, Tokens
from scailookup.lookup import Limits, Lookups
from scailookup.metrics import Metrics, expose
from scailookup.model import Caller, Errand, Reply
from scailookup.plugins import discover
from scailookup.web.front import Front
from scailookup.web.guard import Guard
from scailookup.web.listener import listener
from scailookup.web.site import public_site
from scailookup.web.state import Web

pytestmark = pytest.mark.gen_test

ISSUER, JWKS, AUDIENCE = "https://scaikey.example", "https://scaikey.example/keys", "app_scaiflow"
MODELS, QUEUES = "/api/v1/scaigrid/models", "/v1/scaiqueue/scopes/scp_1/queues"
PLAIN = {"Host": "127.0.0.1", "X-Request-ID": "req-1"}
MOVING = re.compile(rb"(?<=\r\nDate: )[^\r]+|(?<=\r\nAge: )\d+|(?<=ttl=)-?\d+|(?<=dur=)[0-9.]+")
BROKEN = CallFailed("BROKEN", "it broke", status=500)
ROWS = [
    {"id": f"i-{number}", "slug": f"openai/model-{number}", "display_name": "x" * 40} for number in range(20)
]


class Held(FakeSecrets):
    """Secrets that are all at hand, as after a first read."""

    def held(self, path: str):
        found = self.data.get(path)
        if isinstance(found, BaseException):
            raise LookupError(path)
        return found


class Grid:
    """The way out: one list, or failure, for every lookup; calls wait while ``gate`` is an event."""

    def __init__(self) -> None:
        self.body: object = {"data": ROWS}
        self.errands: list[Errand] = []
        self.gate: asyncio.Event | None = None

    async def call(self, errand: Errand, judge):
        self.errands.append(errand)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.body, Exception):
            raise self.body
        return (await judge(Reply(200, {}, json.dumps(self.body).encode()))).value


class Counted(Front):
    """A Front that tells how many requests went the short way."""

    def __init__(self, routes, *, short: bool) -> None:
        super().__init__(routes, short=short)
        self.taken = 0

    def answer(self, question, stream):
        self.taken += 1
        return super().answer(question, stream)


class Line:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, raw: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(raw)

    async def answer(self, *, bodiless: bool = False) -> bytes:
        """One whole answer as it came, head and body."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head, re.IGNORECASE)
        bodiless = bodiless or head.startswith(b"HTTP/1.1 304")
        return head + (await self._reader.readexactly(int(length[1])) if length and not bodiless else b"")

    async def ended(self) -> bool:
        """Whether the server closed the connection with nothing more to say."""
        return await self._reader.read() == b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Road:
    """One way in: a Front of its own, with its own metrics, behind a listener."""

    def __init__(self, world: World, *, short: bool) -> None:
        self.metrics = Metrics()
        self.web = Web(world.guard, self.metrics, world.origins, microcache=world.settings.microcache)
        self.front = Counted(public_site(self.web, world.plugins, world.lookups, _ready), short=short)
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.server = listener(self.front)
        self.server.add_sockets(sockets)

    @contextlib.asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A connection while the block runs."""
        made = Line(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield made
        finally:
            made.close()

    async def ask(self, raw: bytes) -> bytes:
        """The answer to one request on a connection of its own."""
        async with self.line() as line:
            line.send(raw)
            return await line.answer(bodiless=raw.startswith(b"HEAD"))

    async def close(self) -> None:
        self.server.stop()
        await self.server.close_all_connections()


class World:
    """Both roads over the same guard, lookups and cache; the clocks and the outer world are the test's."""

    def __init__(self, *, auth: bool = True, origins: tuple[str, ...] = (), **names: str) -> None:
        self.clock, self.wall = FakeClock(), FakeClock(time.time())
        self.settings = settings(**names)
        self.origins = frozenset(origins)
        self.grid, self.secrets = Grid(), Held()
        self.me: object = {"permissions": ["scaicore:view"]}
        self.jwks = FakeFetch({JWKS: jwks(("k1", rsa_key("front")))})
        self.keys = KeySet(self.jwks, jwks_url=JWKS, clock=self.clock)
        tokens = Tokens(self.keys, audience=AUDIENCE, base_url=ISSUER, issuer=None, clock=self.wall)
        permissions = Permissions(self.settings.permissions, self._ask_me, clock=self.clock)
        principal = Caller("dev", "dev", everything=True)
        self.guard = Guard(tokens if auth else None, permissions, principal)
        self.plugins = discover(self.settings)
        self.cache = Memory(Ages(15.0, 60.0, 300.0, 1.0), clock=self.clock)
        self.lookups = Lookups(
            Limits(60.0, 50, 10_000), self.cache, Credentials(self.settings, self.secrets), self.grid
        )
        self.short, self.ordinary = Road(self, short=True), Road(self, short=False)

    async def _ask_me(self, caller, trace):
        return self.me

    @property
    def roads(self) -> tuple[Road, Road]:
        """The short way and the ordinary road."""
        return self.short, self.ordinary

    async def both(self, raw: bytes) -> list[bytes]:
        """The answers of both roads, what moves with time made equal."""
        return [MOVING.sub(b"~", await road.ask(raw)) for road in self.roads]

    async def warmed(self, raw: bytes) -> World:
        """The same with the answer to ``raw`` in memory; nothing has gone the short way yet."""
        answer = await self.ordinary.ask(raw)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return self


async def _ready() -> None:
    """Always ready."""


@contextlib.asynccontextmanager
async def world(**options) -> AsyncIterator[World]:
    """A world that is closed with the block."""
    made = World(**options)
    try:
        yield made
    finally:
        for road in made.roads:
            await road.close()


def token(**changes: object) -> str:
    """A viewer's token, with these claims changed; None leaves one out."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "usr_1", "tenant_id": "tnt_acme", "exp": now + 3600}
    claims |= {"iat": now, "roles": ["tenant_viewer"]} | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return encode({"alg": "RS256", "kid": "k1", "typ": "JWT"}, kept, rsa_key("front"))


TOKEN = token()


def request(
    path: str = MODELS,
    *more: tuple[str, str],
    method: str = "GET",
    version: str = "1.1",
    bearer: str | None = TOKEN,
    body: bytes = b"",
    headers: dict[str, str] = PLAIN,
) -> bytes:
    """A request as it goes over the wire."""
    pairs = [*headers.items(), *more]
    pairs += [] if bearer is None else [("Authorization", f"Bearer {bearer}")]
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status(raw: bytes) -> int:
    """The status of an answer."""
    return int(raw.split(b" ", 2)[1])


def header(raw: bytes, name: str) -> str | None:
    """The only value of a header, None without one."""
    found = re.findall(rf"\r\n{name}: ([^\r]*)".encode(), raw.partition(b"\r\n\r\n")[0], re.IGNORECASE)
    assert len(found) < 2, found
    return found[0].decode() if found else None


def counts(road: Road) -> dict[str, float]:
    """What a road has counted, by its labels."""
    lines = expose(road.metrics.snapshot()).decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("scailookup_requests_total{"))
    return {name: float(value) for name, _, value in found}


# The same bytes


@pytest.mark.parametrize("path", [MODELS, "/v1/scaigrid/models", QUEUES, "/api/v1/scaiqueue/scopes"])
async def test_a_hit(path):
    """A warm hit leaves in the same bytes on either road."""
    async with world() as w:
        w.grid.body = {"data": [{"id": "a", "slug": "a", "scope_id": "scp_1"}]}
        await w.warmed(request(path))
        short, ordinary = await w.both(request(path))
        assert (ordinary, 200, 1) == (short, status(short), w.short.front.taken)


@pytest.mark.parametrize(
    "more",
    [
        ("Accept-Encoding", "gzip"),
        ("Accept-Encoding", "gzip;q=0, identity"),
        ("Accept-Encoding", "br, gzip;q=0.5"),
        ("If-None-Match", "*"),
        ("If-None-Match", '"other"'),
        ("Cookie", "a=b; c"),
        ("User-Agent", "Mözilla"),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
        ("Expect", "nothing"),
        ("Connection", "keep-alive"),
    ],
    ids=": ".join,
)
async def test_a_hit_with_a_header(more):
    """Whatever harmless header comes along, both roads answer the same bytes."""
    async with world() as w:
        await w.warmed(request())
        short, ordinary = await w.both(request(MODELS, more))
        assert (ordinary, 1) == (short, w.short.front.taken)


@pytest.mark.parametrize("accept", ["gzip", "identity"])
async def test_not_modified(accept):
    """A 304 is the same bytes on either road, without a body."""
    async with world() as w:
        await w.warmed(request())
        coding = ("Accept-Encoding", accept)
        tag = header(await w.short.ask(request(MODELS, coding)), "ETag")
        short, ordinary = await w.both(request(MODELS, coding, ("If-None-Match", tag or "")))
        assert (ordinary, 304, b"", 2) == (
            *(short, status(short)),
            *(short.partition(b"\r\n\r\n")[2], w.short.front.taken),
        )


async def test_with_authentication_off():
    """The development principal's hits are the same bytes too."""
    async with world(auth=False, SCAILOOKUP_DEV="true", SCAIGRID_API_KEY="sgk_dev_key_00000001") as w:
        await w.warmed(request(bearer=None))
        short, ordinary = await w.both(request(bearer=None))
        assert (ordinary, "env", 1) == (short, header(short, "X-Lookup-Credential"), w.short.front.taken)


async def test_with_a_tenants_key():
    """A hit fetched with the tenant's key is the same bytes on either road."""
    async with world(SCAIFLOW_DEPLOY_AUTH="api_key") as w:
        w.secrets.data[key_path("tnt_acme")] = {"value": "sgk_tenant_key_0001"}
        await w.warmed(request())
        short, ordinary = await w.both(request())
        assert (ordinary, "tenant", 1) == (short, header(short, "X-Lookup-Credential"), w.short.front.taken)


async def test_with_origins_allowed():
    """Where origins are allowed, both roads say that the answer varies by Origin."""
    async with world(origins=("https://app.example",)) as w:
        await w.warmed(request())
        short, ordinary = await w.both(request())
        assert (ordinary, True, 1) == (
            *(short, (header(short, "Vary") or "").endswith("Origin")),
            w.short.front.taken,
        )


async def test_what_a_proxy_may_keep():
    """With a microcache both roads lend the same seconds, and nothing of a 304 or of a failure."""
    async with world(SCAILOOKUP_MICROCACHE="5") as w:
        await w.warmed(request())
        assert ["5", "5"] == [header(raw, "X-Accel-Expires") for raw in await w.both(request())]
        etag = header((await w.both(request()))[0], "Etag") or ""
        asked = request(MODELS, ("If-None-Match", etag))
        for raw in (asked, request(bearer=None), request("/nowhere"), request("/healthz")):
            first, second = await w.both(raw)
            assert (first, "0") == (second, header(first, "X-Accel-Expires"))


async def test_a_token_about_to_end_lends_less():
    """An answer is not lent for longer than the token lasts."""
    async with world(SCAILOOKUP_MICROCACHE="5") as w:
        ending = request(bearer=token(exp=int(time.time()) - 30))  # within the skew: still answered
        await w.warmed(ending)
        assert ["0", "0"] == [header(raw, "X-Accel-Expires") for raw in await w.both(ending)]


async def test_nothing_is_lent_unless_asked_for():
    """By default no answer has the header."""
    async with world() as w:
        for raw in (request(), request(bearer=None)):
            assert [None, None] == [header(answer, "X-Accel-Expires") for answer in await w.both(raw)]


async def test_meta():
    """What meta says of an answer is said on either road."""
    async with world() as w:
        w.grid.body = {"data": [*ROWS, {"no": "id"}]}
        await w.warmed(request())
        short, ordinary = await w.both(request())
        assert (ordinary, True, 1) == (short, b'"meta":{"dropped":1}' in short, w.short.front.taken)


@pytest.mark.parametrize("given", ["bad id", "", "x" * 129, "one\tmore"])
async def test_a_malformed_request_id_is_replaced(given):
    """A request id that is none gets one of ours on either road."""
    async with world() as w:
        await w.warmed(request())
        raw = request(headers={"Host": "h", "X-Request-ID": given})
        ids = [header(await road.ask(raw), "X-Request-ID") for road in w.roads]
        assert [True, True] == [bool(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", found or "")) for found in ids]


async def test_request_ids_of_ours_differ():
    """No two answers without a given id share one."""
    async with world() as w:
        await w.warmed(request())
        raw = request(headers={"Host": "h"})
        assert 6 == len({header(await road.ask(raw), "X-Request-ID") for road in w.roads for _ in range(3)})


BAD_HOSTS = pytest.mark.parametrize(
    "headers", [{}, {"Host": "a b"}, {"Host": "a,b"}], ids=["no host", "a space", "two hosts"]
)


@BAD_HOSTS
async def test_a_bad_host_is_refused_on_either_road(headers):
    """A request whose Host is missing or malformed is refused alike, whether or not it would be a hit."""
    async with world() as w:
        await w.warmed(request())
        raw = request(headers={**headers, "X-Request-ID": "req-1"})
        short, ordinary = await w.both(raw)
        assert (ordinary, 400) == (short, status(short))


@BAD_HOSTS
async def test_a_bad_host_is_answered_when_the_upstream_fails(headers):
    """A request whose Host is missing or malformed is never left without an answer."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = BROKEN
        raw = request("/v1/scaiqueue/scopes", headers={**headers, "X-Request-ID": "req-1"})
        async with asyncio.timeout(5):
            assert 400 == status(await w.short.ask(raw))


async def test_a_caller_who_waits_to_send_a_body():
    """Expect: 100-continue is met with the same bytes on either road."""
    async with world() as w:
        await w.warmed(request())
        heard = []
        for road in w.roads:
            async with road.line() as line:
                line.send(request(MODELS, ("Expect", "100-continue")))
                heard.append([MOVING.sub(b"~", await line.answer()) for _ in range(2)])
        assert (heard[1], [100, 200]) == (heard[0], [status(answer) for answer in heard[0]])


# The same bytes when somebody must be asked


async def test_a_miss():
    """What an upstream has to be asked for leaves in the same bytes on either road."""
    async with world() as w:
        await w.warmed(request())
        heard = []
        # Another scope for each road: nothing is held for either.
        paths = ("/v1/scaiqueue/scopes/one/queues", "/v1/scaiqueue/scopes/two/queues")
        for road, path in zip(w.roads, paths, strict=True):
            w.clock.now += 1000.0
            heard.append(MOVING.sub(b"~", await road.ask(request(path))))
        assert (heard[1], "scailookup; fwd=uri-miss", 1) == (
            *(heard[0], header(heard[0], "Cache-Status")),
            w.short.front.taken,
        )


async def test_a_miss_of_what_is_too_old():
    """A call for a list that is held and too old leaves in the same bytes on either road, and says why."""
    async with world() as w:
        await w.warmed(request())
        heard = []
        for road in w.roads:
            w.clock.now += 1000.0
            heard.append(MOVING.sub(b"~", await road.ask(request())))
        assert (heard[1], "scailookup; fwd=stale", 1) == (
            *(heard[0], header(heard[0], "Cache-Status")),
            w.short.front.taken,
        )


async def test_a_stale_answer():
    """A stale answer leaves in the same bytes on either road."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = BROKEN
        w.clock.now += 20.0
        short, ordinary = await w.both(request())
        assert (ordinary, "scailookup; hit; ttl=~; detail=stale", 1) == (
            *(short, header(short, "Cache-Status")),
            w.short.front.taken,
        )


async def test_a_stale_answer_for_a_failing_upstream():
    """An answer that stands in for a failure leaves in the same bytes on either road."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = BROKEN
        w.clock.now += 100.0
        short, ordinary = await w.both(request())
        assert (ordinary, "scailookup; hit; ttl=~; detail=stale-if-error", 1) == (
            *(short, header(short, "Cache-Status")),
            w.short.front.taken,
        )


@pytest.mark.parametrize(
    ("failure", "answered"),
    [
        (BROKEN, 502),
        (CallFailed("FORBIDDEN", "no", status=403), 502),
        (CallFailed("RATE_LIMITED", "slow down", status=429, retry_after=30), 502),
        (CallFailed("unreachable", "broke"), 502),
        (Overloaded("full"), 503),
        (RuntimeError("a fault of ours"), 500),
    ],
    ids=repr,
)
async def test_a_failure(failure, answered):
    """A failure met on the short way is told in the bytes of the ordinary road."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = failure
        w.clock.now += 1000.0
        short, ordinary = await w.both(request())
        assert (ordinary, answered, 1) == (short, status(short), w.short.front.taken)


@pytest.mark.parametrize(
    ("held", "answered"), [(None, 412), (SecretsUnavailable("the store is down"), 503)], ids=["none", "down"]
)
async def test_no_credential(held, answered):
    """A missing key and a failing store are told in the bytes of the ordinary road."""
    async with world(SCAIFLOW_DEPLOY_AUTH="api_key") as w:
        w.secrets.data[key_path("tnt_acme")] = {"value": "sgk_tenant_key_0001"}
        await w.warmed(request())
        w.secrets.data[key_path("tnt_acme")] = held
        short, ordinary = await w.both(request())
        assert (ordinary, answered, 1) == (short, status(short), w.short.front.taken)


@pytest.mark.parametrize("body", [{"data": ROWS}, BROKEN], ids=["answered", "failed"])
async def test_the_upstream_hears_the_id_that_is_answered(body):
    """Without an id of the caller's, call and answer bear the same one of ours."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = body
        answer = await w.short.ask(request("/v1/scaiqueue/scopes", headers={"Host": "h"}))
        assert (header(answer, "X-Request-ID"), 1) == (
            w.grid.errands[-1].trace.request_id,
            w.short.front.taken,
        )


async def test_the_trace_goes_upstream():
    """A caller's traceparent reaches the upstream from the short way too."""
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    async with world() as w:
        await w.warmed(request())
        await w.short.ask(request("/v1/scaiqueue/scopes", ("traceparent", parent)))
        assert (parent, 1) == (w.grid.errands[-1].trace.traceparent, w.short.front.taken)


async def test_nobody_is_asked_twice():
    """A failure met on the short way is told without another call."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = RuntimeError("a fault of ours")
        await w.short.ask(request("/v1/scaiqueue/scopes"))
        assert (2, 1) == (len(w.grid.errands), w.short.front.taken)


async def test_both_roads_share_a_flight():
    """Requests on both roads at once make one call."""
    async with world() as w:
        await w.warmed(request())
        w.grid.gate = asyncio.Event()
        asked = [asyncio.ensure_future(road.ask(request("/v1/scaiqueue/scopes"))) for road in w.roads * 3]
        while w.short.web.busy + w.ordinary.web.busy < 6:
            await asyncio.sleep(0)
        w.grid.gate.set()
        answers = await asyncio.gather(*asked)
        assert (2, [200] * 6) == (len(w.grid.errands), [status(answer) for answer in answers])


# The same counts and events


async def test_requests_are_counted_alike():
    """Answers and failures are counted once, under the same route, on either road."""
    async with world() as w:
        await w.warmed(request())
        before = counts(w.ordinary)
        for raw in (request(), request(MODELS, ("If-None-Match", "*")), request(bearer=None)):
            await w.both(raw)
        w.grid.body = BROKEN
        await w.both(request("/v1/scaiqueue/scopes"))
        after = counts(w.ordinary).items()
        wanted = {name: n - before.get(name, 0.0) for name, n in after if n != before.get(name)}
        assert (wanted, 3) == (counts(w.short), w.short.front.taken)


@pytest.mark.parametrize(
    ("more", "after", "failure"),
    [
        ((), 0.0, None),
        ((("If-None-Match", "*"),), 0.0, None),
        ((), 1000.0, BROKEN),
        ((), 1000.0, RuntimeError("ours")),
    ],
    ids=["200", "304", "502", "500"],
)
async def test_the_debug_event_is_alike(more, after, failure):
    """Either road tells of the request once, with the same fields."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = failure or w.grid.body
        w.clock.now += after
        told = []
        for road in w.roads:
            with capture_logs() as events:
                await road.ask(request(MODELS, *more))
                await asyncio.sleep(0)
            told.append([event for event in events if event["event"] == "request"])
        for (event,) in told:
            assert 0 <= event.pop("duration_ms")
        assert (told[1], 1) == (told[0], w.short.front.taken)


async def test_a_failure_took_as_long_as_it_took():
    """A failure is logged and measured from when its request came, on either road."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = BROKEN
        for road in w.roads:
            w.clock.now += 1000.0
            w.grid.gate = asyncio.Event()
            with capture_logs() as events:
                asked = asyncio.ensure_future(road.ask(request("/v1/scaiqueue/scopes")))
                while not road.web.busy:
                    await asyncio.sleep(0)
                began = time.perf_counter()
                await asyncio.sleep(0.05)
                waited = time.perf_counter() - began
                w.grid.gate.set()
                await asked
                while road.web.busy:
                    await asyncio.sleep(0)
            (event,) = [event for event in events if event["event"] == "request"]
            spent = road.metrics.snapshot()["scailookup_request_seconds"][("scaiqueue/scopes",)][-1]
            assert (True, True) == (event["duration_ms"] >= waited * 1000 - 0.1, spent >= waited)
        assert 1 == w.short.front.taken


async def test_the_debug_event():
    """The short way's event holds what an operator looks for."""
    async with world() as w:
        await w.warmed(request())
        with capture_logs() as events:
            await w.short.ask(request())
        (event,) = [event for event in events if event["event"] == "request"]
        assert 1 == w.short.front.taken
        assert ("GET", "scaigrid/models", 200, None, "tnt_acme", "req-1") == tuple(
            event[name] for name in ("method", "route", "status", "error", "tenant", "request_id")
        )


class Traced:
    """Spans that are begun and forgotten."""

    def __init__(self) -> None:
        self.begun = 0

    def begin(self, trace, ago=0.0):
        self.begun += 1
        return trace._replace(traceparent=f"00-{self.begun:032x}-{self.begun:016x}-01", span=self)

    def end(self, trace, **about):
        pass


async def test_each_event_bears_the_ids_of_its_own_request():
    """Where requests are traced, what a connection logs of one bears nothing of those before it."""
    async with world() as w:
        await w.warmed(request())
        w.short.web.spans = Traced()
        asked = ["/v1/scaiqueue/scopes", "/nowhere", MODELS, "/v1/lookups", "/nowhere"]
        with capture_logs() as events:
            structlog.get_config()["processors"].insert(0, structlog.contextvars.merge_contextvars)
            async with w.short.line() as line:
                for path in asked:
                    line.send(request(path))
                    await line.answer()
                line.send(b"NONSENSE\r\n\r\n")
                await line.answer()
                assert await line.ended()
        traced = [event.get("trace_id") for event in events if event["event"] == "request"]
        assert [*(f"{number:032x}" for number in range(1, 6)), None] == traced


# What falls through


@pytest.mark.parametrize(
    ("raw", "answered"),
    [
        (request(method="HEAD"), 200),
        (request(MODELS + "?limit=1"), 200),
        (request(MODELS + "?"), 200),
        (request(MODELS + "?nonsense=1"), 400),
        (request(MODELS, ("Origin", "https://app.example")), 200),
        (request(MODELS, ("Content-Length", "2"), body=b"{}"), 200),
        (request(MODELS, ("Content-Length", "0")), 200),
        (request(MODELS, ("Transfer-Encoding", "chunked"), body=b"2\r\n{}\r\n0\r\n\r\n"), 200),
        (request(version="1.0"), 200),
        (request(MODELS, ("Connection", "close")), 200),
        (request(method="POST", body=b""), 405),
        (request(method="DELETE"), 405),
        (request(method="OPTIONS"), 405),
        (request(bearer=None), 401),
        (request(bearer="not.a.jwt"), 401),
        (request(bearer=TOKEN[:-4] + "AAAA"), 401),
        (request(bearer="sgk_some_key_00000001"), 401),
        (request(MODELS, ("Authorization", f"Bearer {TOKEN}")), 401),
        (request(bearer=token(roles=["tenant_user"], permissions=[])), 403),
        (request("/api/v1/scaigrid/models/"), 404),
        (request("/api/v1//scaigrid/models"), 404),
        (request("/api/v1/scaigrid/%6dodels"), 404),
        (request("/api/v1/./scaigrid/models"), 404),
        (request("/v1/scaiqueue/scopes/%00/queues"), 400),
        (request("/v1/scaiqueue/scopes/%2e%2e/queues"), 400),
        (request("/api/v1/lookups"), 200),
        (request("/healthz", bearer=None), 200),
    ],
    ids=lambda value: (
        value.decode("latin-1").partition("Authorization")[0][:90] if isinstance(value, bytes) else None
    ),
)
async def test_falls_through(raw, answered):
    """What is no plain GET of a lookup by somebody who may goes the ordinary road, to the same bytes."""
    async with world() as w:
        await w.warmed(request())
        short, ordinary = await w.both(raw)
        assert (ordinary, answered, 0) == (short, status(short), w.short.front.taken)


async def test_another_callers_answer_is_no_hit():
    """What one caller's token fetched is not at hand for another's."""
    async with world() as w:
        await w.warmed(request())
        answer = await w.short.ask(request(bearer=token(sub="usr_2")))
        assert ("scailookup; fwd=uri-miss", 0) == (header(answer, "Cache-Status"), w.short.front.taken)


async def test_a_long_answer_to_be_compressed():
    """A long body is compressed to the same bytes on either road."""
    async with world() as w:
        w.grid.body = {"data": [{"slug": f"m-{number}", "display_name": "x" * 90} for number in range(900)]}
        await w.warmed(request())
        short, ordinary = await w.both(request(MODELS, ("Accept-Encoding", "gzip")))
        assert (ordinary, "gzip", 1) == (short, header(short, "Content-Encoding"), w.short.front.taken)


async def test_no_work_is_begun_and_dropped(recwarn):
    """A long body that is still to be compressed leaves the way of hits before anything is begun."""
    async with world() as w:
        w.grid.body = {"data": [{"slug": f"m-{number}", "display_name": "x" * 90} for number in range(900)]}
        await w.warmed(request())
        await w.short.ask(request(MODELS, ("Accept-Encoding", "gzip")))
    gc.collect()
    assert [] == [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)]


async def test_a_long_answer_sent_plain():
    """A long body that nobody wants compressed goes the short way whole."""
    async with world() as w:
        w.grid.body = {"data": [{"slug": f"m-{number}", "display_name": "x" * 90} for number in range(9000)]}
        await w.warmed(request())
        short, ordinary = await w.both(request())
        assert (ordinary, True, 1) == (short, len(short) > 500_000, w.short.front.taken)


# The short way and permission


async def test_an_expired_token_is_no_hit():
    """A token that has expired since is not remembered any more, though the answer is in memory."""
    async with world() as w:
        await w.warmed(request())
        before = w.short.front.question(request())
        w.wall.now += 3600 + 61
        assert (True, None) == (before is not None, w.short.front.question(request()))


async def test_changed_keys_are_no_hit():
    """Once ScaiKey lists other keys, a token of the old ones is refused at once."""
    async with world() as w:
        await w.warmed(request())
        w.jwks.answers[JWKS] = jwks(("k2", rsa_key("front-2")))
        await w.short.ask(request(bearer=encode({"alg": "RS256", "kid": "k2"}, {}, rsa_key("front-2"))))
        assert (401, 0) == (status(await w.short.ask(request())), w.short.front.taken)


async def test_an_added_key_does_not_lock_out():
    """Keys that changed while the old one stays good cost one verification and no caller."""
    async with world() as w:
        await w.warmed(request())
        w.jwks.answers[JWKS] = jwks(("k1", rsa_key("front")), ("k2", rsa_key("front-2")))
        await w.short.ask(request(bearer=encode({"alg": "RS256", "kid": "k2"}, {}, rsa_key("front-2"))))
        assert ([200, 200], 1) == (
            [status(await w.short.ask(request())) for _ in range(2)],
            w.short.front.taken,
        )


async def test_a_permission_that_scaigrid_took_back():
    """What /v1/me said is asked again after a minute, and a no then is a 403 whatever is in memory."""
    async with world() as w:
        raw = request(bearer=token(roles=["tenant_user"]))
        await w.warmed(raw)
        w.me = {"permissions": []}
        w.clock.now += 61.0
        assert (403, 0) == (status(await w.short.ask(raw)), w.short.front.taken)


async def test_the_same_answer_without_the_permission():
    """One tenant's key, one answer in memory: who lacks the permission does not get it."""
    async with world(SCAIFLOW_DEPLOY_AUTH="api_key") as w:
        w.secrets.data[key_path("tnt_acme")] = {"value": "sgk_tenant_key_0001"}
        await w.warmed(request())
        answer = await w.short.ask(request(bearer=token(permissions=["scaiflow:edit"])))
        assert (403, 0) == (status(answer), w.short.front.taken)


async def test_a_rotated_key_is_no_hit():
    """What the tenant's old key fetched is not answered once another key is held."""
    async with world(SCAIFLOW_DEPLOY_AUTH="api_key") as w:
        w.secrets.data[key_path("tnt_acme")] = {"value": "sgk_tenant_key_0001"}
        await w.warmed(request())
        w.secrets.data[key_path("tnt_acme")] = {"value": "sgk_tenant_key_0002"}
        answer = await w.short.ask(request())
        assert (["sgk_tenant_key_0001", "sgk_tenant_key_0002"], "scailookup; fwd=uri-miss", 1) == (
            [errand.grant.secret for errand in w.grid.errands],
            *(header(answer, "Cache-Status"), w.short.front.taken),
        )


async def test_a_refused_answer_is_no_hit():
    """What the upstream refused since is not answered any more, on either road."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = CallFailed("FORBIDDEN", "no", status=403)
        w.clock.now += 100.0
        statuses = [status(await road.ask(request())) for road in w.roads * 2]
        assert ([502] * 4, 2) == (statuses, w.short.front.taken)


# One connection


async def test_pipelined_requests():
    """Requests sent at once are answered in order, whichever road each takes."""
    async with world() as w:
        await w.warmed(request())
        ids = [f"req-{number}" for number in range(6)]
        paths = [MODELS, MODELS + "?limit=1", MODELS, "/healthz", "/nowhere", MODELS]
        sent = [
            request(path, headers={"Host": "h", "X-Request-ID": name})
            for path, name in zip(paths, ids, strict=True)
        ]
        async with w.short.line() as line:
            line.send(b"".join(sent))
            answers = [await line.answer() for _ in sent]
        assert (ids, [200, 200, 200, 200, 404, 200], 3) == (
            [header(answer, "X-Request-ID") for answer in answers],
            [status(answer) for answer in answers],
            w.short.front.taken,
        )


@pytest.mark.parametrize("kinds", ["sososs", "oossoo"])
async def test_both_kinds_on_one_connection(kinds):
    """A connection is kept alive across short and ordinary answers in any order."""
    async with world() as w:
        await w.warmed(request())
        raws = {"s": request(), "o": request(MODELS + "?limit=1")}
        async with w.short.line() as line:
            statuses = []
            for kind in kinds:
                line.send(raws[kind])
                statuses.append(status(await line.answer()))
        assert ([200] * len(kinds), kinds.count("s")) == (statuses, w.short.front.taken)


async def test_close_ends_the_connection():
    """After hits, a request that says close is answered and the connection ends."""
    async with world() as w:
        await w.warmed(request())
        async with w.short.line() as line:
            for raw in (request(), request(MODELS, ("Connection", "close"))):
                line.send(raw)
                answer = await line.answer()
            assert ("close", True) == (header(answer, "Connection"), await line.ended())


async def test_a_request_in_pieces():
    """A hit whose request trickles in is the same hit."""
    async with world() as w:
        await w.warmed(request())
        raw = request()
        async with w.short.line() as line:
            for start in range(0, len(raw), 100):
                line.send(raw[start : start + 100])
                await asyncio.sleep(0)
            assert (200, 1) == (status(await line.answer()), w.short.front.taken)


async def test_a_caller_who_hangs_up_harms_nobody():
    """A caller who leaves before the hit is written does not disturb the next one."""
    async with world() as w:
        await w.warmed(request())
        async with w.short.line() as line:
            line.send(request())
        assert 200 == status(await w.short.ask(request()))


async def test_a_caller_who_hangs_up_while_the_upstream_is_asked():
    """A caller who leaves during the call leaves nothing under way, and the answer is kept."""
    async with world() as w:
        await w.warmed(request())
        w.grid.gate = asyncio.Event()
        async with w.short.line() as line:
            line.send(request("/v1/scaiqueue/scopes"))
            while len(w.grid.errands) < 2:
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        w.grid.gate.set()
        while w.short.web.busy:
            await asyncio.sleep(0)
        answer = await w.short.ask(request("/v1/scaiqueue/scopes"))
        assert ("scailookup; hit; ttl=15", 2) == (header(answer, "Cache-Status"), len(w.grid.errands))


@pytest.mark.parametrize("failure", [None, BROKEN, RuntimeError("ours")], ids=["200", "502", "500"])
async def test_nothing_stays_under_way(failure):
    """Once answered, no request counts as under way on either road: a stop need not wait."""
    async with world() as w:
        await w.warmed(request())
        w.grid.body = failure or w.grid.body
        await w.both(request("/v1/scaiqueue/scopes"))
        await asyncio.sleep(0.05)
        assert ([0, 0], 1) == ([road.web.busy for road in w.roads], w.short.front.taken)


async def test_rubbish_after_a_hit():
    """A malformed request after a hit is a 400, and the connection ends."""
    async with world() as w:
        await w.warmed(request())
        async with w.short.line() as line:
            line.send(request() + b"NONSENSE\r\n\r\n")
            answers = [status(await line.answer()) for _ in range(2)]
            assert ([200, 400], True) == (answers, await line.ended())
