"""Who asks and whether they may: the one place every request goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scailookup.errors import Forbidden
from scailookup.identity import Permissions, Tokens
from scailookup.model import VIEW, Caller, Trace
from scailookup.web.plain import Fields

__all__ = ["ANY_CALLER", "OPEN", "Authenticated", "Guard", "Need", "OpenOnly", "Permission", "Role"]


@dataclass(frozen=True, slots=True)
class Need:
    """What a method needs. The plain one is met by everybody."""


@dataclass(frozen=True, slots=True)
class Authenticated(Need):
    """Any caller with a good token."""


@dataclass(frozen=True, slots=True)
class Permission(Need):
    """A caller who holds ``name``; ``roles`` carry it here besides those that carry it everywhere."""

    name: str = VIEW
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Role(Need):
    """A caller with one of ``names``."""

    names: frozenset[str]


OPEN = Need()
ANY_CALLER = Authenticated()


class Guard:
    """Who asks and whether they may: the one place every handler goes through.

    ``tokens`` is None when authentication is switched off; everybody is then
    ``principal``.
    """

    def __init__(self, tokens: Tokens | None, permissions: Permissions, principal: Caller) -> None:
        self._tokens = tokens
        self._permissions = permissions
        self._principal = principal

    def recall(self, headers: Fields, need: Need) -> Caller | None:
        """The caller, when memory alone can tell that the need is met; None when it cannot."""
        caller: Caller | None = self._principal
        if self._tokens is not None:
            caller = self._tokens.remembered(headers.get_list("Authorization"))
        if caller is None or not isinstance(need, Permission):
            return None
        return caller if self._permissions.decide(caller, need.name, need.roles) else None

    async def admit(self, headers: Fields, need: Need, trace: Trace) -> Caller | None:
        """The caller, when the need is met; None on an open route.

        Raises Unauthenticated, Forbidden or IdentityUnavailable.
        """
        if need == OPEN:
            return None
        caller = await self.whose(headers.get_list("Authorization"))
        if isinstance(need, Permission):
            await self._permissions.require(caller, need.name, trace, need.roles)
        elif isinstance(need, Role):
            self._permissions.require_role(caller, need.names)
        return caller

    async def whose(self, values: Sequence[str]) -> Caller:
        """The caller of Authorization headers; raises Unauthenticated or IdentityUnavailable."""
        return self._principal if self._tokens is None else await self._tokens.caller(values)


class OpenOnly(Guard):
    """Lets nobody in but to what is open: for a process that knows no callers."""

    def __init__(self) -> None:
        """It has nothing to ask."""

    def recall(self, headers: Fields, need: Need) -> Caller | None:
        """Nobody is known."""
        return None

    async def admit(self, headers: Fields, need: Need, trace: Trace) -> Caller | None:
        """None on an open route; raises Forbidden elsewhere."""
        if need != OPEN:
            raise Forbidden("nobody may come in here", "Ask the public listener.")
        return None
