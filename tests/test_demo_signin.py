"""Signing in at the demo's ScaiKey: a code for the right asker, once, and only back to this machine."""

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest

from scailookup.demo.issuer import AUDIENCE, AUTHORIZE_PATH, TOKEN_PATH, Issuer
from scailookup.demo.platform import Platform

BACK = "http://127.0.0.1:8001/console"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
ASKED = {
    "response_type": "code",
    "client_id": AUDIENCE,
    "redirect_uri": BACK,
    "state": "s-1",
    "nonce": "n-1",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
    "login_hint": "viewer",
}

pytestmark = pytest.mark.gen_test


@pytest.fixture
def app(base_url):
    return Platform(Issuer(base_url))


async def _authorize(http_client, base_url, **changes):
    query = urlencode({name: value for name, value in (ASKED | changes).items() if value is not None})
    return await http_client.fetch(
        f"{base_url}{AUTHORIZE_PATH}?{query}", follow_redirects=False, raise_error=False
    )


async def _code(http_client, base_url):
    answer = await _authorize(http_client, base_url)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


async def _token(http_client, base_url, code, **changes):
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "client_id": AUDIENCE,
        "code_verifier": VERIFIER,
    }
    return await http_client.fetch(
        base_url + TOKEN_PATH, method="POST", body=urlencode(form | changes), raise_error=False
    )


async def test_the_browser_comes_back_with_code_and_state(http_client, base_url):
    """302 to where it came from."""
    answer = await _authorize(http_client, base_url)
    back = urlsplit(answer.headers["Location"])
    assert (302, BACK) == (answer.code, f"{back.scheme}://{back.netloc}{back.path}")
    assert ["s-1"] == parse_qs(back.query)["state"]


async def test_without_a_hint_one_is_asked_who_one_is(http_client, base_url):
    """A page with a link for each user; what was asked is escaped in it."""
    answer = await _authorize(http_client, base_url, login_hint=None, state='"><script>')
    assert (200, 4, False) == (answer.code, answer.body.count(b"<a href"), b"<script>" in answer.body)


async def test_a_code_brings_tokens(http_client, base_url, app):
    """The access token is the user's, the id token has the nonce."""
    answer = await _token(http_client, base_url, await _code(http_client, base_url))
    tokens = json.loads(answer.body)
    identity = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    assert "usr_acme_vera" == app.issuer.verify(tokens["access_token"])["sub"]
    assert ("n-1", AUDIENCE) == (identity["nonce"], identity["aud"])


async def test_a_code_is_good_once(http_client, base_url):
    """The second time it is nobody's."""
    code = await _code(http_client, base_url)
    assert [200, 400] == [(await _token(http_client, base_url, code)).code for _ in range(2)]


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "x" * 43},
        {"redirect_uri": BACK + "2"},
        {"client_id": "app_other"},
        {"grant_type": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_code_is_good_for_its_asker_only(http_client, base_url, change):
    """Another verifier, address or client is refused, and the code is gone."""
    code = await _code(http_client, base_url)
    assert 400 == (await _token(http_client, base_url, code, **change)).code
    assert 400 == (await _token(http_client, base_url, code)).code


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/console"},
        {"redirect_uri": "http://192.0.2.1/console"},
        {"client_id": "app_other"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": None},
    ],
    ids=lambda change: next(iter(change.items()))[0],
)
async def test_what_is_not_this_flow_is_refused(http_client, base_url, change):
    """No other machine is sent back to, and nothing weaker is spoken."""
    assert 400 == (await _authorize(http_client, base_url, **change)).code
