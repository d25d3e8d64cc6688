"""Several calls for one answer: what a coroutine may ask, what bounds it, what becomes of its answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from fakes import Asked, FakeFetch, reply, said
from structlog.testing import capture_logs

from scailookup import Ask, Failed, Gathered, Got, Listed, Lookup, Param, Question, Upstream, auth
from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.errors import CallFailed, UpstreamApi, UpstreamAuth
from scailookup.lookup import Limits, Lookups
from scailookup.model import Reply, Request
from scailookup.secrets import HeldSecrets

pytestmark = pytest.mark.gen_test
BASE = "https://up.example"
KEY = auth.Bearer("up/key")
ANYBODY = auth.Anonymous()
SECRETS = {"up/key": {"value": "planted-secret"}}


def gathering(gather: Any, how: Any = KEY, **more: Any) -> Upstream:
    """An upstream with one gathering lookup."""
    return Upstream("up", BASE, how, (Lookup("things", gather=gather, **more),))


class Half:
    """A Fetch whose path /slow never answers; ``ended`` is set when somebody gives it up."""

    def __init__(self, fetch: FakeFetch, ended: asyncio.Event) -> None:
        self._fetch = fetch
        self._ended = ended

    async def __call__(self, request: Request, *, deadline: float) -> Any:
        if not request.url.endswith("/slow"):
            return await self._fetch(request, deadline=deadline)
        try:
            return await asyncio.Event().wait()
        finally:
            self._ended.set()


async def test_one_call_after_the_other():
    """A coroutine makes calls out of what others answered; each is signed and logged."""

    async def gather(ask: Ask) -> list[Any]:
        names = (await ask("/names")).body
        return [(await ask(Question("/names/{n}", {"n": name}))).body for name in names]

    asked = Asked(
        {f"{BASE}/names": ["a/b", "c"], f"{BASE}/names/a%2Fb": {"id": 1}, f"{BASE}/names/c": {"id": 2}},
        SECRETS,
    )
    served = await asked.ask(gathering(gather))
    signed = {dict(request.headers)["Authorization"] for request in asked.fetch.requests}
    assert ([{"id": "1"}, {"id": "2"}], {"Bearer planted-secret"}) == (said(served)["data"], signed)
    assert [(f"{BASE}/names", 200), *[(f"{BASE}/names/{{n}}", 200)] * 2] == [
        (c.url, c.status) for c in asked.calls
    ]


async def test_side_by_side():
    """Calls of one `all` are under way together, and their answers come in the order of the questions."""
    names = [f"/n/{number}" for number in range(5)]

    async def gather(ask: Ask) -> list[Any]:
        return [got.body for got in await ask.all(names)]

    asked = Asked({BASE + name: {"id": name} for name in names}, SECRETS)
    asked.fetch.gate = asyncio.Event()
    answer = asyncio.ensure_future(asked.ask(gathering(gather)))
    while len(asked.fetch.requests) < len(names):
        await asyncio.sleep(0)
    asked.fetch.gate.set()
    assert names == [row["id"] for row in said(await answer)["data"]]


async def test_only_so_many_at_once():
    """However many are wanted, a bounded number is under way."""

    async def gather(ask: Ask) -> list[Any]:
        return [got.body for got in await ask.all([f"/n/{number}" for number in range(20)])]

    asked = Asked({f"{BASE}/n/{n}": {"id": n} for n in range(20)}, SECRETS)
    asked.fetch.gate = asyncio.Event()
    answer = asyncio.ensure_future(asked.ask(gathering(gather)))
    for _ in range(200):
        await asyncio.sleep(0)
    under_way = len(asked.fetch.requests)
    asked.fetch.gate.set()
    assert (8, 20) == (under_way, len(said(await answer)["data"]))


async def test_all_fails_with_its_first_failure():
    """A failure that a coroutine lets pass is the lookup's, and the other calls end."""
    hung = asyncio.Event()

    async def gather(ask: Ask) -> list[Any]:
        return list(await ask.all(["/bad", "/slow"]))

    asked = Asked({f"{BASE}/bad": reply({"error": {"code": "NO", "message": "no"}}, 500)}, SECRETS)
    asked.fetch = Half(asked.fetch, hung)
    with pytest.raises(UpstreamApi, match="NO: no"):
        await asked.ask(gathering(gather))
    assert hung.is_set()


