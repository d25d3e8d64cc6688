"""scailookup plugin: the active bunkers of ScaiBunker, a module of ScaiGrid."""

from collections.abc import Mapping
from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings
from scailookup.shapes import only, text

_ALIASES = {"bunker_id": "id", "image_ref": "image", "lifecycle": "lifecycle_mode"}
_FIRST = ("bunker_id", "image_ref", "lifecycle", "status")
_ACTIVE = frozenset({"running", "ready"})
_TERMINAL = frozenset({"terminated", "terminating", "failed", "error", "deleted"})
# The upstream's other fields stand beside these.
_ROW: dict[str, dict[str, Any]] = {
    "bunker_id": {"type": "string", "examples": ["bnk_51d0"]},
    "image_ref": {"type": "string", "examples": ["registry.example/tools/python:3.12"]},
    "lifecycle": {"type": "string", "examples": ["persistent"]},
    "status": {"type": "string", "examples": ["running"]},
}
# Environments hold secrets. A plain text under `env` is a name such as "production".
_ENVIRONMENTS = frozenset({"env", "environment"})


def without_env(value: Any) -> Any:
    """``value`` without environment variables at any depth, however they are spelled."""
    if isinstance(value, list):
        return [without_env(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: without_env(inner) for name, inner in value.items() if not _is_env(name, inner)}


def _is_env(name: str, value: Any) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    return plain in ("envvars", "environmentvariables") or (
        plain in _ENVIRONMENTS and isinstance(value, dict | list)
    )


def bunker(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One bunker: bunker_id, image_ref, lifecycle, status and the upstream's other fields."""
    row: dict[str, Any] = without_env(only(raw))
    for name, alias in _ALIASES.items():
        if row.get(name) in (None, "") and alias in row:
            row[name] = row.pop(alias)
    head: dict[str, Any] = {name: row.pop(name) for name in _FIRST if name in row}
    for name in _FIRST[1:]:
        if text(head, name) is None:
            head.pop(name, None)
    return head | row


def active(row: Mapping[str, Any]) -> bool:
    """Whether a bunker is offered: it runs, or it is persistent and has not come to its end."""
    status = str(row.get("status", "")).lower()
    return status in _ACTIVE or (
        str(row.get("lifecycle", "")).lower() == "persistent" and status not in _TERMINAL
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """ScaiBunker, on ScaiGrid's host."""
    return [
        Upstream(
            name="scaibunker",
            base_url=settings.grid_url,
            # There is no scaibunker:view: listing one's own comes with create.
            auth=auth.Platform(needs="scaibunker:create"),
            summary="Sandboxes that can be used now.",
            lookups=(
                Lookup(
                    "bunkers",
                    "/v1/modules/scaibunker/bunkers",
                    row=bunker,
                    key="bunker_id",
                    keep=active,
                    # Holders of scaibunker:admin are shown every tenant's bunkers.
                    tenant_field="tenant_id",
                    filters=(Filter("status"), Filter("lifecycle")),
                    summary="Active bunkers of the tenant.",
                    schema=_ROW,
                ),
            ),
        )
    ]
