"""From an Authorization header to a Caller, and how long that is remembered."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fakes import JSON, FakeClock, FakeFetch, jwks
from harness import encode, public_pem
from hypothesis import given
from hypothesis import strategies as st

from scailookup.errors import CallFailed, IdentityUnavailable, Unauthenticated
from scailookup.identity import MAX_TOKEN, KeySet, Tokens, bearer
from scailookup.identity.tokens import caller_of, words
from scailookup.model import Caller

BASE = "https://scaikey.example"
URL = "https://scaikey.example/keys"
RSA, EC = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


class World:
    """Tokens over a fake ScaiKey with an RSA and an EC key."""

    def __init__(self, **more) -> None:
        self.clock, self.key_clock = FakeClock(time.time()), FakeClock()
        self.fetch = FakeFetch({URL: jwks(("r1", RSA), ("e1", EC))})
        self.keys = KeySet(self.fetch, jwks_url=URL, clock=self.key_clock)
        wanted = {"audience": "app", "base_url": BASE, "issuer": None, **more}
        self.tokens = Tokens(self.keys, clock=self.clock, **wanted)

    async def caller(self, token: str) -> Caller:
        """Who a token is of."""
        return await self.tokens.caller([f"Bearer {token}"])

    def remembered(self, token: str) -> Caller | None:
        """Who a token was of."""
        return self.tokens.remembered([f"Bearer {token}"])

    async def refused(self, token: str) -> str:
        """Why a token is refused."""
        with pytest.raises(Unauthenticated) as caught:
            await self.caller(token)
        return caught.value.message


def claims(**changes) -> dict:
    """Good claims, changed; what is set to None is left out, and a timedelta is a time from now."""
    now = int(time.time())
    good = {"iss": BASE, "aud": "app", "sub": "usr_1", "tenant_id": "tnt_acme", "iat": now, "exp": now + 3600}
    found = {name: value for name, value in {**good, **changes}.items() if value is not None}
    return {n: now + v.total_seconds() if isinstance(v, timedelta) else v for n, v in found.items()}


def token(key=EC, kid: str | None = "e1", header: dict | None = None, **changes) -> str:
    """A signed token."""
    alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    fields = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid else {}), **(header or {})}
    return encode(fields, claims(**changes), key)


@pytest.mark.gen_test
@pytest.mark.parametrize(("key", "kid"), [(EC, "e1"), (RSA, "r1"), (EC, None), (RSA, None)])
async def test_a_good_token(key, kid):
    """RS256 and ES256 verify, with a key id and without."""
    raw = token(key, kid)
    caller = await World().caller(raw)
    assert ("usr_1", "tnt_acme", raw) == (caller.subject, caller.tenant, caller.token)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("base", "issuer", "iss", "good"),
    [
        (BASE, None, BASE, True),
        (BASE, None, f"{BASE}/tenants/tnt_acme", True),
        (BASE, None, f"{BASE}/tenants/tnt_globex", False),
        (BASE, None, f"{BASE}/", False),
        (BASE, None, "https://other.example", False),
        (BASE, "https://login.example", "https://login.example", True),
        (BASE, "https://login.example", BASE, True),
        (BASE, "https://login.example", "https://login.example/tenants/tnt_acme", False),
        (None, "https://login.example", "https://login.example", True),
        (None, "https://login.example", BASE, False),
    ],
)
async def test_issuers(base, issuer, iss, good):
    """The base, its form for the token's own tenant, or exactly SCAIKEY_ISSUER."""
    world = World(base_url=base, issuer=issuer)
    try:
        found = await world.caller(token(iss=iss))
    except Unauthenticated:
        found = None
    assert good is isinstance(found, Caller)


@pytest.mark.gen_test
@pytest.mark.parametrize("iss", [["x"], [BASE], {"a": 1}, 5, "", False])
async def test_an_issuer_that_is_no_text(iss):
    """An issuer of another type is another issuer, not a fault of ours."""
    assert await World().refused(token(iss=iss))


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": None},
        {"aud": {}},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"exp": None},
        {"exp": "soon"},
        {"exp": []},
        {"exp": timedelta(seconds=-120)},
        {"nbf": timedelta(seconds=300)},
        {"nbf": "soon"},
        {"iat": timedelta(seconds=300)},
        {"iat": "yesterday"},
        {"tenant_id": None},
        {"tenant_id": ""},
        {"tenant_id": "a/b"},
        {"tenant_id": ".."},
        {"tenant_id": "a\n"},
        {"tenant_id": "\u00e9"},
        {"tenant_id": "x" * 65},
        {"tenant_id": 5},
        {"tenant_id": ["tnt_acme"]},
    ],
)
async def test_refused_claims(changes):
    """Whatever a claim lacks is a 401."""
    assert await World().refused(token(**changes))


