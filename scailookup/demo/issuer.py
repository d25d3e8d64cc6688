"""A ScaiKey that lives as long as the demo: two key pairs, discovery, keys, tokens.

The tokens live 24 hours, not ScaiKey's one, so that a demo outlasts an afternoon.
They are worthless elsewhere: the private keys never leave the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tornado.web import RequestHandler

from scailookup.demo import data

__all__ = [
    "AUDIENCE",
    "AUTHORIZE_PATH",
    "DISCOVERY_PATHS",
    "JWKS_PATH",
    "LIFETIME",
    "TOKEN_PATH",
    "Issuer",
    "demo_tokens",
]

AUDIENCE = "app_scailookup_demo"
LIFETIME = 24 * 3600
AUTHORIZE_PATH = "/api/v1/platform/oauth/authorize"
TOKEN_PATH = "/api/v1/platform/oauth/token"
JWKS_PATH = "/api/v1/platform/oauth/.well-known/jwks.json"
DISCOVERY_PATHS = (
    "/api/v1/platform/oauth/.well-known/openid-configuration",
    "/.well-known/openid-configuration",
)

_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Issuer:
    """Signs with RS256 or ES256, and verifies with the public keys it serves."""

    def __init__(
        self, base_url: str, *, audience: str = AUDIENCE, clock: Callable[[], float] = time.time
    ) -> None:
        self.base_url = base_url
        self.audience = audience
        self._clock = clock
        keys: dict[str, _PrivateKey] = {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }
        self._private = keys
        self._kids = {algorithm: _kid(key.public_key()) for algorithm, key in keys.items()}

    def issue(
        self,
        subject: str,
        tenant: str,
        *,
        roles: tuple[str, ...] = (),
        algorithm: str = "RS256",
        lifetime: float = LIFETIME,
        **claims: Any,
    ) -> str:
        """A signed access token; ``claims`` add to the usual ones or replace them, None leaves one out."""
        now = int(self._clock())
        usual: dict[str, Any] = {
            "iss": self.base_url,
            "aud": self.audience,
            "sub": subject,
            "tenant_id": tenant,
            "iat": now,
            "exp": now + int(lifetime),
            "scope": "openid profile",
            "role": roles[0] if roles else None,
            "roles": list(roles) or None,
        }
        payload = {name: value for name, value in (usual | claims).items() if value is not None}
        headers = {"kid": self._kids[algorithm]}
        return jwt.encode(payload, self._private[algorithm], algorithm=algorithm, headers=headers)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a good token of ours; raises jwt.InvalidTokenError for any other."""
        kid = jwt.get_unverified_header(token).get("kid")
        for algorithm, known in self._kids.items():
            if kid == known:
                return jwt.decode(
                    token,
                    self._private[algorithm].public_key(),
                    algorithms=[algorithm],
                    audience=self.audience,
                    issuer=self.base_url,
                    options={"require": ["exp", "sub", "tenant_id"]},
                )
        raise jwt.InvalidTokenError("signed with a key of nobody we know")

    def jwks(self) -> dict[str, Any]:
        """The public keys, as they are served."""
        return {"keys": [self._jwk(algorithm) for algorithm in self._private]}

    def discovery(self) -> dict[str, Any]:
        """The discovery document, as it is served."""
        return {
            "issuer": self.base_url,
            "jwks_uri": self.base_url + JWKS_PATH,
            "authorization_endpoint": self.base_url + AUTHORIZE_PATH,
            "token_endpoint": self.base_url + TOKEN_PATH,
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(self._private),
        }

    def routes(self) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
        """The open routes of the issuer, for a Tornado application."""
        documents = [(path, self.discovery) for path in DISCOVERY_PATHS] + [(JWKS_PATH, self.jwks)]
        return [(path, _DocumentHandler, {"document": document}) for path, document in documents]

    def _jwk(self, algorithm: str) -> dict[str, Any]:
        key = self._private[algorithm].public_key()
        if isinstance(key, rsa.RSAPublicKey):
            jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
        else:
            jwk = ECAlgorithm.to_jwk(key, as_dict=True)
        return {**jwk, "kid": self._kids[algorithm], "alg": algorithm, "use": "sig"}


class _DocumentHandler(RequestHandler):
    """Serves one JSON document, to pages of any origin too."""

    def set_default_headers(self) -> None:
        """Discovery is asked by the page that signs somebody in."""
        self.set_header("Access-Control-Allow-Origin", "*")

    def initialize(self, document: Callable[[], dict[str, Any]]) -> None:
        self.document = document

    def get(self) -> None:
        """The document as it is now."""
        self.finish(self.document())


def _kid(key: _PublicKey) -> str:
    """Another name for every key, so that no cache takes yesterday's for today's."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()[:16]


def demo_tokens(issuer: Issuer) -> dict[str, str]:
    """The four tokens of the demo: viewer, admin, user and globex (whose is signed with ES256)."""
    return {
        name: issuer.issue(
            user.subject, user.tenant, roles=user.roles, algorithm="ES256" if name == "globex" else "RS256"
        )
        for name, user in data.USERS.items()
    }