async def test_each_puts_a_failure_in_its_place():
    """A failure is a value with name, code, status and a way out, scrubbed; the rest of the answer stands."""
    kept: list[Any] = []

    async def gather(ask: Ask) -> Gathered:
        kept.extend(await ask.each(["/bad", "/good"]))
        return Gathered([got.body for got in kept if isinstance(got, Got)], meta={"failed": 1})

    bad = reply({"error": {"code": "NO", "message": "not with planted-secret"}}, 403)
    asked = Asked({f"{BASE}/bad": bad, f"{BASE}/good": {"id": "a"}}, SECRETS)
    served = await asked.ask(gathering(gather))
    failed = kept[0]
    assert {"data": [{"id": "a"}], "meta": {"failed": 1}} == said(served)
    assert ("up_auth", "NO", 403, "NO: not with [redacted]") == (
        *(failed.error, failed.code, failed.status),
        failed.message,
    )
    assert failed.fix


async def test_answer_headers_are_seen():
    """A coroutine reads the headers of an answer."""

    async def gather(ask: Ask) -> list[Any]:
        return [{"id": (await ask("/a")).headers["x-total"]}]

    asked = Asked({f"{BASE}/a": reply({}, x_total="7")}, SECRETS)
    assert [{"id": "7"}] == said(await asked.ask(gathering(gather)))["data"]


async def test_what_a_question_sends():
    """Query, body and headers of a question go out; the credential and the lookup's headers too."""

    async def gather(ask: Ask) -> list[Any]:
        return [
            (
                await ask(
                    Question("/a", query={"n": 1, "m": "x y"}, body={"k": 1}, headers={"Accept": "a/b"})
                )
            ).body
        ]

    asked = Asked({f"{BASE}/a?n=1&m=x%20y": {"id": "a"}}, SECRETS)
    await asked.ask(gathering(gather, headers={"X-V": "1", "Accept": "c/d"}))
    request = asked.fetch.requests[0]
    headers = dict(request.headers)
    assert ("POST", {"k": 1}, "a/b", "1", True) == (
        *(request.method, json.loads(request.body or b""), headers["Accept"], headers["X-V"]),
        request.reads,
    )


@pytest.mark.parametrize(
    "question",
    [
        Question("/a", headers={"Authorization": "Bearer mine"}),
        Question("https://evil.example/a"),
        Question("/a/../b"),
        Question("/a/{x}"),
        Question("/a/{x}", {"x": ".."}),
        Question("/a/{+x}", {"x": "a/../b"}),
        Question("//evil.example"),
    ],
    ids=lambda question: question.path,
)
async def test_what_a_question_must_not(question):
    """No address, credential or climbing path leaves; the answer fails and the fault is logged or named."""

    async def gather(ask: Ask) -> list[Any]:
        return [(await ask(question)).body]

    asked = Asked({}, SECRETS)
    with capture_logs(), pytest.raises(UpstreamApi, match="bad_shape"):
        await asked.ask(gathering(gather))
    assert [] == asked.fetch.urls


async def test_the_number_of_calls_is_bounded():
    """Beyond the bound `all` and `each` leave out the rest and the answer says so; a single call fails."""
    left: list[int] = []

    async def gather(ask: Ask) -> list[Any]:
        first = await ask.all([f"/n/{number}" for number in range(2)])
        left.append(ask.left)
        more = await ask.each([f"/n/{number}" for number in range(2, 9)])
        left.append(ask.left)
        return [got.body for got in (*first, *more) if isinstance(got, Got)]

    async def one_too_many(ask: Ask) -> list[Any]:
        return [(await ask(f"/n/{number}")).body for number in range(9)]

    asked = Asked({f"{BASE}/n/{n}": {"id": n} for n in range(9)}, SECRETS, pages=4)
    served = await asked.ask(gathering(gather))
    assert ({"truncated": True}, 4, [2, 0]) == (said(served)["meta"], len(asked.fetch.urls), left)
    with pytest.raises(UpstreamApi, match="too_large") as caught:
        await asked.ask(gathering(one_too_many))
    assert ("SCAILOOKUP_MAX_PAGES" in caught.value.fix, "shared") == (True, caught.value.credential)


