"""scailookup plugin: the scopes and queues of ScaiQueue, a module of ScaiGrid."""

from collections.abc import Mapping
from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings
from scailookup.shapes import only, prose, text, whole

_MODULE = "/v1/modules/scaiqueue"
_SCOPE: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "description": "Opaque.", "examples": ["scp_7f3a"]},
    "slug": {"type": "string", "examples": ["billing"]},
    "display_name": {"type": "string", "examples": ["Billing"]},
    "description": {"type": "string", "examples": ["Invoices and reminders"]},
}
_QUEUE: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "description": "Opaque.", "examples": ["que_19c2"]},
    "scope_id": {"type": "string", "examples": ["scp_7f3a"]},
    "slug": {"type": "string", "examples": ["invoices"]},
    "display_name": {"type": "string", "examples": ["Invoices"]},
    "consumer_mode": {
        "type": "string",
        "description": "fifo, priority, deadline or broadcast; absent where the upstream did not say.",
        "examples": ["fifo"],
    },
    "max_retries": {"type": "integer", "examples": [5]},
}


def identity(raw: Mapping[str, Any], name: str) -> str | None:
    """An opaque id as a string; ids are numbers in some stores."""
    value = raw.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def scope(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One scope: id, slug, display_name, description."""
    slug = text(raw, "slug")
    return only(
        {
            "id": identity(raw, "id"),
            "slug": slug,
            "display_name": text(raw, "display_name") or slug,
            "description": prose(raw, "description"),
        }
    )


def consumer_mode(raw: Mapping[str, Any]) -> str | None:
    """ScaiFlow's word for how a queue is read.

    ScaiQueue says competing or broadcast, and for competing consumers the ordering;
    ScaiFlow knows fifo, priority, deadline and broadcast.
    """
    mode = (text(raw, "consumer_mode") or "").lower()
    if mode == "competing":
        return text(raw, "ordering")
    return mode if mode in ("broadcast", "fifo", "priority", "deadline") else None


def queue(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One queue: id, scope_id, slug, display_name, consumer_mode, max_retries."""
    slug = text(raw, "slug")
    return only(
        {
            "id": identity(raw, "id"),
            "scope_id": identity(raw, "scope_id"),
            "slug": slug,
            "display_name": text(raw, "display_name") or slug,
            "consumer_mode": consumer_mode(raw),
            "max_retries": whole(raw.get("max_retries")),
        }
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """ScaiQueue, on ScaiGrid's host."""
    return [
        Upstream(
            name="scaiqueue",
            base_url=settings.grid_url,
            auth=auth.Platform(needs="scaiqueue:view"),
            summary="Queues and the scopes they stand in.",
            lookups=(
                Lookup(
                    "scopes",
                    f"{_MODULE}/scopes",
                    row=scope,
                    summary="Scopes of the tenant.",
                    schema=_SCOPE,
                ),
                Lookup(
                    "scopes/{scope_id}/queues",
                    f"{_MODULE}/scopes/{{scope_id}}/queues",
                    row=queue,
                    filters=(Filter("consumer_mode", "fifo, priority, deadline or broadcast"),),
                    summary="Queues of one scope, the system queues among them.",
                    schema=_QUEUE,
                ),
            ),
        )
    ]
