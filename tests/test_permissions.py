"""What a caller may: claims, roles, ScaiGrid's word, and how long that is remembered."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from fakes import FakeClock, json_with
from hypothesis import given

from scailookup.errors import CallFailed, Forbidden, IdentityUnavailable, Overloaded
from scailookup.identity import Permissions
from scailookup.identity.permissions import Profile, profile_of
from scailookup.model import VIEW, Caller, Trace

ALL = ("claims", "roles", "scaigrid")
TRACE = Trace("req-1")
GRANTING = ["super_admin", "partner_admin", "tenant_admin", "tenant_viewer"]


class World:
    """Permissions over a ScaiGrid that answers as told, with a clock."""

    def __init__(self, answer=None, sources=ALL) -> None:
        self.answer = {"permissions": [VIEW]} if answer is None else answer
        self.asked: list[str] = []
        self.clock = FakeClock()
        self.gate: asyncio.Event | None = None
        self.permissions = Permissions(sources, self._ask, clock=self.clock)

    async def _ask(self, caller: Caller, trace: Trace):
        self.asked.append(caller.token)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def may(self, who: Caller | None = None, permission: str = VIEW) -> bool:
        """Whether ``require`` lets the caller through."""
        try:
            await self.permissions.require(who or caller(), permission, TRACE)
        except Forbidden:
            return False
        return True


def caller(token: str | None = "t.o.k", **more) -> Caller:
    """A caller whose token says nothing of permissions."""
    return Caller("usr_1", "tnt_acme", token, **{k: frozenset(v) if v else v for k, v in more.items()})


@pytest.mark.parametrize(
    ("who", "decided"),
    [
        (Caller("dev", "dev", everything=True), True),
        (caller(permissions=[VIEW]), True),
        (caller(permissions=["other"]), False),
        (caller(permissions=["other"], scopes=[VIEW], roles=["tenant_admin"]), False),
        (Caller("u", "t", "t.o.k", permissions=frozenset(), roles=frozenset(["super_admin"])), False),
        (caller(scopes=[VIEW]), True),
        (caller(scopes=["openid"], roles=["tenant_viewer"]), True),
        *((caller(roles=[role]), True) for role in GRANTING),
        (caller(roles=["tenant_user"]), None),
        (caller(roles=["partner_viewer"]), None),
        (caller(scopes=["scaicore:viewer"]), None),
        (caller(), None),
        (caller(token=None), False),
    ],
)
def test_order_of_the_sources(who, decided):
    """A permissions claim decides alone; else scope, else roles grant; else ScaiGrid must tell."""
    assert decided is World().permissions.decide(who, VIEW)


@pytest.mark.parametrize(
    ("sources", "who", "decided"),
    [
        (("roles",), caller(permissions=[VIEW]), False),
        (("roles",), caller(permissions=["other"], roles=["tenant_viewer"]), True),
        (("claims",), caller(roles=["tenant_viewer"]), False),
        (("claims",), caller(scopes=[VIEW]), True),
        (("scaigrid",), caller(permissions=[VIEW], roles=["tenant_viewer"]), None),
        (("claims", "roles"), caller(), False),
    ],
)
def test_a_source_left_out(sources, who, decided):
    """A source that is switched off neither grants nor refuses."""
    assert decided is World(sources=sources).permissions.decide(who, VIEW)


def test_a_role_carries_only_what_it_carries():
    """A viewer's role does not grant another permission."""
    assert None is World().permissions.decide(caller(roles=["tenant_viewer"]), "scaiqueue:purge")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ({"permissions": [VIEW]}, True),
        ({"permissions": ["models:list"]}, False),
        ({"roles": ["tenant_viewer"]}, True),
        ({"role": "tenant_admin"}, True),
        ({"role": "tenant_user"}, False),
        ({"permissions": [], "roles": ["tenant_viewer"]}, True),
        ({}, False),
        ([VIEW], False),
        (CallFailed("X", "", status=401), False),
        (CallFailed("X", "", status=403), False),
    ],
)
async def test_scaigrids_word(answer, may):
    """Where the token is silent ScaiGrid decides; its 401 and 403 are a no."""
    assert may is await World(answer).may()


@pytest.mark.gen_test
async def test_forbidden_names_the_permission():
    """The message of a 403 says what is needed."""
    with pytest.raises(Forbidden) as caught:
        await World({}).permissions.require(caller(), VIEW, TRACE)
    assert "need scaicore:view" == caught.value.message


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "failure",
    [
        CallFailed("timeout", ""),
        CallFailed("http_500", "", status=500),
        CallFailed("http_404", "", status=404),
        CallFailed("bad_shape", "", status=200),
        Overloaded("full"),
    ],
)
async def test_a_failing_scaigrid(failure):
    """When ScaiGrid cannot tell it is identity_unavailable, not a no."""
    with pytest.raises(IdentityUnavailable):
        await World(failure).may()


@pytest.mark.gen_test
async def test_retry_after_is_passed_on():
    """A ScaiGrid that says when to come back is heard."""
    with pytest.raises(IdentityUnavailable) as caught:
        await World(CallFailed("RATE_LIMITED", "", status=429, retry_after=17)).may()
    assert "17" == caught.value.headers["Retry-After"]


@pytest.mark.gen_test
@pytest.mark.parametrize(("seconds", "asked"), [(59.9, 1), (60.0, 2)])
@pytest.mark.parametrize("answer", [None, {}, CallFailed("X", "", status=403)])
async def test_remembered_for_a_minute(answer, seconds, asked):
    """A yes and a no are both kept for 60 s."""
    world = World(answer)
    await world.may()
    world.clock.now += seconds
    await world.may()
    assert asked == len(world.asked)


