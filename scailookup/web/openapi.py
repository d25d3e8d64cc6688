"""The OpenAPI 3.1 document, made of what plugins declare: the same values that make the routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from scailookup.declare import LONGEST_VALUE, Lookup, Param, Route, Upstream
from scailookup.plugins import Plugins
from scailookup.version import __version__
from scailookup.web.guard import OPEN, Need, Permission
from scailookup.web.handler import Handler
from scailookup.web.openapi_parts import COMPONENTS, LOOKUP_ERRORS, OWN_ROUTES
from scailookup.web.router import PREFIXES

__all__ = ["OpenApiHandler", "document", "encoded"]

Json = dict[str, Any]
SECURITY = "scaikey"


class OpenApiHandler(Handler):
    """GET the document; it tells only what the routes tell anybody."""

    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    text: Callable[[], bytes]

    async def get(self) -> None:
        """200 with the document, the same for as long as the process lives."""
        self.set_header("Cache-Control", "no-cache")
        self.send(self.text())


def document(plugins: Plugins) -> Json:
    """Every route with its parameters, answers and errors. Paths are below either prefix."""
    paths: Json = {path: dict(item) for path, item in OWN_ROUTES.items()}
    for _, upstream in plugins.upstreams:
        for lookup in upstream.lookups:
            paths[f"/{upstream.name}/{lookup.name}"] = {"get": _lookup(upstream, lookup)}
    for plugin in plugins.all:
        for route in plugin.routes:
            if issubclass(route.handler, Handler):
                paths[route.path] = _route(plugin.name, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scailookup",
            "version": __version__,
            "summary": "Read-only lookups, answered in one shape.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": prefix} for prefix in PREFIXES],
        "security": [{SECURITY: []}],
        "tags": [_tag(upstream) for _, upstream in plugins.upstreams],
        "paths": paths,
        "components": COMPONENTS,
    }


def _tag(upstream: Upstream) -> Json:
    return {"name": upstream.name} | ({"description": upstream.summary} if upstream.summary else {})


def _lookup(upstream: Upstream, lookup: Lookup) -> Json:
    row: Json = {"type": "object", "properties": _properties(lookup), "required": [lookup.key]}
    answer = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": row},
            "meta": {"$ref": "#/components/schemas/Meta"},
        },
        "required": ["data"],
    }
    content: Json = {"schema": answer}
    example = {name: each["examples"][0] for name, each in lookup.schema.items() if each.get("examples")}
    if lookup.key in example:
        content["example"] = {"data": [example]}
    return {
        "operationId": _operation_id(upstream, lookup),
        "tags": [upstream.name],
        "summary": lookup.summary or f"{upstream.name}/{lookup.name}",
        "security": [{SECURITY: [lookup.permission]}],
        "parameters": [
            *(_path_value(upstream, lookup, name) for name in lookup.fields),
            *({"$ref": f"#/components/parameters/{name}"} for name in ("q", "limit")),
            *(_filter(f.name, f.description) for f in lookup.filters),
            *(_param(param) for param in lookup.params),
        ],
        "responses": {
            "200": {
                "description": "The rows.",
                "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in COMPONENTS["headers"]},
                "content": {"application/json": content},
            },
            "304": {"description": "The caller has them already (`If-None-Match`)."},
            **_errors(*LOOKUP_ERRORS),
        },
    }


def _properties(lookup: Lookup) -> Json:
    return {name: dict(each) for name, each in lookup.schema.items()} or {lookup.key: {"type": "string"}}


def _errors(*statuses: int) -> Json:
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _operation_id(upstream: Upstream, lookup: Lookup) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{upstream.name}_{lookup.name}").strip("_")


def _path_value(upstream: Upstream, lookup: Lookup, name: str) -> Json:
    """A path value, and the lookup that a picker for it is filled by: the one that the route goes through."""
    value: Json = {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"Opaque, 1 to {LONGEST_VALUE} characters, percent-encoded as one segment.",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE},
    }
    above = lookup.name.partition(f"/{{{name}}}")[0]
    source = next((other for other in upstream.lookups if other.name == above), None)
    if source is not None:
        value["x-ms-dynamic-values"] = {
            "operationId": _operation_id(upstream, source),
            "value-collection": "data",
            "value-path": source.key,
            "value-title": "display_name",
            **({"parameters": {n: {"parameter": n} for n in source.fields}} if source.fields else {}),
        }
    return value


def _filter(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description or f"Only rows with this `{name}`, in any case.",
        "schema": {"type": "string"},
    }


def _param(param: Param) -> Json:
    schema: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE}
    if param.choices:
        schema["enum"] = list(param.choices)
    if param.default is not None:
        schema["default"] = param.default
    return {
        "name": param.name,
        "in": "query",
        "required": param.required,
        "description": param.description or f"Handed on to the upstream as `{param.sent_as}`.",
        "schema": schema,
    }


def _route(plugin: str, route: Route) -> Json:
    """A handler of a plugin: its methods, who may, and what the handler says of itself."""
    handler: type[Handler] = route.handler
    item: Json = {}
    for method in handler.methods():
        if method == "HEAD":
            continue
        need = handler.needs.get(method, Permission())
        said = handler.operations.get(method.lower(), {})
        summary = (inspect.getdoc(getattr(handler, method.lower())) or "").partition("\n")[0]
        item[method.lower()] = {
            "operationId": re.sub(r"[^A-Za-z0-9]+", "_", f"{method.lower()}{route.path}").strip("_"),
            "tags": [plugin],
            "summary": summary or f"{method} {route.path}",
            "security": [] if need == OPEN else [{SECURITY: _words(need)}],
            **said,
            "responses": {
                **said.get("responses", {"200": {"description": summary or "Done."}}),
                **_errors(*((500,) if need == OPEN else (401, 403, 500, 503))),
                **(_errors(400) if method != "GET" else {}),
            },
        }
    return item


def _words(need: Need) -> list[str]:
    return [need.name] if isinstance(need, Permission) else []


def encoded(plugins: Plugins) -> Callable[[], bytes]:
    """The document as bytes, made when somebody asks first: most processes are never asked."""
    made: list[bytes] = []

    def text() -> bytes:
        if not made:
            made.append(msgspec.json.encode(document(plugins)))
        return made[0]

    return text
