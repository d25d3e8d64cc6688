"""What a caller may: token claims, then roles, then ScaiGrid's own word (contract section 2)."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from scailookup.errors import CallFailed, Forbidden, IdentityUnavailable, Overloaded
from scailookup.identity.tokens import words
from scailookup.model import VIEW, Caller, Trace

__all__ = ["ROLES", "SOURCES", "AskMe", "Permissions", "Profile", "profile_of"]

ME_MEMORY = 60.0
_REMEMBERED = 10_000
_DEEPEST = 3

SOURCES = ("claims", "roles", "scaigrid")
"""Where a permission may come from, in the order in which they are asked."""

ROLES: Mapping[str, frozenset[str]] = {
    VIEW: frozenset({"super_admin", "partner_admin", "tenant_admin", "tenant_viewer"}),
}
"""Which roles carry a permission (platform facts; tenant_user does not view)."""

AskMe = Callable[[Caller, Trace], Awaitable[Any]]
"""Fetch ScaiGrid's ``/v1/me`` with the caller's token: its JSON, or CallFailed."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What ScaiGrid says of a caller."""

    permissions: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


class Permissions:
    """Decides, and remembers ScaiGrid's answers for a minute."""

    def __init__(
        self, sources: Collection[str], ask_me: AskMe, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = frozenset(sources)
        self._ask_me = ask_me
        self._clock = clock
        self._pepper = secrets.token_bytes(16)
        self._known: OrderedDict[bytes, tuple[float, Profile]] = OrderedDict()
        self._flights: dict[bytes, asyncio.Task[Profile]] = {}

    def decide(self, caller: Caller, permission: str, roles: frozenset[str] = frozenset()) -> bool | None:
        """Yes, no, or None when only ScaiGrid can tell. ``roles`` carry the permission besides ROLES."""
        if caller.everything:
            return True
        if "claims" in self._sources:
            if caller.permissions is not None:
                return permission in caller.permissions
            if permission in caller.scopes:
                return True
        if "roles" in self._sources and _carried(caller.roles, permission, roles):
            return True
        if "scaigrid" not in self._sources or caller.token is None:
            return False
        known = self._held(self._mark(caller.token))
        return None if known is None else _grants(known, permission, roles)

    async def require(
        self, caller: Caller, permission: str, trace: Trace, roles: frozenset[str] = frozenset()
    ) -> None:
        """Return when the caller holds ``permission``.

        Raises Forbidden, or IdentityUnavailable when ScaiGrid had to be asked and failed.
        """
        decided = self.decide(caller, permission, roles)
        if decided is None:
            decided = _grants(await self._profile(caller, trace), permission, roles)
        if not decided:
            raise Forbidden(
                f"need {permission}",
                f"A tenant_admin must give you a role that carries `{permission}`"
                + (" (tenant_viewer is enough)." if permission == VIEW else "."),
            )

    def heard(self, caller: Caller) -> tuple[str, ...]:
        """The sources that have a say about a caller: a `permissions` claim leaves none to the others."""
        if "claims" in self._sources and caller.permissions is not None:
            return ("claims",)
        return tuple([name for name in SOURCES if name in self._sources])

    def source(self, caller: Caller, permission: str, roles: frozenset[str] = frozenset()) -> str | None:
        """Which source grants it, by what is known now; None when none does. For explaining.

        ``decide`` is asked with one source more each time: there is no second rule.
        """
        if caller.everything:
            return "development"
        some = copy(self)
        for number, name in enumerate(SOURCES):
            some._sources = self._sources & frozenset(SOURCES[: number + 1])
            if name in some._sources and some.decide(caller, permission, roles):
                return name
        return None

    def require_role(self, caller: Caller, roles: frozenset[str]) -> None:
        """Return when the caller's token names one of ``roles``; raises Forbidden."""
        if not (caller.everything or caller.roles & roles):
            names = " or ".join(sorted(roles))
            raise Forbidden(f"need the role {names}", f"Ask somebody with the role {names} to do it.")

    async def _profile(self, caller: Caller, trace: Trace) -> Profile:
        assert caller.token is not None
        mark = self._mark(caller.token)
        held = self._held(mark)
        if held is not None:
            return held
        flight = self._flights.get(mark)
        if flight is None:
            flight = asyncio.ensure_future(self._ask(mark, caller, trace))
            self._flights[mark] = flight
            flight.add_done_callback(lambda done: self._landed(mark, done))
        return await asyncio.shield(flight)

    def _landed(self, mark: bytes, flight: asyncio.Task[Profile]) -> None:
        self._flights.pop(mark, None)
        if not flight.cancelled():
            flight.exception()  # seen: everybody who waited may have left

    async def _ask(self, mark: bytes, caller: Caller, trace: Trace) -> Profile:
        try:
            profile = profile_of(await self._ask_me(caller, trace))
        except CallFailed as exc:
            if exc.status not in (401, 403):
                raise IdentityUnavailable(
                    f"ScaiGrid could not say what you may ({exc.code})",
                    "Try again shortly; if it stays, the operator must look at ScaiGrid's /v1/me.",
                    retry_after=exc.retry_after or 1,
                ) from None
            profile = Profile()
        except RecursionError:
            raise IdentityUnavailable("ScaiGrid's word on what you may cannot be read") from None
        except Overloaded as exc:
            raise IdentityUnavailable(exc.message, exc.fix) from None
        self._known[mark] = (self._clock() + ME_MEMORY, profile)
        self._known.move_to_end(mark)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return profile

    def _held(self, mark: bytes) -> Profile | None:
        until, profile = self._known.get(mark, (0.0, None))
        return profile if self._clock() < until else None

    def _mark(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._pepper, digest_size=16).digest()


def _grants(profile: Profile, permission: str, roles: frozenset[str]) -> bool:
    return permission in profile.permissions or _carried(profile.roles, permission, roles)


def _carried(held: frozenset[str], permission: str, roles: frozenset[str]) -> bool:
    """Whether one of the roles held carries the permission: everywhere, or where ``roles`` do."""
    return bool(held & ROLES.get(permission, frozenset())) or not held.isdisjoint(roles)


def profile_of(body: Any) -> Profile:
    """Permissions and roles of a ``/v1/me`` answer, wherever it keeps them.

    Its exact JSON is not documented: both may stand at the top, under ``data`` or
    under ``user``, as strings, as objects with a name, or as a map to true.
    """
    places = [body] if isinstance(body, dict) else []
    for place in places:
        places += [inner for name in ("data", "user") if isinstance(inner := place.get(name), dict)]
    permissions = frozenset[str]().union(*(_names(place.get("permissions")) for place in places))
    roles = frozenset[str]().union(*(_names(place.get(n)) for place in places for n in ("role", "roles")))
    return Profile(permissions, roles)


def _names(value: Any, depth: int = 0) -> frozenset[str]:
    if depth > _DEEPEST:
        return frozenset()
    if isinstance(value, dict):
        named = [value.get(n) for n in ("name", "permission", "role", "slug", "code", "id")]
        if any(isinstance(name, str) for name in named):
            return frozenset(name for name in named if isinstance(name, str))
        return frozenset(name for name, held in value.items() if held is True)
    if isinstance(value, list):
        return frozenset[str]().union(
            *(frozenset({v}) if isinstance(v, str) else _names(v, depth + 1) for v in value)
        )
    return words(value)
