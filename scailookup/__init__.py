"""scailookup: read-only lookups into ScaiQueue, ScaiBunker and ScaiGrid, and what plugins add.

What a plugin needs is here: ``Upstream``, ``Lookup``, ``Filter``, ``Route``, the
kinds of ``auth`` and ``hookimpl``. See ``docs/design.md`` for the rooms behind it.
"""

from scailookup import auth
from scailookup.declare import Filter, Lookup, Route, Upstream
from scailookup.hookspecs import hookimpl
from scailookup.model import Call, Caller
from scailookup.version import __version__

__all__ = ["Call", "Caller", "Filter", "Lookup", "Route", "Upstream", "__version__", "auth", "hookimpl"]