async def test_the_deadline_holds_for_all_calls_together():
    """A coroutine that does not come to an end is ended, and that is a timeout."""

    async def gather(ask: Ask) -> list[Any]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(UpstreamApi, match="timeout"):
        await Asked({}, SECRETS, deadline=0.05).ask(gathering(gather))


async def raising(ask: Ask) -> list[Any]:
    raise KeyError("name")


async def leaving(ask: Ask) -> list[Any]:
    raise SystemExit(3)


async def nonsense(ask: Ask) -> Any:
    return 7


async def reserved(ask: Ask) -> Gathered:
    return Gathered([], meta={"stale": True})


async def unsendable(ask: Ask) -> Gathered:
    return Gathered([], meta={"x": object()})


async def given_up(ask: Ask) -> list[Any]:
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task
    return []


@pytest.mark.parametrize("gather", [raising, leaving, nonsense, reserved, unsendable, given_up])
async def test_a_coroutine_that_breaks(gather):
    """Whatever it does wrong costs its own answer, and the log has the cause."""
    with capture_logs() as events, pytest.raises(UpstreamApi, match="bad_shape"):
        await Asked({}, SECRETS).ask(gathering(gather))
    assert [("gather_failed", "up", "things")] == [(e["event"], e["upstream"], e["lookup"]) for e in events]


async def test_its_records_go_through_the_lookups_rules():
    """Normalizer, identity, duplicates and the bound on rows are the same as for a list."""

    async def gather(ask: Ask) -> Gathered:
        return Gathered([{"n": 1}, {"n": 1}, {}, {"n": 2}, {"n": 3}], truncated=False)

    up = gathering(gather, row=lambda raw: {"id": f"r{raw['n']}"})
    served = await Asked({}, SECRETS, rows=2).ask(up)
    assert {"data": [{"id": "r1"}, {"id": "r2"}], "meta": {"truncated": True, "dropped": 1}} == said(served)


async def test_records_of_which_none_can_be_read():
    """Records without one readable row are an error and no empty list."""

    async def gather(ask: Ask) -> list[Any]:
        return [{}, {"id": None}]

    with pytest.raises(UpstreamApi, match="bad_shape"):
        await Asked({}, SECRETS).ask(gathering(gather))


async def test_what_it_knows_of_the_request():
    """Path values, parameters handed on and the tenant are at hand."""
    seen: list[Any] = []

    async def gather(ask: Ask) -> list[Any]:
        seen.extend([dict(ask.values), dict(ask.params), ask.tenant])
        return []

    lookup = Lookup("areas/{area}/things", gather=gather, params=(Param("kind"),))
    await Asked({}, SECRETS).ask(Upstream("up", BASE, KEY, (lookup,)), handed={"kind": "k"}, area="north")
    assert [{"area": "north"}, {"kind": "k"}, "tnt_acme"] == seen


async def test_a_refused_stored_key_is_read_afresh_once():
    """A 401 in any of the calls has the key read anew and the whole answer made once more."""

    async def gather(ask: Ask) -> list[Any]:
        return [(await ask("/a")).body]

    asked = Asked({f"{BASE}/a": reply({}, 401)}, SECRETS)
    with pytest.raises(UpstreamAuth):
        await asked.ask(gathering(gather))
    assert ([False, True], 2) == ([fresh for _, fresh in asked.secrets.asked], len(asked.fetch.urls))


class Rotating:
    """A store whose secret has a new value from the moment that it is told."""

    name = "rotating"

    def __init__(self) -> None:
        self.value = "old"

    async def read(self, path: str) -> dict[str, str]:
        value = self.value
        for _ in range(5):
            await asyncio.sleep(0)
        return {"value": value}

    async def write(self, path: str, data: Any) -> None: ...

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


