"""Contract section 2: algorithms, keys, and tokens that were tampered with."""

from __future__ import annotations

from typing import Any

import pytest

from .support import API_MODELS, Site, ec_key, encode, public_pem, refused, rsa_key

FOREIGN = rsa_key("foreign")


def test_wrong_key(site: Site) -> None:
    """A token signed with a key that ScaiKey never published is 401."""
    refused(site, site.get(API_MODELS, site.issuer.token(key=FOREIGN)))


@pytest.mark.parametrize(
    ("alg", "kid", "key"),
    [
        ("none", "rsa-1", None),
        ("HS256", "rsa-1", public_pem(rsa_key("rsa-1"))),
        ("HS256", "ec-1", public_pem(ec_key("ec-1"))),
        ("HS256", "rsa-1", b""),
        ("RS384", "rsa-1", rsa_key("rsa-1")),
        ("RS512", "rsa-1", rsa_key("rsa-1")),
        ("PS256", "rsa-1", rsa_key("rsa-1")),
        ("ES256", "rsa-1", ec_key("ec-1")),
        ("RS256", "ec-1", rsa_key("rsa-1")),
        ("ES256", "ec-1", ec_key("foreign")),
    ],
)
def test_algorithm(site: Site, alg: str, kid: str, key: Any) -> None:
    """Only RS256 and ES256 with a key of their own kind are good."""
    refused(site, site.get(API_MODELS, encode({"alg": alg, "kid": kid}, site.issuer.claims(), key)))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": 7},
        {"kid": ["rsa-1"]},
        {"kid": "../../etc/passwd"},
        {"kid": ""},
        {"kid": "x" * 4000},
        {"jku": "http://127.0.0.1:1/jwks.json", "kid": "mine"},
        {"crit": ["exp"], "kid": "mine"},
        {"jwk": {"kty": "oct", "k": "AAAA"}, "kid": "mine"},
    ],
    ids=str,
)
def test_foreign_keys_by_header(site: Site, header: dict[str, Any]) -> None:
    """Nothing in a token's header makes a foreign key good, or a fault of ours."""
    refused(site, site.get(API_MODELS, site.issuer.token(header=header, key=FOREIGN)))


@pytest.mark.parametrize("payload", [[], ["tnt_acme"], "text", 7, None, {}])
def test_payload_that_is_no_claims_set(site: Site, payload: Any) -> None:
    """A signed payload that is no set of claims is 401."""
    token = encode({"alg": "RS256", "kid": "rsa-1"}, payload, rsa_key("rsa-1"))

    refused(site, site.get(API_MODELS, token))


@pytest.mark.parametrize("tampered", ["payload", "signature", "no signature", "four parts", "padding"])
def test_tampered_token(site: Site, tampered: str) -> None:
    """A token that was changed after signing is 401."""
    head, payload, signature = site.issuer.token().split(".")
    other = site.issuer.token(tenant_id="tnt_globex").split(".")[1]
    forms = {
        "payload": f"{head}.{other}.{signature}",
        "signature": f"{head}.{payload}.{signature[::-1]}",
        "no signature": f"{head}.{payload}.",
        "four parts": f"{head}.{payload}.{signature}.{signature}",
        "padding": f"{head}.{payload}.{signature}!!",
    }

    refused(site, site.get(API_MODELS, forms[tampered]))
