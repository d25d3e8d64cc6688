"""scailookup: read-only lookups into ScaiQueue, ScaiBunker and ScaiGrid, and what plugins add.

What a plugin needs is here: ``Upstream``, ``Lookup``, ``Filter``, ``Param``, ``Tls``,
``Route``, the kinds of ``auth``, ``paging`` and ``layout``, what a gathering coroutine
gets and gives, and ``hookimpl``. See ``docs/design.md`` for the rooms behind it.
"""

from scailookup import auth, layout, paging
from scailookup.declare import Filter, Lookup, Param, Route, Tls, Upstream
from scailookup.gather import Ask, Failed, Gathered, Got, Listed, Question
from scailookup.hookspecs import hookimpl
from scailookup.model import Call, Caller
from scailookup.version import API_VERSION, __version__

__all__ = [
    "API_VERSION",
    "Ask",
    "Call",
    "Caller",
    "Failed",
    "Filter",
    "Gathered",
    "Got",
    "Listed",
    "Lookup",
    "Param",
    "Question",
    "Route",
    "Tls",
    "Upstream",
    "__version__",
    "auth",
    "hookimpl",
    "layout",
    "paging",
]
