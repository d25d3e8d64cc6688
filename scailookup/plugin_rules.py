"""The rules that a plugin as a whole must keep; each check raises PluginError with the reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pluggy

from scailookup import hookspecs
from scailookup.auth import Anonymous, ClientCredentials
from scailookup.declare import Lookup, Route, Upstream
from scailookup.errors import PluginError
from scailookup.settings import is_loopback
from scailookup.version import API_VERSION

__all__ = ["check_api", "check_hooks", "check_names", "check_routes", "unprotected"]

_API = re.compile(r"(\d{1,4})\.(\d{1,4})")
_FIELD = re.compile(r"\{[^}]*\}")
_HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("scailookup_"))
_KINDS = {
    "generator": inspect.isgeneratorfunction,
    "coroutine": inspect.iscoroutinefunction,
    "async_generator": inspect.isasyncgenfunction,
}


def check_api(module: Any) -> None:
    """``scailookup_api_version``, where the module says it, must be a version that we have."""
    wanted = getattr(module, "scailookup_api_version", API_VERSION)
    match = _API.fullmatch(wanted) if isinstance(wanted, str) else None
    if match is None:
        raise PluginError(f'scailookup_api_version must be a text such as "{API_VERSION}"')
    major, minor = (int(part) for part in match.groups())
    ours = tuple(int(part) for part in API_VERSION.split("."))
    if major != ours[0] or minor > ours[1]:
        raise PluginError(f"it asks for plugin API {wanted}; this scailookup has {API_VERSION}")


def check_hooks(manager: pluggy.PluginManager, module: Any) -> None:
    """Every hook is a marked, plain function."""
    implementations = {impl.name: impl for impl in manager.get_hookcallers(module) or ()}
    for name in _HOOKS:
        function = getattr(module, name, None)
        if callable(function) and name not in implementations:
            raise PluginError(f"{name} is not marked with @hookimpl, so nobody would call it")
        for kind, is_kind in _KINDS.items():
            if function is not None and is_kind(function):
                result = "None" if name == "scailookup_called" else "a list"
                raise PluginError(
                    f"{name} answered a {kind}, not {result}: write it as a plain function that returns it"
                )


def check_names(upstreams: list[Upstream], taken: Mapping[str, str]) -> None:
    """No upstream has a name that ``taken`` (name to plugin) holds, no route stands for two lookups."""
    held = dict(taken)
    for source in [source for up in upstreams for look in up.lookups for source in look.sources]:
        if source.name in held:
            raise PluginError(f"the upstream {source.name} is taken by plugin {held[source.name]}")
    for upstream in upstreams:
        if upstream.name in held:
            raise PluginError(f"the upstream {upstream.name} is taken by plugin {held[upstream.name]}")
        held[upstream.name] = "the same plugin"
        _check_lookups(upstream)


def _check_lookups(upstream: Upstream) -> None:
    fields: dict[str, str] = {}
    shapes: set[str] = set()
    for lookup in upstream.lookups:
        shape = _FIELD.sub("{}", lookup.name)
        if shape in shapes:
            raise PluginError(f"the route /{upstream.name}/{lookup.name} is declared twice")
        shapes.add(shape)
        # The table of routes has one name for the value at one place.
        parts = lookup.name.split("/")
        for number, part in enumerate(parts):
            place = _FIELD.sub("{}", "/".join(parts[: number + 1]))
            if part.startswith("{") and fields.setdefault(place, part) != part:
                raise PluginError(
                    f"/{upstream.name}/{lookup.name}: {part} is called {fields[place]} in another lookup"
                )
    try:
        msgspec.json.encode([upstream.summary, [_texts(lookup) for lookup in upstream.lookups]])
    except (TypeError, ValueError):
        raise PluginError(f"upstream {upstream.name}: a summary or description is no text") from None


def _texts(lookup: Lookup) -> list[Any]:
    described: list[Any] = [*lookup.filters, *lookup.params]
    return [lookup.summary, *(each.description for each in described)]


def unprotected(upstream: Upstream) -> list[str]:
    """The addresses of ``upstream`` to which a credential goes in plain http, loopback aside."""
    if isinstance(upstream.auth, Anonymous):
        return []
    urls = [upstream.base_url]
    if isinstance(upstream.auth, ClientCredentials):
        urls.append(upstream.auth.token_url)
    parts = [(url, urlsplit(url)) for url in urls]
    return [url for url, part in parts if part.scheme == "http" and not is_loopback(part.hostname or "")]


def check_routes(routes: list[Route], base: type[Any], taken: Mapping[str, str]) -> None:
    """Every route has a handler that is a ``base``, and a path that ``taken`` (path to plugin) lacks."""
    held = dict(taken)
    for route in routes:
        if not (isinstance(route.handler, type) and issubclass(route.handler, base)):
            raise PluginError(f"the handler of {route.path} is no subclass of scailookup.web.{base.__name__}")
        if route.path in held:
            raise PluginError(f"the route {route.path} is taken by plugin {held[route.path]}")
        held[route.path] = "the same plugin"
