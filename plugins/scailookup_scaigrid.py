"""scailookup plugin: the models of ScaiGrid, or of an OpenAI-compatible server in its place."""

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings
from scailookup.shapes import ModelRecord, model_row


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
                    key="slug",
                    filters=(Filter("modality", "chat, embedding, image, audio, or the server's own word"),),
                    summary="Models, with what they take in and give out.",
                ),
            ),
        )
    ]