@pytest.mark.gen_test
async def test_a_failure_is_not_remembered():
    """ScaiGrid is asked again as soon as it is back."""
    world = World(CallFailed("timeout", ""))
    with pytest.raises(IdentityUnavailable):
        await world.may()
    world.answer = {"permissions": [VIEW]}
    assert await world.may()


@pytest.mark.gen_test
async def test_one_answer_serves_every_permission():
    """What ScaiGrid said is kept whole."""
    world = World({"permissions": [VIEW, "x:y"]})
    assert ([True, True, False], 1) == (
        [await world.may(permission=name) for name in (VIEW, "x:y", "x:z")],
        len(world.asked),
    )


@pytest.mark.gen_test
async def test_each_token_is_asked_for_itself():
    """Two tokens of one person share no answer."""
    world = World()
    await world.may(caller("a.a.a"))
    world.answer = {}
    assert (False, ["a.a.a", "b.b.b"]) == (await world.may(caller("b.b.b")), world.asked)


@pytest.mark.gen_test
async def test_coalesced():
    """Ten requests with one token ask once."""
    world = World()
    world.gate = asyncio.Event()
    tasks = [asyncio.ensure_future(world.may()) for _ in range(10)]
    await asyncio.sleep(0)
    world.gate.set()
    assert ([True] * 10, 1) == (await asyncio.gather(*tasks), len(world.asked))


@pytest.mark.gen_test
async def test_the_question_outlives_who_asked_first():
    """The first caller leaves; the second one gets the same answer."""
    world = World()
    world.gate = asyncio.Event()
    first, second = (asyncio.ensure_future(world.may()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.gate.set()
    assert (True, 1) == (await second, len(world.asked))


@pytest.mark.gen_test
async def test_memory_is_bounded():
    """After ten thousand other tokens the first one is forgotten, the last one not."""
    world = World()
    for n in range(10_001):
        await world.may(caller(f"t.{n}.s"))
    await world.may(caller("t.10000.s"))
    await world.may(caller("t.0.s"))
    assert (10_002, "t.0.s") == (len(world.asked), world.asked[-1])


@pytest.mark.parametrize(
    "body",
    [
        {"permissions": ["a", "b"]},
        {"permissions": "a b"},
        {"data": {"permissions": ["a", "b"]}},
        {"user": {"permissions": ["a", "b"]}},
        {"data": {"user": {"permissions": ["a", "b"]}}},
        {"data": {"permissions": ["a"]}, "permissions": ["b"]},
        {"permissions": [{"name": "a"}, {"permission": "b"}]},
        {"permissions": {"a": True, "b": True, "c": False, "d": "yes"}},
        {"permissions": ["a", "b", 5, None, True]},
    ],
)
def test_profile_shapes(body):
    """Permissions are found wherever /v1/me keeps them."""
    assert Profile(frozenset({"a", "b"})) == profile_of(body)


@pytest.mark.parametrize("body", [{"role": "r"}, {"roles": ["r"]}, {"data": {"roles": [{"slug": "r"}]}}])
def test_profile_roles(body):
    """Roles are found under either name."""
    assert Profile(roles=frozenset({"r"})) == profile_of(body)


@given(json_with("data", "user", "permissions", "role", "roles", "name"))
def test_profile_is_total(body):
    """Over arbitrary JSON there is a profile of texts."""
    profile = profile_of(body)
    assert all(isinstance(word, str) for word in profile.permissions | profile.roles)


def test_profile_of_a_deep_answer():
    """An answer nested as deep as JSON may be is read, not a fault of ours."""
    depth = 700
    body = msgspec.json.decode(b'{"permissions":' + b"[" * depth + b"]" * depth + b"}")
    assert Profile() == profile_of(body)


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (caller(roles=["tenant_admin"]), True),
        (caller(roles=["tenant_viewer"]), False),
        (caller(permissions=["tenant_admin"]), False),
        (Caller("dev", "dev", everything=True), True),
    ],
)
def test_require_role(who, may):
    """A role is what the token names as one."""
    try:
        World().permissions.require_role(who, frozenset({"tenant_admin", "super_admin"}))
    except Forbidden:
        assert not may
    else:
        assert may


@pytest.mark.parametrize(
    ("who", "decided"),
    [
        (caller(roles=["tenant_user"]), True),
        (caller(roles=["tenant_admin"]), None),
        (caller(permissions=["x:y"], roles=["tenant_user"]), True),
        (caller(permissions=["other"], roles=["tenant_user"]), False),
    ],
)
def test_roles_that_carry_a_permission_of_a_plugin(who, decided):
    """A lookup's own roles carry its permission; the claim still decides alone."""
    assert decided is World().permissions.decide(who, "x:y", frozenset({"tenant_user"}))


def test_extra_roles_stand_beside_those_that_carry_a_permission_everywhere():
    """Roles of a lookup's own take nothing from the others, and count without the source for nobody."""
    extra = frozenset({"tenant_user"})
    decide = World().permissions.decide
    assert [True, True] == [decide(caller(roles=[r]), VIEW, extra) for r in ("tenant_user", "tenant_viewer")]
    assert False is World(sources=("claims",)).permissions.decide(caller(roles=["tenant_user"]), VIEW, extra)


@pytest.mark.gen_test
async def test_extra_roles_in_scaigrids_word():
    """What ScaiGrid says of a caller's roles counts with a lookup's own roles too."""
    world = World({"roles": ["tenant_user"]})
    await world.permissions.require(caller(), "x:y", TRACE, frozenset({"tenant_user"}))
    with pytest.raises(Forbidden):
        await world.permissions.require(caller(), "x:y", TRACE)
