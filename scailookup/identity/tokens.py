"""From an Authorization header to a Caller: verified once, remembered until it expires."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from scailookup.errors import Unauthenticated
from scailookup.identity.keys import ALGORITHMS, KeySet
from scailookup.model import Caller

__all__ = ["CHECKS", "MAX_TOKEN", "SKEW", "Tokens", "bearer", "caller_of"]

CHECKS = ("header", "signature", "claims", "expiry", "audience", "tenant", "issuer")
"""What is looked at of a token, in this order; the first that fails ends it (``Unauthenticated.check``)."""

MAX_TOKEN = 16 * 1024
SKEW = 60
_REMEMBERED = 10_000
_NEVER = 2**53
_MOST_TRIED = 8
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TIMES = ("exp", "nbf", "iat")
_OPTIONS: Any = {"require": ["exp", "sub", "iss", "aud"], "verify_iss": False}


def bearer(values: Sequence[str]) -> str:
    """The token of the one Authorization header; raises Unauthenticated."""
    if not values:
        raise Unauthenticated("no access token was sent", presented=False)
    if len(values) > 1:
        raise Unauthenticated("more than one Authorization header was sent")
    scheme, _, token = values[0].strip(" \t").partition(" ")
    token = token.strip(" \t")
    if scheme.lower() != "bearer":
        raise Unauthenticated("the Authorization header is not of the form `Bearer <token>`", presented=False)
    if len(token) > MAX_TOKEN:
        raise Unauthenticated("the access token is larger than 16 KiB")
    if token.startswith(("sgk_", "skt_")):
        raise Unauthenticated("a platform key is not an access token")
    if not _JWT.fullmatch(token):
        raise Unauthenticated("the access token is not a JWT")
    return token


class Tokens:
    """Verifies ScaiKey tokens: RS256 or ES256, issuer, audience, times, tenant."""

    def __init__(
        self,
        keys: KeySet,
        *,
        audience: str,
        base_url: str | None,
        issuer: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._base_url = base_url
        self._issuer = issuer
        self._clock = clock
        self._pepper = secrets.token_bytes(16)
        self._known: OrderedDict[bytes, Caller] = OrderedDict()
        self._generation = -1

    def remembered(self, values: Sequence[str]) -> Caller | None:
        """The caller of Authorization headers verified before, while token and key stand."""
        if len(values) != 1:
            return None
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        mark = self._mark(values[0])
        caller = self._known.get(mark)
        if caller is None:
            return None
        if self._clock() >= caller.expires + SKEW:
            del self._known[mark]
            return None
        self._known.move_to_end(mark)
        self._keys.keep_fresh()  # a key that was withdrawn must not stay good for whoever is known
        return caller

    async def caller(self, values: Sequence[str]) -> Caller:
        """The caller of the Authorization headers ``values``.

        Raises Unauthenticated, or IdentityUnavailable without keys.
        """
        known = self.remembered(values)
        if known is not None:
            return known
        token = bearer(values)
        algorithm, kid = _header(token)
        keys = await self._keys.find(kid, algorithm)
        if not keys:
            raise Unauthenticated(
                "the access token is signed with a key that ScaiKey does not list", check="signature"
            )
        caller = self._verify(token, algorithm, keys)
        self.remembered(values)  # forget what older keys signed before adding to it
        self._known[self._mark(values[0])] = caller
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _verify(self, token: str, algorithm: str, keys: Sequence[Any]) -> Caller:
        for key in keys[:_MOST_TRIED]:
            try:
                claims = jwt.decode(
                    token, key, algorithms=[algorithm], audience=self._audience, leeway=SKEW, options=_OPTIONS
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError as exc:
                reason, check = _reason(exc)
                raise Unauthenticated(reason, check=check) from None
            except (ValueError, TypeError, OverflowError, RecursionError):
                raise Unauthenticated("the access token cannot be read", check="claims") from None
            return self._accept(claims, token)
        raise Unauthenticated("the access token's signature does not verify", check="signature")

    def _accept(self, claims: dict[str, Any], token: str) -> Caller:
        # RFC 7519: a time is a number. PyJWT takes its digits in a string, too.
        if any(isinstance(claims.get(name), str) for name in _TIMES):
            raise Unauthenticated("a time in the access token is not a number", check="expiry")
        caller = caller_of(claims, token)
        accepted = [self._issuer]
        if self._base_url:
            accepted += [self._base_url, f"{self._base_url}/tenants/{caller.tenant}"]
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in accepted:
            raise Unauthenticated("the access token is of another issuer", check="issuer")
        return caller

    def _mark(self, header: str) -> bytes:
        """What a header is remembered under: its hash, so that no token lies in the table."""
        return hashlib.blake2b(header.encode(), key=self._pepper, digest_size=16).digest()


def _header(token: str) -> tuple[str, str | None]:
    """Algorithm and key id of an unverified token."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthenticated("the access token cannot be read") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated("the access token is not signed with RS256 or ES256")
    if "crit" in header:
        raise Unauthenticated("the access token asks for an extension that is not understood")
    return algorithm, kid if isinstance(kid, str) else None


def caller_of(claims: dict[str, Any], token: str | None) -> Caller:
    """The Caller that verified claims describe; raises Unauthenticated without subject or tenant."""
    subject, tenant = claims.get("sub"), claims.get("tenant_id")
    if not isinstance(subject, str) or not subject:
        raise Unauthenticated("the access token names no subject", check="tenant")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise Unauthenticated("the access token names no legal tenant_id", check="tenant")
    permissions = claims.get("permissions")
    return Caller(
        subject=subject,
        tenant=tenant,
        token=token,
        permissions=None if permissions is None else words(permissions),
        scopes=words(claims.get("scope")),
        roles=words(claims.get("role")) | words(claims.get("roles")),
        # A time that no float holds is as good as never.
        expires=float(min(int(claims["exp"]), _NEVER)),
    )


def words(value: Any) -> frozenset[str]:
    """The words of a claim: a list of strings, or one string of words."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(word for word in value if isinstance(word, str))
    return frozenset()


_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (jwt.ExpiredSignatureError, "the access token has expired", "expiry"),
    (jwt.ImmatureSignatureError, "the access token is not valid yet", "expiry"),
    (jwt.InvalidIssuedAtError, "the access token's iat is not a time", "expiry"),
    (jwt.InvalidAudienceError, "the access token is for another audience", "audience"),
    (jwt.MissingRequiredClaimError, "the access token lacks a required claim", "claims"),
    (jwt.PyJWTError, "the access token cannot be read", "claims"),
)


def _reason(exc: jwt.PyJWTError) -> tuple[str, str]:
    """What is wrong, and which check found it."""
    return next((text, check) for kind, text, check in _REASONS if isinstance(exc, kind))
