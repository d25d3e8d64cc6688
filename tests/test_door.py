"""The way out: attempts, places, one event for each attempt."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from scailookup.errors import CallFailed, Overloaded
from scailookup.model import Call, Errand, Grant, Judged, Reply, Request, Trace
from scailookup.transport import Door

pytestmark = pytest.mark.gen_test

SECRET = "sgk_of_the_tests_0001"
BROKEN = CallFailed("unreachable", "broke", repeatable=True)


class Client:
    """A Fetch that gives its outcomes in turn; the last one stays."""

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[Request] = []
        self.closed = False

    async def __call__(self, request, *, deadline):
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        if isinstance(outcome, CallFailed):
            raise CallFailed(outcome.code, outcome.text, status=outcome.status, repeatable=outcome.repeatable)
        return Reply(200, {}, b"[1,2]")

    async def close(self):
        self.closed = True


class World:
    """A door over one client, with what the observer was told and what was logged."""

    def __init__(self, *outcomes, places: int = 64) -> None:
        self.client = Client(*outcomes)
        self.told: list[Call] = []
        self.connected: list[str] = []
        self.door = Door(self._connect, self.told.append, places=places)
        self.logged: list[dict] = []

    def _connect(self, upstream: str):
        self.connected.append(upstream)
        return self.client

    async def call(self, seconds: float = 60.0, judge=None, grant: Grant | None = None, upstream="grid"):
        """One call; its events are kept."""

        async def good(reply: Reply) -> Judged[int]:
            return Judged(7, rows=2, dropped=1)

        errand = Errand(
            upstream=upstream,
            lookup="models",
            tenant="tnt_acme",
            url="http://grid.example/v1/scopes/s%20ecret?q=x",
            template="http://grid.example/v1/scopes/{scope_id}",
            grant=grant
            or Grant("tenant", "http://grid.example", (("Authorization", f"Bearer {SECRET}"),), SECRET),
            trace=Trace("req-1", "00-aa-bb-01", "k=v"),
            deadline=asyncio.get_running_loop().time() + seconds,
        )
        with capture_logs() as events:
            try:
                return await self.door.call(errand, judge or good)
            finally:
                self.logged += [e for e in events if e["event"] == "upstream_call"]

    async def failed(self, **more) -> CallFailed:
        """The failure of one call."""
        with pytest.raises(CallFailed) as caught:
            await self.call(**more)
        return caught.value


OK = Reply(200)


async def test_the_judged_value_is_returned():
    """What judge makes of the reply is the answer."""
    assert 7 == await World(OK).call()


async def test_what_is_sent():
    """A request carries our own headers and the credential, nothing else."""
    world = World(OK)
    await world.call()
    names = [name for name, _ in world.client.requests[0].headers]
    assert ["Accept", "User-Agent", "X-Request-ID", "traceparent", "tracestate", "Authorization"] == names


async def test_one_client_for_each_upstream():
    """A client is made once and kept."""
    world = World(OK)
    for upstream in ("grid", "grid", "weather"):
        await world.call(upstream=upstream)
    assert ["grid", "weather"] == world.connected


async def test_a_repeatable_failure_is_tried_once_more():
    """The second attempt's answer counts."""
    world = World(BROKEN, OK)
    assert (7, 2) == (await world.call(), len(world.client.requests))


async def test_never_a_third_attempt():
    """Two failures are a failure."""
    world = World(BROKEN)
    assert ("unreachable", 2) == ((await world.failed()).code, len(world.client.requests))


async def test_what_is_not_repeatable_is_not_repeated():
    """Any other failure is final."""
    world = World(CallFailed("timeout", "late"))
    assert ("timeout", 1) == ((await world.failed()).code, len(world.client.requests))


async def test_no_second_attempt_without_time():
    """Too near the deadline the first failure is final."""
    world = World(BROKEN)
    assert ("unreachable", 1) == ((await world.failed(seconds=0.04)).code, len(world.client.requests))


async def test_a_repeatable_reply_is_tried_once_more():
    """A failure that judge finds is treated as any other."""
    verdicts = [CallFailed("http_503", "no", status=503, repeatable=True), None]

    async def judge(reply):
        verdict = verdicts.pop(0)
        if verdict:
            raise verdict
        return Judged("good")

    assert "good" == await World(OK).call(judge=judge)


async def test_one_event_for_each_attempt():
    """Each attempt leaves one event with its number and outcome."""
    world = World(BROKEN, OK)
    await world.call()
    assert [(1, "unreachable", None, "warning"), (2, None, 200, "info")] == [
        (e["attempt"], e["code"], e["status"], e["log_level"]) for e in world.logged
    ]