async def test_whoever_asks_while_a_rotated_key_is_refused_gets_the_list():
    """However close to the refusal it is: nobody is told of it who may use the new key."""

    def answer(request: Request) -> Reply:
        good = f"Bearer {store.value}" in [value for _, value in request.headers]
        return reply({"data": [{"id": "1"}]}, 200) if good else reply({}, 401)

    store, asked = Rotating(), Asked({f"{BASE}/rows": answer})
    upstream = Upstream("up", BASE, KEY, (Lookup("rows", "/rows"),))
    held = HeldSecrets(store, fresh=60, hold=600)
    memory = Memory(Ages(0.0, 0.0, 0.0, 1.0))
    asked.lookups = Lookups(Limits(30.0, 20, 1000), memory, Credentials(asked.settings, held), asked.door)
    await asked.ask(upstream)
    store.value = "new"
    asking = []
    for _ in range(40):
        asking.append(asyncio.ensure_future(asked.ask(upstream)))
        await asyncio.sleep(0)
    assert {"1"} == {said(served)["data"][0]["id"] for served in await asyncio.gather(*asking)}


# ---- the lists of other upstreams


def source(name: str, how: Any = ANYBODY, **more: Any) -> Upstream:
    """A source with one list."""
    return Upstream(name, f"https://{name}.example", how, (Lookup("rows", "/rows"),), **more)


def merging(*sources: Upstream, seen: list[Any] | None = None) -> Upstream:
    """An upstream without an address that puts the lists of its sources together."""

    async def gather(ask: Ask) -> Gathered:
        found = await ask.lists()
        (seen if seen is not None else []).extend(found)
        return Gathered([row for listed in found if isinstance(listed, Listed) for row in listed.rows])

    return Upstream("all", "", auth.Anonymous(), (Lookup("rows", gather=gather, sources=sources),))


def lists(*names: str) -> dict[str, Any]:
    """Answers of these sources, a row each."""
    return {f"https://{name}.example/rows": [{"id": name}] for name in names}


async def test_the_lists_of_sources():
    """Each source is asked as its own lookup would be: own address, own credential, own event."""
    seen: list[Any] = []
    up = merging(source("one"), source("two", KEY), seen=seen)
    asked = Asked(lists("one", "two"), SECRETS)
    served = await asked.ask(up)
    assert [{"id": "one"}, {"id": "two"}] == said(served)["data"]
    assert [("one", "none", None), ("two", "shared", "Bearer planted-secret")] == [
        (call.upstream, call.credential, dict(request.headers).get("Authorization"))
        for call, request in zip(asked.calls, asked.fetch.requests, strict=True)
    ]
    assert [("one", "rows", 0.0, None), ("two", "rows", 0.0, None)] == [
        (listed.source, listed.lookup, listed.age, listed.failure) for listed in seen
    ]


async def test_a_source_that_fails_costs_its_own_rows():
    """Whatever its failure, one without a credential too, it stands in its place and nothing is raised."""
    seen: list[Any] = []
    up = merging(source("one"), source("dead"), source("bare", auth.Bearer("no/such")), seen=seen)
    served = await Asked(lists("one")).ask(up)
    assert [{"id": "one"}] == said(served)["data"]
    assert [("dead", "dead_api", 404), ("bare", "missing_credentials", None)] == [
        (failed.source, failed.error, failed.status) for failed in seen if isinstance(failed, Failed)
    ]


async def test_a_source_that_stopped_answering_keeps_its_old_rows():
    """Its rows stand with their age and with what is wrong, as long as an old answer may be given."""
    seen: list[Any] = []
    up = merging(source("one"), seen=seen)
    asked = Asked(lists("one"), ages={"fresh": 10.0, "stale": 60.0, "stale_if_error": 300.0})
    await asked.ask(up.lookups[0].sources[0])
    asked.fetch.answers.clear()
    asked.clock.now += 50
    served = await asked.ask(up)
    listed = seen[0]
    assert ([{"id": "one"}], 50.0, "one_api") == (said(served)["data"], listed.age, listed.failure.error)


