"""scailookup plugin: the models of ScaiGrid, or of an OpenAI-compatible server in its place."""

from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings
from scailookup.shapes import ModelRecord, model_row

_ROW: dict[str, dict[str, Any]] = {
    "slug": {"type": "string", "description": "The id, never rewritten.", "examples": ["openai/gpt-4o"]},
    "display_name": {"type": "string", "examples": ["GPT-4o"]},
    "modality": {
        "type": "string",
        "description": "chat, embedding, image, audio, or the server's own word.",
        "examples": ["chat"],
    },
    "context_window": {
        "type": "integer",
        "minimum": 1,
        "description": "Tokens that it takes in; absent means unknown.",
        "examples": [128000],
    },
    "max_output_tokens": {
        "type": "integer",
        "minimum": 1,
        "description": "Tokens that it gives out; absent means unknown.",
        "examples": [16384],
    },
    "description": {"type": "string"},
    "status": {"type": "string", "examples": ["active"]},
    "health_status": {"type": "string", "examples": ["healthy"]},
    "owned_by": {"type": "string"},
}


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """ScaiGrid with its model list, at the path that SCAILOOKUP_MODELS_PATH names."""
    return [
        Upstream(
            name="scaigrid",
            base_url=settings.grid_url,
            auth=auth.Platform(needs="models:list"),
            summary="Models that the tenant may use.",
            lookups=(
                Lookup(
                    "models",
                    settings.models_path,
                    row=model_row,
                    record=ModelRecord,
                    schema=_ROW,
                    key="slug",
                    filters=(Filter("modality", "chat, embedding, image, audio, or the server's own word"),),
                    summary="Models, with what they take in and give out.",
                ),
            ),
        )
    ]
