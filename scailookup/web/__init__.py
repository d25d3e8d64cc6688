"""Tornado: routes, handlers that deny by default, answers and errors as JSON."""

from scailookup.web.guard import ANY_CALLER, OPEN, Need, Permission, Role
from scailookup.web.handler import Handler

__all__ = ["ANY_CALLER", "OPEN", "Handler", "Need", "Permission", "Role"]