async def test_a_source_is_not_answered_with_a_stale_list_while_it_lives():
    """A list that is over is asked for again and waited for."""
    seen: list[Any] = []
    up = merging(source("one"), seen=seen)
    asked = Asked(lists("one"), ages={"fresh": 10.0, "stale": 60.0})
    await asked.ask(up.lookups[0].sources[0])
    asked.clock.now += 50
    await asked.ask(up)
    assert (0.0, 2) == (seen[0].age, len(asked.fetch.urls))


async def test_an_answer_of_sources_is_kept_by_their_credentials():
    """Two callers whose tokens go to a source never share what was made of it; with a shared key they do."""
    forwarded, shared = merging(source("one", auth.ForwardCaller())), merging(source("two", KEY))
    asked = Asked(lists("one", "two"), SECRETS, ages={"fresh": 60.0})
    for token in ("first", "second", "first"):
        asked.token = token
        await asked.ask(forwarded)
        await asked.ask(shared)
    assert ["https://one.example/rows"] * 2 == [url for url in asked.fetch.urls if "one" in url]
    assert ["https://two.example/rows"] == [url for url in asked.fetch.urls if "two" in url]


async def test_how_long_an_answer_is_good_may_be_said():
    """A coroutine that knows its answer to be old says for how long it is good."""

    async def gather(ask: Ask) -> Gathered:
        return Gathered([(await ask("/a")).body], fresh=5.0)

    asked = Asked({f"{BASE}/a": {"id": "a"}}, SECRETS, ages={"fresh": 60.0})
    for seconds in (0, 4, 2):
        asked.clock.now += seconds
        await asked.ask(gathering(gather))
    assert 2 == len(asked.fetch.urls)


async def test_a_failure_of_the_coroutines_own_is_shown_like_any_other():
    """What a coroutine raises itself is scrubbed and clipped before it is shown."""

    async def gather(ask: Ask) -> list[Any]:
        raise CallFailed("not so", f"eyJhbGciOi.eyJzdWIi.c2ln {'x' * 400}")

    with pytest.raises(UpstreamApi) as caught:
        await Asked({}, SECRETS).ask(gathering(gather))
    assert ("notso", True) == (caught.value.code, caught.value.message.startswith("notso: [redacted] xxx"))
    assert 310 > len(caught.value.message)


async def test_a_source_that_hangs_costs_its_own_rows():
    """Its time is over a moment before the answer's, so that the others' rows are still given."""
    seen: list[Any] = []
    up = merging(source("one"), source("slow"), seen=seen)
    asked = Asked(lists("one"), deadline=2.0)
    ended = asyncio.Event()
    real = asked.fetch

    async def hang(request: Request, *, deadline: float) -> Any:
        if "slow" not in request.url:
            return await real(request, deadline=deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.Event().wait()
        except TimeoutError:
            ended.set()
            raise CallFailed("timeout", "no complete answer within the time allowed") from None

    asked.fetch = hang
    served = await asked.ask(up)
    assert ([{"id": "one"}], "slow_api", "timeout", True) == (
        *(said(served)["data"], seen[1].error, seen[1].code),
        ended.is_set(),
    )


async def test_a_source_that_others_wait_for_longer():
    """A call for a source that began later, for somebody else, holds nobody beyond the own deadline."""
    seen: list[Any] = []
    up = merging(source("one"), source("slow"), seen=seen)
    asked = Asked(lists("one", "slow"), deadline=60.0)
    slow = up.lookups[0].sources[1]
    real, started, gate = asked.fetch, asyncio.Event(), asyncio.Event()

    async def hold(request: Request, *, deadline: float) -> Any:
        if "slow" in request.url:
            started.set()
            await gate.wait()
        return await real(request, deadline=deadline)

    asked.fetch = hold
    first = asyncio.ensure_future(asked.ask(slow))
    await started.wait()
    hurried = dataclasses.replace(up, lookups=(dataclasses.replace(up.lookups[0], deadline=2.0),))
    served = await asked.ask(hurried)
    gate.set()
    await first
    assert ([{"id": "one"}], "timeout") == (said(served)["data"], seen[1].code)
