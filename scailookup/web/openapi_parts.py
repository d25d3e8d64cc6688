"""The parts of the OpenAPI document that no plugin has a say in."""

from __future__ import annotations

from typing import Any

from scailookup.explain import NAMES
from scailookup.lookup.params import MAX_LIMIT

__all__ = ["COMPONENTS", "LOOKUP_ERRORS", "OWN_ROUTES"]

Json = dict[str, Any]

_ERROR: Json = {
    "type": "object",
    "description": "Every failure, whatever its status. `fix` says what to do, and who must do it.",
    "properties": {
        "detail": {
            "type": "object",
            "properties": {
                "error": {"type": "string", "description": "A stable name; programs decide by it."},
                "message": {"type": "string"},
                "fix": {"type": "string"},
                "request_id": {"type": "string"},
                "parameter": {"type": "string", "description": "400: what was refused."},
                "status": {
                    "type": ["integer", "null"],
                    "description": "502: the upstream's status, null when it gave none.",
                },
                "code": {"type": "string", "description": "502: the upstream's code, or one of ours."},
                "retry_after": {"type": "integer", "description": "Seconds, where they are known."},
                "steps": {"type": "array", "description": "401 of /explain: how far the token came."},
            },
            "required": ["error", "message", "fix", "request_id"],
        }
    },
    "required": ["detail"],
}

# Status: what it means, and an example of its body.
_ERRORS: dict[int, tuple[str, Json]] = {
    400: (
        "A query parameter, path value or body was refused; `parameter` names it.",
        {
            "error": "invalid_parameter",
            "message": f"limit must be a whole number from 1 to {MAX_LIMIT}",
            "fix": "This lookup takes each of q, limit at most once.",
            "parameter": "limit",
        },
    ),
    401: (
        "No access token, or a bad one.",
        {
            "error": "unauthenticated",
            "message": "no access token was sent",
            "fix": "Sign in with ScaiKey and send the access token as `Authorization: Bearer <token>`.",
        },
    ),
    403: (
        "The caller lacks the permission or role that `message` names.",
        {
            "error": "forbidden",
            "message": "need scaicore:view",
            "fix": "A tenant_admin must give you a role that carries `scaicore:view` "
            "(tenant_viewer is enough).",
        },
    ),
    412: (
        "There is nothing to sign the upstream call with.",
        {
            "error": "missing_credentials",
            "message": "there is no credential for this tenant",
            "fix": "Sign in with ScaiKey, or have a tenant_admin set a key with "
            "POST /v1/tenants/me/scaigrid_credentials.",
        },
    ),
    500: (
        "A fault of ours; the log holds the cause under the request id.",
        {
            "error": "internal",
            "message": "internal error",
            "fix": "Tell the operator the request id; the log holds the cause under it.",
        },
    ),
    502: (
        "The upstream failed: `<upstream>_auth` when it refused the credential, else `<upstream>_api`.",
        {
            "error": "scaigrid_api",
            "message": "RATE_LIMITED: too many requests",
            "fix": "Wait as `retry_after` says; if it happens often, the operator of scaigrid must "
            "raise the limit.",
            "status": 429,
            "code": "RATE_LIMITED",
            "retry_after": 17,
        },
    ),
    503: (
        "`secrets_unavailable`, `identity_unavailable`, `overloaded` or `plugin_failed`.",
        {
            "error": "identity_unavailable",
            "message": "ScaiKey's signing keys cannot be had",
            "fix": "Try again shortly; if it stays, the operator must check SCAIKEY_BASE_URL or "
            "SCAIKEY_JWKS_URL and that ScaiKey answers (`scailookup check`).",
            "retry_after": 1,
        },
    ),
}
LOOKUP_ERRORS = tuple(_ERRORS)


