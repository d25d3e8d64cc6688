"""The lookups themselves, the catalogue of them, and the routes of plugins that failed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import msgspec

from scailookup.declare import Lookup, Upstream
from scailookup.errors import PluginFailed, ScailookupError
from scailookup.lookup import Bound, Lookups, parse_query, parse_value
from scailookup.lookup.params import MAX_LIMIT
from scailookup.model import Answer, Row
from scailookup.plugins import Plugin, Plugins
from scailookup.web.handler import Handler

__all__ = ["CatalogueHandler", "FailedPluginHandler", "LookupHandler", "catalogue", "encode"]


def encode(rows: Sequence[Row], answer: Answer) -> bytes:
    """The body: ``data``, and ``meta`` only when there is something to say."""
    meta: dict[str, Any] = {}
    if answer.truncated:
        meta["truncated"] = True
    if answer.dropped:
        meta["dropped"] = answer.dropped
    return msgspec.json.encode({"data": rows, "meta": meta} if meta else {"data": rows})


class LookupHandler(Handler):
    """GET one lookup."""

    upstream: Upstream
    lookup: Lookup
    lookups: Lookups

    async def get(self, **raw: str) -> None:
        """200 with the rows asked for; 304 when the caller has them already."""
        values = {name: parse_value(name, raw[name]) for name in self.lookup.fields}
        selection = parse_query(self.request.query, self.lookup)
        bound = Bound(self.upstream, self.lookup, values)
        assert self.caller is not None
        answer = await self.lookups.answer(bound, self.caller, self.trace)
        body = encode(selection.apply(answer.rows, self.lookup.key), answer)
        self._headers_of(answer, body)
        if self.check_etag_header():
            self.set_status(304)
            self.finish()
        else:
            self.send(body)

    def _headers_of(self, answer: Answer, body: bytes) -> None:
        self.set_header("ETag", f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"')
        self.set_header("Age", "0")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Cache-Status", "scailookup; fwd=miss")
        self.set_header("Vary", ", ".join(["Authorization, Accept-Encoding", *self.get_vary()]))
        if answer.credential != "none":
            self.set_header("X-Lookup-Credential", answer.credential)
        total = (perf_counter() - self.started) * 1000
        self.set_header(
            "Server-Timing", f"upstream;dur={answer.upstream_seconds * 1000:.1f}, total;dur={total:.1f}"
        )

    def get_vary(self) -> list[str]:
        """What varies besides: the origin, where browsers are let in."""
        return ["Origin"] if self.web.cors_origins else []


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
        "failed": [
            {
                "name": p.name,
                "distribution": p.distribution,
                "version": p.version,
                "entry_point": p.entry_point,
                "reason": p.reason,
            }
            for p in plugins.failed
        ],
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
    ]
    return {
        "name": lookup.name,
        "path": f"/{upstream.name}/{lookup.name}",
        "summary": lookup.summary,
        "permission": lookup.permission,
        "parameters": [*path, *query],
    }