@pytest.mark.gen_test
@pytest.mark.parametrize("exp", [10**400, 10**20, 1e300], ids=["e400", "e20", "float"])
async def test_an_expiry_beyond_all_times(exp):
    """A time that no clock will reach is taken or refused, and never a fault of ours."""
    try:
        found = await World().caller(token(exp=exp))
    except Unauthenticated:
        return
    assert "usr_1" == found.subject


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "app"]},
        {"exp": timedelta(seconds=-30)},
        {"exp": timedelta(seconds=60.5)},
        {"nbf": timedelta(seconds=30)},
        {"iat": timedelta(seconds=30)},
        {"tenant_id": "x" * 64},
        {"tenant_id": "A-z_9"},
    ],
)
async def test_accepted_claims(changes):
    """60 seconds of skew are forgiven, and one audience of several is enough."""
    assert "usr_1" == (await World().caller(token(**changes))).subject


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "forged",
    [
        token(OTHER, "e1"),
        token(EC, "r1"),
        token(RSA, "e1"),
        token(EC, "unknown"),
        token(OTHER, None),
        token(header={"crit": ["x"]}),
        token(header={"kid": 5}),
        encode({"alg": "none", "kid": "e1"}, claims(), None),
        encode({"alg": "HS256", "kid": "r1"}, claims(), b"0" * 64),
        encode({"alg": "PS256", "kid": "r1"}, claims(), RSA),
        token()[:-4] + "AAAA",
        token() + ".x",
        "e30.e30.e30",
        "a.b.c",
    ],
)
async def test_forged(forged):
    """A token that no listed key signed, in one of two algorithms, is refused."""
    assert await World().refused(forged)


@pytest.mark.gen_test
async def test_the_public_key_is_no_password():
    """HS256 with the RSA key's public text as its secret is refused."""
    world, head = World(), {"alg": "HS256", "kid": "r1"}
    key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts = token(RSA, "r1", header=None).split(".")
    raw = encode(head, claims(), b"x" * 64).split(".")[0] + "." + parts[1]
    mac = jwt.utils.base64url_encode(key.sign(raw.encode(), public_pem(RSA))).decode()
    assert await world.refused(f"{raw}.{mac}")


@pytest.mark.gen_test
async def test_no_keys():
    """While ScaiKey never answered it is not the token's fault."""
    world = World()
    world.fetch.answers[URL] = CallFailed("unreachable", "down")
    with pytest.raises(IdentityUnavailable):
        await world.caller(token())


# Memory


@pytest.mark.gen_test
async def test_remembered():
    """A verified token is known without its keys, one never verified is not."""
    world, raw = World(), token()
    found = await world.caller(raw)
    assert (found, None) == (world.remembered(raw), world.remembered(token(sub="usr_2")))


@pytest.mark.gen_test
@pytest.mark.parametrize(("after", "known"), [(59, True), (61, False)])
async def test_remembered_until_it_expires(after, known):
    """Memory ends with the token's time and the skew."""
    world = World()
    raw = token(exp=int(world.clock.now) + 100)
    await world.caller(raw)
    world.clock.now += 100 + after
    assert known is (world.remembered(raw) is not None)


@pytest.mark.gen_test
async def test_a_refusal_is_not_remembered():
    """What was refused is verified anew each time."""
    world = World()
    raw = token(aud="other")
    await world.refused(raw)
    assert None is world.remembered(raw)


@pytest.mark.gen_test
async def test_a_change_of_the_keys_forgets():
    """A token whose key is no longer listed is refused at once after the rotation was seen."""
    world, raw = World(), token()
    await world.caller(raw)
    world.fetch.answers[URL] = jwks(("e2", OTHER))
    await world.caller(token(OTHER, "e2"))
    assert (None, True) == (world.remembered(raw), bool(await world.refused(raw)))


@pytest.mark.gen_test
async def test_a_key_that_was_withdrawn_is_missed_though_all_are_known():
    """Who comes with a remembered token alone has old keys looked for too."""
    world = World()
    good = token()
    await world.caller(good)
    world.fetch.answers[URL] = jwks(("r1", RSA))
    world.key_clock.now += 601
    assert world.remembered(good) is not None
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.remembered(good) is None


