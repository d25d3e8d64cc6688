"""Model records brought into one form, as a team would write it for its own proxy."""

from __future__ import annotations

from typing import Any

__all__ = ["listing", "row"]

_CONTEXT = ("context_window", "context_length", "max_context_length", "max_model_len", "max_input_tokens")
_OUTPUT = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_PLAIN = ("description", "status", "health_status", "owned_by")


def _number(raw: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def row(raw: dict[str, Any]) -> dict[str, Any] | None:
    """One row, fields that are not given left out; None without an id."""
    slug = raw.get("slug") or raw.get("id") or raw.get("name")
    if not slug:
        return None
    fields = {
        "slug": slug,
        "display_name": raw.get("display_name") or raw.get("name") or slug,
        "modality": raw.get("modality") or raw.get("mode") or raw.get("type"),
        "context_window": _number(raw, _CONTEXT),
        "max_output_tokens": _number(raw, _OUTPUT),
    }
    fields |= {name: raw.get(name) for name in _PLAIN}
    return {name: value for name, value in fields.items() if value is not None}


def listing(payload: Any) -> dict[str, Any]:
    """The answer for a decoded list of an upstream."""
    rows = (row(raw) for raw in payload["data"])
    return {"data": [found for found in rows if found is not None]}
