"""scailookup plugin: events and checkpoints of ScaiCore, a module of ScaiGrid."""

from collections.abc import Mapping
from typing import Any

from scailookup import Lookup, Param, Upstream, auth, hookimpl, layout
from scailookup.settings import Settings
from scailookup.shapes import only, prose, text, whole

_MODULE = "/v1/modules/scaicore"
# The most that ScaiCore gives at once.
_PAGE = 500
_CORE = Param("core_id", "Those of one core.")
_STATUSES = ("pending", "resolved", "failed")


def listed(name: str) -> layout.List:
    """ScaiCore's envelope has the list's own name in ``data``; the usual ones are taken too."""
    return layout.List(at=(f"data.{name}", name, "data.items", "data", "items", ""))


def _id(raw: Mapping[str, Any], *names: str) -> str | None:
    """The first of ``names`` that is an id: a text, or a number."""
    found = text(raw, *names)
    if found is not None:
        return found
    numbers = [whole(raw.get(name)) for name in names if type(raw.get(name)) is int]
    return str(numbers[0]) if numbers else None


def event(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One event: id, core_id, type, status, message, created_at; what it carries besides stays behind."""
    return only(
        {
            "id": _id(raw, "id", "event_id"),
            "core_id": _id(raw, "core_id"),
            "type": text(raw, "type", "event_type"),
            "status": text(raw, "status"),
            "message": prose(raw, "message"),
            "created_at": text(raw, "created_at", "timestamp", "occurred_at"),
        }
    )


def checkpoint(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One checkpoint: id, core_id, type, status, message, created_at, resolved_at."""
    row = event(raw)
    row.pop("id", None)
    return only(
        {
            "id": _id(raw, "id", "checkpoint_id"),
            **row,
            "type": text(raw, "type", "checkpoint_type"),
            "resolved_at": text(raw, "resolved_at"),
        }
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """ScaiCore, on ScaiGrid's host."""
    return [
        Upstream(
            name="scaicore",
            base_url=settings.grid_url,
            auth=auth.Platform(needs="scaicore:view"),
            summary="What the cores of the tenant did and what they wait for.",
            lookups=(
                Lookup(
                    "events",
                    f"{_MODULE}/events?limit={_PAGE}",
                    row=event,
                    tenant_field="tenant_id",
                    layout=listed("events"),
                    params=(_CORE,),
                    summary="Events of the tenant's cores, as ScaiCore orders them.",
                ),
                Lookup(
                    "checkpoints",
                    f"{_MODULE}/checkpoints",
                    row=checkpoint,
                    tenant_field="tenant_id",
                    layout=listed("checkpoints"),
                    params=(_CORE, Param("status", "State of a checkpoint.", choices=_STATUSES)),
                    summary="Checkpoints of the tenant's cores.",
                ),
            ),
        )
    ]