async def test_the_event_holds_its_fields_and_no_others():
    """An event has exactly the fields of the contract."""
    world = World(OK)
    await world.call()
    (event,) = world.logged
    assert 0 <= event.pop("duration_ms")
    assert {
        "event": "upstream_call",
        "log_level": "info",
        "upstream": "grid",
        "lookup": "models",
        "tenant": "tnt_acme",
        "credential": "tenant",
        "url": "http://grid.example/v1/scopes/{scope_id}",
        "status": 200,
        "code": None,
        "attempt": 1,
        "bytes": 5,
        "rows": 2,
        "dropped": 1,
        "request_id": "req-1",
    } == event


async def test_the_observer_is_told_of_every_attempt():
    """What is logged is told."""
    world = World(BROKEN, OK)
    await world.call()
    assert [(1, "unreachable"), (2, None)] == [(call.attempt, call.code) for call in world.told]


async def test_a_cancelled_call_leaves_an_event():
    """A caller that leaves is seen in the log."""
    world = World(asyncio.Event())
    task = asyncio.ensure_future(world.call())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ["cancelled"] == [e["code"] for e in world.logged]


async def test_a_fault_of_ours_is_not_logged_as_cancelled():
    """A judge that breaks leaves an event that does not blame the caller."""
    world = World(OK)

    async def judge(reply):
        raise RuntimeError("a normalizer broke")

    with pytest.raises(RuntimeError):
        await world.call(judge=judge)
    assert ["cancelled"] != [e["code"] for e in world.logged]


@pytest.mark.parametrize("ending", ["cancelled", "failed", "broken"])
async def test_the_place_is_given_back(ending):
    """However a call ends, the next one finds its place."""
    forever = asyncio.Event()
    world = World({"cancelled": forever, "failed": CallFailed("timeout", "")}.get(ending, OK), OK, places=1)

    async def broken(reply):
        raise RuntimeError

    task = asyncio.ensure_future(world.call(judge=broken if ending == "broken" else None))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 7 == await world.call(seconds=1.0)


async def test_overloaded_makes_no_call():
    """Without a place in time nothing is sent and nothing logged."""
    forever = asyncio.Event()
    world = World(forever, OK, places=1)
    first = asyncio.ensure_future(world.call())
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await world.call(seconds=0.01)
    assert (1, []) == (len(world.client.requests), world.logged)
    forever.set()
    await first


async def test_upstreams_do_not_share_places():
    """A full upstream does not hold up another one."""
    forever = asyncio.Event()
    world = World(forever, OK, places=1)
    first = asyncio.ensure_future(world.call(upstream="slow"))
    await asyncio.sleep(0.01)
    assert 7 == await world.call(upstream="quick", seconds=1.0)
    forever.set()
    await first


async def test_the_upstreams_text_is_scrubbed():
    """An upstream that echoes the credential does not make us show it."""
    failed = await World(CallFailed(SECRET, f"bad key {SECRET}!", status=400)).failed()
    assert (False, False) == (SECRET in failed.code, SECRET in failed.text)


async def test_a_secret_sent_in_a_form_is_scrubbed_as_it_stood_there():
    """A client's secret that a token endpoint echoes form-encoded is not shown either."""
    grant = Grant("shared", "http://grid.example", (), "planted+secret/1=")
    echo = "bad client_secret=planted%2Bsecret%2F1%3D!"
    failed = await World(CallFailed("X", echo, status=400)).failed(grant=grant)
    assert "bad client_secret=[redacted]!" == failed.text


@pytest.mark.parametrize(
    "echoed",
    [
        "c29tZWJvZHk6aHVudGVyMjI=",
        "c29tZWJvZHk6aHVudGVyMjI%3D",
        "hunter22",
        "Basic c29tZWJvZHk6aHVudGVyMjI=",
    ],
)
async def test_a_basic_credential_is_scrubbed_in_each_form(echoed):
    """The password, its encoded form and the whole header value are all secrets."""
    encoded = "Basic c29tZWJvZHk6aHVudGVyMjI="
    grant = Grant("shared", "http://grid.example", (("Authorization", encoded),), "hunter22")
    failed = await World(CallFailed("X", f"bad {echoed}!", status=400)).failed(grant=grant)
    assert "bad [redacted]!" == failed.text


async def test_the_text_is_clipped():
    """A failure that leaves here is fit to be shown."""
    assert 300 == len((await World(CallFailed("X", "a" * 999, status=400)).failed()).text)


async def test_close():
    """The clients are closed with the door."""
    world = World(OK)
    await world.call()
    await world.door.close()
    assert world.client.closed