@pytest.mark.gen_test
async def test_a_refresh_without_a_change_forgets_nothing():
    """The same keys fetched again leave the memory."""
    world, raw = World(), token()
    await world.caller(raw)
    await world.refused(token(OTHER, "unknown"))
    assert (2, True) == (len(world.fetch.urls), world.remembered(raw) is not None)


@pytest.mark.gen_test
async def test_memory_is_bounded():
    """After ten thousand other tokens the first one is forgotten."""
    world, first = World(), token(sub="first")
    await world.caller(first)
    for n in range(10_000):
        last = token(sub=f"usr_{n}")
        await world.caller(last)
    assert (None, "usr_9999") == (world.remembered(first), world.remembered(last).subject)


@pytest.mark.gen_test
async def test_two_headers_are_refused_whatever_is_remembered():
    """A token known from before does not cover for a second header."""
    world, header = World(), f"Bearer {token()}"
    await world.tokens.caller([header])
    with pytest.raises(Unauthenticated):
        await world.tokens.caller([header, header])


# The header and the claims


@pytest.mark.parametrize("value", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", " Bearer a.b.c\t"])
def test_bearer(value):
    """The scheme is read in any case and blanks around it do not matter."""
    assert "a.b.c" == bearer([value])


@pytest.mark.parametrize(
    ("values", "presented"),
    [
        ([], False),
        (["Basic dTpw"], False),
        ([""], False),
        (["a.b.c"], False),
        (["Bearer a.b.c", "Bearer a.b.c"], True),
        (["Bearer"], True),
        (["Bearer "], True),
        (["Bearer a.b"], True),
        (["Bearer a.b.c.d"], True),
        (["Bearer a.b.c d"], True),
        (["Bearer a.b.c, Bearer a.b.c"], True),
        (["Bearer sgk_live_0123456789"], True),
        (["Bearer skt_0123456789"], True),
        (["Bearer sgk_a.b.c"], True),
        (["Bearer \u00e9.b.c"], True),
        (["Bearer a.b.c\n"], True),
        (["Bearer a.b." + "c" * MAX_TOKEN], True),
    ],
)
def test_refused_headers(values, presented):
    """Anything but one bearer JWT is refused; the token is blamed only when there was one."""
    with pytest.raises(Unauthenticated) as caught:
        bearer(values)
    assert presented is ("invalid_token" in caught.value.headers["WWW-Authenticate"])


@pytest.mark.parametrize(("size", "good"), [(MAX_TOKEN, True), (MAX_TOKEN + 1, False)])
def test_size(size, good):
    """16 KiB are allowed and not a byte more."""
    try:
        found = bearer(["Bearer " + "a.b." + "c" * (size - 4)])
    except Unauthenticated:
        found = ""
    assert (size if good else 0) == len(found)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a b", {"a", "b"}),
        (["a", "b"], {"a", "b"}),
        (["a b"], {"a b"}),
        (["a", 5, None], {"a"}),
        ("", set()),
        (None, set()),
        ({"a": 1}, set()),
        (5, set()),
    ],
)
def test_words(value, found):
    """A claim is a list of texts or one text of words."""
    assert found == words(value)


def test_caller_of():
    """Roles of both claims, scopes and permissions come along."""
    more = {"permissions": "p q", "scope": "s", "role": "r1", "roles": ["r2"]}
    caller = caller_of(claims(**more), "t")
    assert ({"p", "q"}, {"s"}, {"r1", "r2"}) == (caller.permissions, caller.scopes, caller.roles)


@pytest.mark.parametrize(
    ("claim", "read"), [(None, None), ([], frozenset()), ("", frozenset()), (5, frozenset())]
)
def test_a_permissions_claim_that_is_there_counts(claim, read):
    """Only a missing claim is None: an empty one decides."""
    assert read == caller_of(claims(permissions=claim), "t").permissions


def test_a_caller_does_not_show_its_token():
    """The token is in no repr."""
    assert "secret-token" not in repr(caller_of(claims(), "secret-token"))


@given(st.fixed_dictionaries({"sub": JSON, "tenant_id": JSON}, optional={"permissions": JSON, "roles": JSON}))
def test_caller_of_is_total(found):
    """Over arbitrary claims there is a caller or a 401."""
    try:
        caller = caller_of({"exp": 1, **found}, None)
    except Unauthenticated:
        return
    assert caller.tenant.replace("-", "").replace("_", "").isalnum()
