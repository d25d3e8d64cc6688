"""The lookups themselves, the catalogue of them, and the routes of plugins that failed."""

from __future__ import annotations

from typing import Any

import msgspec

from scailookup.declare import Lookup, Param, Upstream
from scailookup.errors import PluginFailed, ScailookupError
from scailookup.lookup import Bound, Lookups, Selection, parse_query, parse_values
from scailookup.lookup.params import MAX_LIMIT
from scailookup.model import Form, Served
from scailookup.plugins import Plugin, Plugins
from scailookup.web.handler import Handler
from scailookup.web.reply import LookupReply, lookup_reply, pack_beforehand

__all__ = ["CatalogueHandler", "FailedPluginHandler", "LookupHandler", "catalogue"]


class LookupHandler(Handler):
    """GET one lookup."""

    upstream: Upstream
    lookup: Lookup
    lookups: Lookups
    failure: Exception | None = None

    async def get(self, **raw: str) -> None:
        """200 with the rows asked for; 304 when the caller has them already."""
        values = parse_values(self.lookup, raw)
        selection = parse_query(self.request.query, self.lookup)
        bound = Bound(self.upstream, self.lookup, values, selection.handed)
        assert self.caller is not None
        if self.failure is not None:
            raise self.failure  # asked already, on the short way
        served = await self.lookups.answer(bound, self.caller, self.trace)
        self.web.history.answered(self.upstream.name, served.outcome)
        self.outcome = served.outcome
        reply = await self._reply(served, selection)
        self.clear_header("Vary")
        for name, value in reply.headers:
            self.set_header(name, value)
        self.set_status(reply.status)
        self.finish(reply.body or None)

    async def _reply(self, served: Served, selection: Selection) -> LookupReply:
        """The answer's bytes: the ready ones, or those of the selection."""
        if not selection.everything:
            rows = selection.apply(served.answer.rows(), self.lookup.key)
            served = served._replace(form=Form(served.answer.with_rows(msgspec.json.encode(rows))))
        request = self.request.headers
        await pack_beforehand(served, request)
        return lookup_reply(
            served,
            accept_encoding=request.get("Accept-Encoding", ""),
            if_none_match=request.get("If-None-Match"),
            started=self.started,
            vary_origin=bool(self.web.cors_origins),
            microcache=self.web.microcache,
            expires=self.caller.expires if self.caller else 0.0,
        )


class FailedPluginHandler(Handler):
    """503 for every route of a plugin that failed."""

    plugin: Plugin

    async def get(self, **raw: str) -> None:
        """Always PluginFailed."""
        raise failed(self.plugin)


def failed(plugin: Plugin) -> ScailookupError:
    """The error of a route whose plugin is not there; the reason stays in log and catalogue."""
    return PluginFailed(
        f"the plugin {plugin.name} did not load",
        f"The operator must mend or disable {plugin.name} of {plugin.distribution} {plugin.version} "
        "(`scailookup plugins` says why it failed).",
    )


class CatalogueHandler(Handler):
    """GET every lookup there is."""

    plugins: Plugins

    async def get(self) -> None:
        """200 with one entry per upstream, and the failed plugins by name."""
        self.send_json(catalogue(self.plugins))


def catalogue(plugins: Plugins) -> dict[str, Any]:
    """``data``: upstreams with their lookups; ``failed``: plugins that did not load."""
    return {
        "data": [
            {
                "name": upstream.name,
                "summary": upstream.summary,
                "plugin": {"name": p.name, "distribution": p.distribution, "version": p.version},
                "lookups": [_entry(upstream, lookup) for lookup in upstream.lookups],
            }
            for p, upstream in plugins.upstreams
        ],
        "failed": [failure._asdict() for failure in plugins.failures],
    }


def _entry(upstream: Upstream, lookup: Lookup) -> dict[str, Any]:
    path = [
        {"name": n, "in": "path", "required": True, "description": "1 to 256 characters"}
        for n in lookup.fields
    ]
    query = [
        {"name": "q", "in": "query", "description": "part of slug, name or id, in any case"},
        {"name": "limit", "in": "query", "description": f"1 to {MAX_LIMIT} rows"},
        *({"name": f.name, "in": "query", "description": f.description} for f in lookup.filters),
        *(_param(param) for param in lookup.params),
    ]
    return {
        "name": lookup.name,
        "path": f"/{upstream.name}/{lookup.name}",
        "summary": lookup.summary,
        "permission": lookup.permission,
        "parameters": [*path, *query],
    }


def _param(param: Param) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": param.name, "in": "query", "description": param.description}
    if param.required:
        entry["required"] = True
    if param.choices:
        entry["choices"] = list(param.choices)
    if param.default is not None:
        entry["default"] = param.default
    return entry