def _error(status: int) -> Json:
    description, detail = _ERRORS[status]
    answer: Json = {
        "description": description,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": {"detail": {**detail, "request_id": "8398e2ce3f6de553eb543ee5086be0a1"}},
            }
        },
    }
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status in (502, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return answer


def _header(description: str, kind: str = "string") -> Json:
    return {"description": description, "schema": {"type": kind}}


COMPONENTS: Json = {
    "securitySchemes": {
        "scaikey": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A ScaiKey access token, RS256 or ES256.",
        }
    },
    "schemas": {
        "Error": _ERROR,
        "Meta": {
            "type": "object",
            "description": "Beside `data` only when there is something to say.",
            "properties": {
                "truncated": {"const": True, "description": "There is more than could be fetched."},
                "stale": {"const": True, "description": "An older answer, as `Age` says."},
                "dropped": {"type": "integer", "minimum": 1, "description": "Rows that cannot be read."},
            },
        },
    },
    "parameters": {
        "q": {
            "name": "q",
            "in": "query",
            "description": "Part of slug, name or id, in any case.",
            "schema": {"type": "string"},
        },
        "limit": {
            "name": "limit",
            "in": "query",
            "description": "So many rows at the most.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        },
    },
    "headers": {
        "ETag": _header("Strong, over the bytes of the body."),
        "Age": _header("Seconds since the upstream answered.", "integer"),
        "Cache-Status": _header("RFC 9211: what was held, and what was asked."),
        "X-Lookup-Credential": _header("Which credential went upstream: caller, tenant, env or shared."),
        "X-Request-ID": _header("The caller's where it is well formed, else ours."),
    },
    "responses": {f"Error{status}": _error(status) for status in _ERRORS},
}


def _own(operation: str, summary: str, schema: Json, *errors: int, **more: Any) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            **{str(status): {"$ref": f"#/components/responses/Error{status}"} for status in errors},
        },
        **more,
    }


_LIST: Json = {"type": "array", "items": {"type": "object"}}
_STEPS: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"enum": list(NAMES)},
            "status": {"enum": ["ok", "warn", "failed", "skipped"]},
            "message": {"type": "string"},
            "fix": {"type": "string", "description": "What to do, and who must do it."},
            "details": {"type": "object"},
        },
        "required": ["name", "status", "message"],
    },
}
_STATUS: Json = {
    "type": "object",
    "properties": {"status": {"type": "string"}},
    "required": ["status"],
}
# Where paths stand that are below no prefix.
_ROOT = [{"url": "/"}]

OWN_ROUTES: dict[str, Json] = {
    "/lookups": {
        "get": _own(
            "lookups",
            "The catalogue: every upstream, its lookups, parameters and permission; failed plugins by name.",
            {
                "type": "object",
                "properties": {"data": _LIST, "failed": _LIST},
                "required": ["data", "failed"],
            },
            *(401, 403, 500, 503),
            security=[{"scaikey": ["scaicore:view"]}],
        )
    },
    "/upstreams": {
        "get": _own(
            "upstreams",
            "How each upstream does, as this process has seen it over the last minutes.",
            {
                "type": "object",
                "properties": {"span": {"type": "number"}, "step": {"type": "number"}, "data": _LIST},
                "required": ["span", "step", "data"],
            },
            *(401, 403, 500, 503),
            security=[{"scaikey": ["scaicore:view"]}],
        )
    },
    "/explain": {
        "get": _own(
            "explain",
            "How one lookup goes for the caller, step by step; it asks the upstream and keeps nothing.",
            {
                "type": "object",
                "properties": {
                    "lookup": {"type": "string", "description": "Its path in the catalogue."},
                    "status": {"enum": ["ok", "warn", "failed"], "description": "The worst of the steps."},
                    "whole": {
                        "type": "boolean",
                        "description": "Whether all steps are shown: to tenant_admin and super_admin.",
                    },
                    "steps": _STEPS,
                },
                "required": ["lookup", "status", "whole", "steps"],
            },
            *(400, 401, 500, 503),
            security=[{"scaikey": []}],
            parameters=[
                {
                    "name": "lookup",
                    "in": "query",
                    "required": True,
                    "description": "The lookup's path with its values as in its own URL, perhaps a query.",
                    "schema": {"type": "string"},
                    "example": "scaiqueue/scopes/scp_1/queues",
                }
            ],
        )
    },
    "/openapi.json": {"get": _own("openapi", "This document.", {"type": "object"}, 500, security=[])},
    "/healthz": {"servers": _ROOT, "get": _own("healthz", "The process lives.", _STATUS, 500, security=[])},
    "/readyz": {"servers": _ROOT, "get": _own("readyz", "It can serve.", _STATUS, 500, 503, security=[])},
}
