"""What explanations are made of: the pace, a look into memory, the name of an envelope, who granted."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import JSON, Asked, FakeClock, settings
from hypothesis import given

from scailookup import auth
from scailookup.cache import Ages, Held, Memory
from scailookup.credentials import Watched
from scailookup.declare import Lookup, Upstream
from scailookup.envelopes import envelope, records
from scailookup.errors import CallFailed, UpstreamApi, UpstreamError
from scailookup.explain.pace import APART, AT_ONCE, Pace
from scailookup.explain.steps import NAMES, Step, rest, worst
from scailookup.identity import Permissions
from scailookup.lookup import Bound, Trial
from scailookup.model import VIEW, Answer, Caller, Trace
from scailookup.testing import FakeSecrets

BASE = "https://up.example"
CALLER = Caller("usr_1", "tnt_acme", "j.w.t")


def row(raw: Any) -> dict[str, Any]:
    """The id alone."""
    return {"id": raw["id"]}


UPSTREAM = Upstream("up", BASE, auth.ForwardCaller(), (Lookup("things", "/things", row=row),))
BOUND = Bound(UPSTREAM, UPSTREAM.lookups[0], {})


def test_the_pace_of_one_key():
    """It may be asked once in a while, whoever else asks."""
    clock = FakeClock()
    pace = Pace(clock=clock)
    assert 0 == pace.enter(("tnt_1", "up"))
    pace.leave(("tnt_1", "up"))
    assert [1, 0, 0] == [pace.enter(key) for key in (("tnt_1", "up"), ("tnt_1", "other"), ("tnt_2", "up"))]
    clock.now += APART
    assert 0 == pace.enter(("tnt_1", "up"))


def test_the_pace_after_a_rate_limit():
    """It waits as long as the upstream said."""
    clock = FakeClock()
    pace = Pace(clock=clock)
    pace.enter(("tnt_1", "up"))
    pace.leave(("tnt_1", "up"), 30)
    clock.now += 29.5
    assert 1 == pace.enter(("tnt_1", "up"))
    clock.now += 0.5
    assert 0 == pace.enter(("tnt_1", "up"))


def test_so_many_at_once():
    """One more waits until another is done."""
    pace = Pace(clock=FakeClock())
    keys = [(f"tnt_{number}", "up") for number in range(AT_ONCE + 1)]
    assert [0] * AT_ONCE + [1] == [pace.enter(key) for key in keys]
    pace.leave(keys[0])
    assert 0 == pace.enter(keys[-1])


@given(JSON)
def test_an_envelope_has_a_name_exactly_when_its_list_is_read(body):
    """The name and the reading never disagree."""
    try:
        records(body)
        readable = True
    except CallFailed:
        readable = False
    assert readable is (envelope(body) is not None)


def memory(**ages: float) -> tuple[Memory, FakeClock]:
    """A memory with a clock of its own."""
    clock = FakeClock()
    known = {"fresh": 10.0, "stale": 20.0, "stale_if_error": 100.0, "failure": 5.0}
    return Memory(Ages(**{**known, **ages}), clock=clock), clock


async def _answer() -> Answer:
    return Answer.of(b"[]")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("after", "state", "left"),
    [(4, "fresh", 6), (10, "stale", 20), (30, "stale-if-error", 80), (110, "none", 0)],
)
async def test_what_memory_tells(after, state, left):
    """By its age an answer is fresh, stale, of use when the upstream fails, or of none."""
    held, clock = memory()
    await held.answer(b"k", _answer)
    clock.now += after
    assert (state, after, left) == held.look(b"k")[:3]


@pytest.mark.gen_test
async def test_memory_tells_of_a_failure():
    """The remembered failure is told until it is forgotten."""
    held, clock = memory()
    failure = UpstreamApi("up", "no", "Wait.", code="timeout", upstream_status=None)

    async def fail() -> Answer:
        raise failure

    with pytest.raises(UpstreamError):
        await held.answer(b"k", fail)
    told = held.look(b"k")
    assert ("none", "timeout: no") == (told.state, told.failure.message if told.failure else "")
    clock.now += 5
    assert Held() == held.look(b"k")


@pytest.mark.gen_test
async def test_looking_is_no_use():
    """What is looked at stays the first to leave when there is no room."""
    held, _ = memory()
    for key in (b"a", b"b"):
        await held.answer(key, _answer)
    held.look(b"a")
    assert [b"a", b"b"] == list(held._entries)


@pytest.mark.parametrize(
    ("caller", "sources", "source", "heard"),
    [
        (Caller("u", "t", "x", permissions=frozenset({VIEW})), "claims,roles", "claims", ("claims",)),
        (
            Caller("u", "t", "x", permissions=frozenset(), roles=frozenset({"tenant_admin"})),
            "claims,roles",
            None,
            ("claims",),
        ),
        (
            Caller("u", "t", "x", scopes=frozenset({VIEW}), roles=frozenset({"tenant_admin"})),
            "claims,roles",
            "claims",
            ("claims", "roles"),
        ),
        (
            Caller("u", "t", "x", permissions=frozenset(), roles=frozenset({"tenant_admin"})),
            "roles",
            "roles",
            ("roles",),
        ),
        (Caller("u", "t", "x"), "claims,roles,scaigrid", None, ("claims", "roles", "scaigrid")),
        (Caller("u", "t", everything=True), "roles", "development", ("roles",)),
    ],
)
def test_who_granted(caller, sources, source, heard):
    """The first source of those in use that grants; and those that have a say."""

    async def nobody(*_: Any) -> Any:
        raise AssertionError

    permissions = Permissions(sources.split(","), nobody)
    assert (source, heard) == (permissions.source(caller, VIEW), permissions.heard(caller))


@pytest.mark.gen_test
async def test_a_trial_keeps_nothing_and_uses_the_tokens_of_all():
    """Nothing of a trial is in memory afterwards; a token by client credentials is the common one."""
    token_url = "https://login.example/token"
    oauth = auth.ClientCredentials(token_url, secret="up/oauth#secret", client_id="c")
    upstream = Upstream("up", BASE, oauth, (Lookup("things", "/things", row=row),))
    bound = Bound(upstream, upstream.lookups[0], {})
    world = Asked(
        {f"{BASE}/things": {"data": [{"id": "a"}]}, token_url: {"access_token": "tok", "expires_in": 600}},
        secrets={"up/oauth": {"secret": "s3cr3t-of-oauth"}},
        ages={"fresh": 60.0},
    )
    for _ in range(2):
        trial = Trial(world.lookups, Watched(world.settings, world.secrets, upstream))
        deadline = trial.deadline(bound)
        place = await trial.choose(bound, CALLER, deadline)
        served = await trial.ask(place, Trace("r"), deadline)
        assert ("none", 1) == (trial.known(place).state, served.answer.calls)
    assert [token_url, f"{BASE}/things", f"{BASE}/things"] == world.fetch.urls


@pytest.mark.gen_test
async def test_a_trial_tells_of_its_own_list_when_there_are_sources():
    """What was dropped of a source's list is the source's matter; its credential is, too."""

    async def gather(ask: Any) -> Any:
        return [record for listed in await ask.lists() for record in listed.rows]

    stored = auth.Bearer("source/key")
    source = Upstream("source", BASE, stored, (Lookup("all", "/all", row=row),))
    whole = Lookup("all", row=row, gather=gather, sources=(source,))
    upstream = Upstream("up", "", auth.Anonymous(), (whole,))
    world = Asked(
        {f"{BASE}/all": {"data": [{"id": "a"}, 7]}}, secrets={"source/key": {"value": "k3y-of-source"}}
    )
    watched = Watched(world.settings, world.secrets, upstream)
    trial, bound = Trial(world.lookups, watched), Bound(upstream, whole, {})
    place = await trial.choose(bound, CALLER, trial.deadline(bound))
    await trial.ask(place, Trace("r"), trial.deadline(bound))
    assert trial.reader is not None
    assert (0, [{"id": "a"}], []) == (trial.reader.dropped, trial.reader.rows, watched.looked)


@pytest.mark.gen_test
async def test_a_stored_key_that_is_refused_is_tried_afresh():
    """As a lookup does; the key read afresh is the one that is asked with."""
    upstream = Upstream("up", BASE, auth.Bearer("up/key"), (Lookup("things", "/things", row=row),))
    bound = Bound(upstream, upstream.lookups[0], {})
    world = Asked(secrets={"up/key": {"value": "old-key"}})
    trial = Trial(world.lookups, Watched(world.settings, world.secrets, upstream))
    place = await trial.choose(bound, CALLER, trial.deadline(bound))
    world.secrets.data["up/key"] = {"value": "new-key"}

    def answer(request: Any) -> Any:
        good = ("Authorization", "Bearer new-key") in request.headers
        return {"data": [{"id": "a"}]} if good else CallFailed("NO", "no", status=401)

    world.fetch.answers[f"{BASE}/things"] = answer
    assert 1 == (await trial.ask(place, Trace("r"), trial.deadline(bound))).answer.calls


def test_the_worst_of_steps():
    """A failure outweighs a warning, a warning what is well; what was skipped weighs nothing."""
    found = [Step("a", status, "") for status in ("ok", "skipped", "warn", "failed")]
    assert ["ok", "ok", "warn", "failed"] == [worst(found[: number + 1]) for number in range(4)]


def test_the_rest_is_skipped():
    """Every step after one, in order, with the reason."""
    assert [(name, "skipped", "why") for name in NAMES[2:]] == [
        (step.name, step.status, step.message) for step in rest("permission", "why")
    ]


def test_a_watched_choice_logs_nothing():
    """What is worth a warning is kept for the explanation; the service says it in its log, once."""
    watched = Watched(settings(), FakeSecrets({}), UPSTREAM)
    watched._warn("stored_key_unusable", "tnt_acme", "reason")
    assert {"stored_key_unusable": "reason"} == watched.said
