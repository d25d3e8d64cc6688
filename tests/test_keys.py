"""ScaiKey's signing keys: discovery, cooldown, shared fetches, outages; clock and Fetch are the test's."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fakes import JSON, FakeClock, FakeFetch, jwks, reply
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scailookup.errors import CallFailed, IdentityUnavailable
from scailookup.identity import KeySet, discovery_urls
from scailookup.identity.keys import usable_keys

BASE = "https://scaikey.example"
PLATFORM, ROOT = discovery_urls(BASE)
URL = "https://scaikey.example/keys"
RSA, EC = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
DOWN = CallFailed("unreachable", "down")


class World:
    """A key set at a fixed address over a fake Fetch, with a clock."""

    def __init__(self, answers=None, **more) -> None:
        self.clock = FakeClock()
        self.fetch = FakeFetch({URL: jwks(("r1", RSA), ("e1", EC))} if answers is None else answers)
        self.keys = KeySet(self.fetch, clock=self.clock, **(more or {"jwks_url": URL}))

    async def numbers(self, kid: str | None = "e1", algorithm: str = "ES256") -> list:
        """The public numbers of the keys found."""
        return [key.public_numbers() for key in await self.keys.find(kid, algorithm)]

    async def settled(self) -> None:
        """Let a fetch behind come to its end."""
        for _ in range(10):
            await asyncio.sleep(0)


E1, R1 = EC.public_key().public_numbers(), RSA.public_key().public_numbers()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("kid", "algorithm", "found"),
    [
        ("r1", "RS256", [R1]),
        ("e1", "ES256", [E1]),
        ("r1", "ES256", []),
        ("e1", "RS256", []),
        (None, "RS256", [R1]),
        (None, "ES256", [E1]),
        ("none", "RS256", []),
    ],
)
async def test_find(kid, algorithm, found):
    """A key is found by its id and must be of the algorithm's kind; without an id all of the kind are."""
    assert found == await World().numbers(kid, algorithm)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({PLATFORM: {"jwks_uri": URL}}, [PLATFORM, URL]),
        ({ROOT: {"jwks_uri": URL}}, [PLATFORM, ROOT, URL]),
        ({PLATFORM: {}, ROOT: {"jwks_uri": URL}}, [PLATFORM, ROOT, URL]),
        ({PLATFORM: DOWN, ROOT: {"jwks_uri": URL}}, [PLATFORM, ROOT, URL]),
        ({PLATFORM: {"jwks_uri": "file:///etc/passwd"}, ROOT: {"jwks_uri": URL}}, [PLATFORM, ROOT, URL]),
        ({PLATFORM: [URL], ROOT: {"jwks_uri": URL}}, [PLATFORM, ROOT, URL]),
        ({PLATFORM: {"jwks_uri": URL}, ROOT: {"jwks_uri": "https://x"}}, [PLATFORM, URL]),
    ],
)
async def test_discovery(answers, asked):
    """The platform's document goes before the one at the root."""
    world = World({**answers, URL: jwks(("e1", EC))}, base_url=BASE)
    assert ([E1], asked) == (await world.numbers(), world.fetch.urls)


@pytest.mark.gen_test
async def test_a_fixed_address_needs_no_discovery():
    """SCAIKEY_JWKS_URL alone is asked."""
    world = World(None, jwks_url=URL, base_url=BASE)
    await world.numbers()
    assert [URL] == world.fetch.urls


@pytest.mark.gen_test
async def test_no_credential_is_sent():
    """A fetch says what it takes and who we are, nothing else."""
    world = World()
    await world.numbers()
    assert ["Accept", "User-Agent"] == [name for name, _ in world.fetch.requests[0].headers]


@pytest.mark.gen_test
async def test_a_known_key_is_not_fetched_again():
    """Keys once fetched serve every token after."""
    world = World()
    for _ in range(3):
        await world.numbers()
    assert [URL] == world.fetch.urls


@pytest.mark.gen_test
@pytest.mark.parametrize(("seconds", "fetches"), [(0, 2), (29.9, 2), (30.0, 3), (300, 3)])
async def test_cooldown(seconds, fetches):
    """Unknown key ids ask for one more fetch at most every 30 s."""
    world = World()
    await world.numbers()
    await world.numbers("unknown-1")
    world.clock.now += seconds
    for n in range(20):
        await world.numbers(f"unknown-{n}")
    assert fetches == len(world.fetch.urls)


