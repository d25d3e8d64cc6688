"""The demo's ScaiKey: what it serves verifies what it signs."""

import json

import jwt
import pytest

from scailookup.demo.issuer import AUDIENCE, DISCOVERY_PATHS, JWKS_PATH, LIFETIME, Issuer, demo_tokens
from scailookup.demo.platform import Platform


@pytest.fixture
def issuer(base_url):
    return Issuer(base_url)


@pytest.fixture
def app(issuer):
    return Platform(issuer)


async def _served(http_client, url):
    return json.loads((await http_client.fetch(url)).body)


async def _claims(http_client, issuer, token):
    keys = jwt.PyJWKSet.from_dict(await _served(http_client, issuer.base_url + JWKS_PATH))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    algorithms = ["RS256", "ES256"]
    return jwt.decode(token, key, algorithms=algorithms, audience=AUDIENCE, issuer=issuer.base_url)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", DISCOVERY_PATHS)
async def test_discovery_names_the_keys(http_client, issuer, path):
    """Both discovery paths name the issuer and the address of its keys."""
    document = await _served(http_client, issuer.base_url + path)
    assert (issuer.base_url, issuer.base_url + JWKS_PATH) == (document["issuer"], document["jwks_uri"])


@pytest.mark.gen_test
async def test_keys_are_public_only(http_client, issuer):
    """The key set holds one RSA and one EC key and no private part."""
    keys = (await _served(http_client, issuer.base_url + JWKS_PATH))["keys"]
    assert [(k["kty"], k["alg"], "d" in k) for k in keys] == [("RSA", "RS256", False), ("EC", "ES256", False)]


@pytest.mark.gen_test
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_served_keys_verify_tokens(http_client, issuer, algorithm):
    """PyJWT verifies a token of either algorithm with the served keys."""
    token = issuer.issue("usr_x", "tnt_x", algorithm=algorithm)
    assert (await _claims(http_client, issuer, token))["sub"] == "usr_x"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "tenant", "role"),
    [
        ("viewer", "tnt_acme", "tenant_viewer"),
        ("admin", "tnt_acme", "tenant_admin"),
        ("user", "tnt_acme", "tenant_user"),
        ("globex", "tnt_globex", "tenant_viewer"),
    ],
)
async def test_demo_tokens(http_client, issuer, name, tenant, role):
    """Each of the four tokens is for its tenant and carries its one role."""
    claims = await _claims(http_client, issuer, demo_tokens(issuer)[name])
    assert (tenant, role, [role]) == (claims["tenant_id"], claims["role"], claims["roles"])


def test_no_token_grants_by_scope():
    """No demo token says a permission outright: what it may do follows from its role."""
    tokens = demo_tokens(Issuer("http://issuer.test")).values()
    scopes = {jwt.decode(token, options={"verify_signature": False})["scope"] for token in tokens}
    assert {"openid profile"} == scopes


def test_tokens_live_a_day():
    """A token expires 24 hours after it was issued."""
    token = Issuer("http://issuer.test", clock=lambda: 1000.0).issue("usr_x", "tnt_x")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (1000, 1000 + LIFETIME)


def test_a_claim_can_be_left_out():
    """None leaves out a claim that is there otherwise."""
    token = Issuer("http://issuer.test").issue("usr_x", "tnt_x", exp=None)
    assert "exp" not in jwt.decode(token, options={"verify_signature": False})


def test_a_claim_can_be_added():
    """Other claims are signed as they are given."""
    token = Issuer("http://issuer.test").issue("usr_x", "tnt_x", permissions=["a:b"])
    assert jwt.decode(token, options={"verify_signature": False})["permissions"] == ["a:b"]


def test_another_issuers_token_is_refused():
    """A token of an issuer with the same name and other keys does not verify."""
    token = Issuer("http://issuer.test").issue("usr_x", "tnt_x")
    with pytest.raises(jwt.InvalidTokenError):
        Issuer("http://issuer.test").verify(token)


@pytest.mark.parametrize(
    "claims", [{"aud": "app_other"}, {"iss": "http://other.test"}, {"exp": 1}, {"exp": None}]
)
def test_a_token_for_others_is_refused(claims):
    """A wrong audience or issuer and a past or missing expiry do not verify."""
    issuer = Issuer("http://issuer.test")
    with pytest.raises(jwt.InvalidTokenError):
        issuer.verify(issuer.issue("usr_x", "tnt_x", **claims))


def test_key_ids_differ_between_issuers():
    """Keys made at another start have other ids."""
    one, two = (Issuer("http://issuer.test").jwks()["keys"] for _ in range(2))
    assert not {key["kid"] for key in one} & {key["kid"] for key in two}
