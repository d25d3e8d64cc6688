"""Who may ask the demo platform, and how often: keys, tokens, roles, the sliding minute."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jwt
from tornado.web import HTTPError

from scailookup.demo import data
from scailookup.demo.issuer import Issuer

__all__ = ["PERMISSIONS", "Access", "Limits", "Principal", "Refused", "Spent"]

_VIEWER = frozenset({"models:list", "scaicore:view", "scaiqueue:view", "scaibunker:create"})
# What a viewer may do in ScaiBunker is not documented; here one may list, or there would be little to see.
PERMISSIONS: Mapping[str, frozenset[str]] = {
    "tenant_viewer": _VIEWER,
    "tenant_user": frozenset({"models:list", "scaibunker:create"}),
    "tenant_admin": _VIEWER | {"scaibunker:admin", "tenant:admin"},
}
"""Role to permissions, as far as the demo needs them."""


class Refused(HTTPError):
    """An answer in ScaiGrid's error shape."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        details: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(status, message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.details = details


@dataclass(frozen=True)
class Principal:
    """Who asks. A key acts for one user of one tenant."""

    subject: str
    tenant: str
    roles: tuple[str, ...]
    key: bool = False

    @property
    def permissions(self) -> frozenset[str]:
        """What the roles allow, looked up at every request."""
        return frozenset().union(*(PERMISSIONS.get(role, frozenset()) for role in self.roles))


class Access:
    """Turns an Authorization header into a Principal."""

    def __init__(self, issuer: Issuer, keys: Mapping[str, str]) -> None:
        self._issuer = issuer
        self._keys = {
            key: Principal(f"usr_{tenant}_service", tenant, ("tenant_viewer",), key=True)
            for tenant, key in keys.items()
        }
        self._roles = {user.subject: user.roles for user in data.USERS.values()}

    def principal(self, authorization: str | None) -> Principal:
        """Who presents this header; raises Refused with a 401."""
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise Refused(401, "AUTH_TOKEN_MISSING", "Send an API key or an access token as a bearer.")
        if credential.startswith("sgk_"):
            if credential not in self._keys:
                raise Refused(401, "AUTH_TOKEN_INVALID", "This API key is not known or was revoked.")
            return self._keys[credential]
        return self._bearer(credential)

    def _bearer(self, token: str) -> Principal:
        try:
            claims = self._issuer.verify(token)
        except jwt.ExpiredSignatureError:
            raise Refused(401, "SESSION_EXPIRED", "The session has expired; sign in again.") from None
        except jwt.InvalidTokenError:
            raise Refused(401, "AUTH_TOKEN_INVALID", "The access token is not valid.") from None
        subject = str(claims["sub"])
        # The platform knows its users; a stranger has the roles the token names.
        roles = self._roles.get(subject) or tuple(claims.get("roles") or ())
        return Principal(subject, str(claims["tenant_id"]), roles)


@dataclass(frozen=True)
class Spent:
    """What is left of a minute; ``reset`` is in seconds (undocumented), and so is ``retry_after``."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool


class Limits:
    """A sliding minute per principal: 60 requests for a key, 120 for a user."""

    KEY, USER, SPAN = 60, 120, 60.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: defaultdict[Principal, deque[float]] = defaultdict(deque)

    def take(self, principal: Principal) -> Spent:
        """Count one request, unless the minute is full."""
        now, limit = self._clock(), self.KEY if principal.key else self.USER
        taken = self._taken[principal]
        while taken and taken[0] <= now - self.SPAN:
            taken.popleft()
        exceeded = len(taken) >= limit
        if not exceeded:
            taken.append(now)
        reset = max(1, -int(-(taken[0] + self.SPAN - now) // 1))
        return Spent(limit, limit - len(taken), reset, exceeded)