@pytest.mark.gen_test
async def test_rotation():
    """A key id seen for the first time is fetched and found."""
    world = World()
    await world.numbers()
    world.fetch.answers[URL] = jwks(("e2", OTHER))
    assert [OTHER.public_key().public_numbers()] == await world.numbers("e2")


@pytest.mark.gen_test
async def test_a_key_that_is_no_longer_listed_is_gone():
    """After a rotation the old key verifies nothing."""
    world = World()
    await world.numbers()
    world.fetch.answers[URL] = jwks(("e2", OTHER))
    await world.numbers("e2")
    assert [] == await world.numbers("e1")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "answer", [DOWN, reply({}, 500), {"keys": []}, {}, [], reply(b"<html>"), {"keys": None}]
)
async def test_good_keys_stay(answer):
    """A fetch that fails or brings nothing usable leaves the keys and their generation."""
    world = World()
    await world.numbers()
    before = world.keys.generation
    world.fetch.answers[URL] = answer
    await world.numbers("unknown")
    assert ([E1], before) == (await world.numbers(), world.keys.generation)


@pytest.mark.gen_test
@pytest.mark.parametrize("keys", [5, True, 1.5, "text", {"a": "b"}])
async def test_good_keys_stay_when_the_set_is_no_list(keys):
    """A key set of another type is a failed fetch like any other."""
    world = World()
    await world.numbers()
    world.fetch.answers[URL] = {"keys": keys}
    assert ([], [E1]) == (await world.numbers("unknown"), await world.numbers())


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", [DOWN, reply({}, 302), {"keys": []}, {"keys": 5}, reply(b"")])
async def test_never_fetched(answer):
    """Keys that never could be had are IdentityUnavailable."""
    with pytest.raises(IdentityUnavailable):
        await World({URL: answer}).numbers()


@pytest.mark.gen_test
async def test_no_discovery_document():
    """Neither document to be had is IdentityUnavailable too."""
    with pytest.raises(IdentityUnavailable):
        await World({}, base_url=BASE).keys.ready()


@pytest.mark.gen_test
@pytest.mark.parametrize(("seconds", "fetches"), [(0.0, 1), (0.9, 1), (1.1, 2)])
async def test_a_failure_is_remembered_for_a_second(seconds, fetches):
    """While ScaiKey is down it is not asked with every request."""
    world = World({URL: DOWN})
    for pause in (0, seconds):
        world.clock.now += pause
        with pytest.raises(IdentityUnavailable):
            await world.numbers()
    assert fetches == len(world.fetch.urls)


@pytest.mark.gen_test
async def test_recovery():
    """Once ScaiKey is back the keys are had."""
    world = World({URL: DOWN})
    with pytest.raises(IdentityUnavailable):
        await world.numbers()
    world.fetch.answers[URL] = jwks(("e1", EC))
    world.clock.now += 2
    assert [E1] == await world.numbers()


@pytest.mark.gen_test
async def test_one_fetch_for_everybody():
    """Who needs keys at once shares one fetch."""
    world = World()
    world.fetch.gate = asyncio.Event()
    tasks = [asyncio.ensure_future(world.numbers()) for _ in range(10)]
    await asyncio.sleep(0)
    world.fetch.gate.set()
    assert ([[E1]] * 10, 1) == (await asyncio.gather(*tasks), len(world.fetch.urls))


