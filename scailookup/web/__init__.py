"""Tornado: routes, handlers that deny by default, answers and errors as JSON."""

from scailookup.web.handler import ANY_CALLER, OPEN, Handler, Need, Permission, Role

__all__ = ["ANY_CALLER", "OPEN", "Handler", "Need", "Permission", "Role"]