@pytest.mark.gen_test
async def test_a_fetch_outlives_the_caller_who_started_it():
    """The first caller leaves; the others get their keys from the same fetch."""
    world = World()
    world.fetch.gate = asyncio.Event()
    first, second = (asyncio.ensure_future(world.numbers()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.fetch.gate.set()
    assert ([E1], 1) == (await second, len(world.fetch.urls))


@pytest.mark.gen_test
async def test_old_keys_are_renewed_behind():
    """After ten minutes a known key is answered at once, and the set fetched behind."""
    world = World()
    await world.numbers()
    world.clock.now += 601
    world.fetch.answers[URL] = jwks(("e1", EC), ("e2", OTHER))
    found = await world.numbers()
    await world.settled()
    assert ([E1], 2, 0.0) == (found, len(world.fetch.urls), world.keys.age)


@pytest.mark.gen_test
async def test_old_keys_that_cannot_be_renewed_rest_between_tries():
    """Whoever sends tokens while ScaiKey is down causes a fetch each half minute, not each time."""
    world, asked = World(), []
    await world.numbers()
    world.fetch.answers[URL] = DOWN
    world.clock.now += 601
    for _ in range(3):
        for _ in range(5):
            assert [E1] == await world.numbers()
            await world.settled()
        asked.append(len(world.fetch.urls))
        world.clock.now += 30
    assert [2, 3, 4] == asked


@pytest.mark.gen_test
async def test_each_caller_has_a_failure_of_its_own():
    """What one writes into it, another does not tell."""
    world = World({URL: DOWN})
    world.fetch.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(world.keys.ready()) for _ in range(2)]
    await asyncio.sleep(0)
    world.fetch.gate.set()
    together = await asyncio.gather(*waiting, return_exceptions=True)
    for failure in (*together, *[await raised(world) for _ in range(2)]):
        assert isinstance(failure, IdentityUnavailable)
        assert "steps" not in failure.detail()
        failure.extra["steps"] = []
    assert 1 == len(world.fetch.urls)


async def raised(world: World) -> object:
    """How a question for keys fails."""
    return (await asyncio.gather(world.keys.ready(), return_exceptions=True))[0]


@pytest.mark.gen_test
async def test_generation():
    """The generation grows with a change of the keys and with nothing else."""
    world, seen = World(), []
    for answer in (jwks(("e1", EC)), jwks(("e1", EC)), jwks(("e1", OTHER)), DOWN):
        world.fetch.answers[URL] = answer
        world.clock.now += 31
        await world.numbers("unknown")
        seen.append(world.keys.generation)
    assert [1, 1, 2, 2] == seen


# What may be in a key set

SMALL, P384 = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP384R1())
GOOD = jwks(("e1", EC))["keys"][0]
ODD = {
    "null": None,
    "a text": "key",
    "empty": {},
    "symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "o"},
    "for encryption": {**GOOD, "use": "enc"},
    "another algorithm": {**GOOD, "alg": "ES384"},
    "an algorithm that is a list": {**GOOD, "alg": ["ES256"]},
    "an algorithm that is an object": {**GOOD, "alg": {}},
    "an unknown kind": {**GOOD, "kty": "OKP"},
    "a kind that is a list": {**GOOD, "kty": ["EC"]},
    "a small RSA key": RSAAlgorithm.to_jwk(SMALL.public_key(), as_dict=True),
    "another curve": ECAlgorithm.to_jwk(P384.public_key(), as_dict=True),
    "a private key": ECAlgorithm.to_jwk(EC, as_dict=True),
    "a private RSA key": RSAAlgorithm.to_jwk(RSA, as_dict=True),
    "no point": {**GOOD, "x": "AAAA"},
    "no base64": {**GOOD, "x": "\u00e9"},
    "a number": {**GOOD, "x": 5},
    "RSA without a modulus": {"kty": "RSA", "e": "AQAB"},
    "RSA with a modulus of zero": {"kty": "RSA", "e": "AQAB", "n": "AA"},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_members_are_passed_over(odd):
    """One odd key does not cost the others."""
    assert ["e1"] == [kid for kid, _, _ in usable_keys({"keys": [ODD[odd], GOOD]})]


@pytest.mark.parametrize("kid", [None, 5, ["e1"]])
def test_a_key_without_a_legal_id_is_kept(kid):
    """Tokens that name no key may still be signed by it."""
    assert [None] == [found for found, _, _ in usable_keys({"keys": [{**GOOD, "kid": kid}]})]


def test_the_set_is_bounded():
    """Of a huge set only some keys are kept."""
    assert len(usable_keys({"keys": [GOOD] * 1000})) <= 64


MEMBER = st.dictionaries(
    st.sampled_from(["kty", "use", "alg", "kid", "n", "e", "x", "y", "crv", "d"]),
    st.sampled_from(["RSA", "EC", "sig", "RS256", "ES256", "P-256", "AQAB", "AAAA", GOOD["x"]]) | JSON,
)


@given(st.fixed_dictionaries({"keys": JSON | st.lists(MEMBER | JSON, max_size=4)}) | JSON)
def test_usable_keys_is_total(body):
    """Over arbitrary JSON there is a list of public keys."""
    assert all(hasattr(key, "verify") for _, _, key in usable_keys(body))
