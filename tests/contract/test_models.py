"""Model lists as they come in the wild: docs/model-shapes.md, server by server and candidate by candidate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from .support import API_MODELS, MODEL, MODELS, Site, rows

WILD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "scaigrid": (
        MODEL | {"status": "active", "health_status": "ok", "description": "d", "total_backend_count": 2},
        MODEL | {"status": "active", "health_status": "ok", "description": "d"},
    ),
    "openai": (
        {"id": "gpt-x", "object": "model", "created": 1700000000, "owned_by": "system"},
        {"slug": "gpt-x", "display_name": "gpt-x", "owned_by": "system"},
    ),
    "openrouter": (
        {
            "id": "acme/chat-1",
            "name": "Acme: Chat 1",
            "context_length": 128000,
            "architecture": {
                "modality": "text+image->text",
                "input_modalities": ["text", "image"],
                "output_modalities": ["text"],
            },
            "top_provider": {"context_length": 128000, "max_completion_tokens": 16384},
        },
        {
            "slug": "acme/chat-1",
            "display_name": "Acme: Chat 1",
            "context_window": 128000,
            "max_output_tokens": 16384,
            "modality": "chat",
        },
    ),
    "mistral": (
        {
            "id": "m-large-latest",
            "name": "m-large-2601",
            "max_context_length": 131072,
            "capabilities": {"completion_chat": True},
            "type": "base",
        },
        {
            "slug": "m-large-latest",
            "display_name": "m-large-2601",
            "context_window": 131072,
            "modality": "chat",
        },
    ),
    "groq": (
        {"id": "llama-x", "active": True, "context_window": 131072, "max_completion_tokens": 32768},
        {"slug": "llama-x", "display_name": "llama-x", "context_window": 131072, "max_output_tokens": 32768},
    ),
    "together": (
        {"id": "org/Model", "type": "chat", "display_name": "Model", "context_length": 131072},
        {"slug": "org/Model", "display_name": "Model", "context_window": 131072, "modality": "chat"},
    ),
    "anthropic": (
        {
            "id": "claude-x",
            "type": "model",
            "display_name": "Claude X",
            "max_input_tokens": 200000,
            "max_tokens": 64000,
        },
        {
            "slug": "claude-x",
            "display_name": "Claude X",
            "context_window": 200000,
            "max_output_tokens": 64000,
        },
    ),
    "vllm": (
        {"id": "org/model", "root": "org/model", "parent": None, "max_model_len": 32768, "permission": []},
        {"slug": "org/model", "display_name": "org/model", "context_window": 32768},
    ),
    "llama.cpp": (
        {"id": "/models/m.gguf", "meta": {"n_ctx": 8192, "n_ctx_train": 131072}},
        {"slug": "/models/m.gguf", "display_name": "/models/m.gguf", "context_window": 8192},
    ),
    "ollama": (
        {"id": "llama3:latest", "owned_by": "library"},
        {"slug": "llama3:latest", "display_name": "llama3:latest", "owned_by": "library"},
    ),
    "lm studio": (
        {"id": "qwen-vl-7b", "type": "vlm", "state": "not-loaded", "max_context_length": 32768},
        {"slug": "qwen-vl-7b", "display_name": "qwen-vl-7b", "modality": "chat", "context_window": 32768},
    ),
    "litellm": (
        {
            "id": "openai/*",
            "owned_by": "openai",
            "mode": "chat",
            "max_input_tokens": 128000,
            "max_output_tokens": 16384,
        },
        {
            "slug": "openai/*",
            "display_name": "openai/*",
            "owned_by": "openai",
            "modality": "chat",
            "context_window": 128000,
            "max_output_tokens": 16384,
        },
    ),
}
SLUG = ["slug", "id", "model_name", "key", "name", "model"]
DISPLAY = ["display_name", "displayName", "title", "name"]
CONTEXT = [
    "context_window",
    "context_length",
    "max_context_length",
    "context_size",
    "max_model_len",
    "meta.n_ctx",
    "limits.max_context_length",
    "limits.max_input_tokens",
    "max_input_tokens",
    "model_info.max_input_tokens",
    "inputTokenLimit",
    "top_provider.context_length",
]
OUTPUT = [
    "max_output_tokens",
    "max_completion_tokens",
    "top_provider.max_completion_tokens",
    "limits.max_output_tokens",
    "limits.max_completion_tokens",
    "model_info.max_output_tokens",
    "outputTokenLimit",
]


def put(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set a dotted path in a record."""
    head, _, tail = path.partition(".")
    record[head] = put(record.get(head, {}), tail, value) if tail else value
    return record


def normalised(site: Site, record: dict[str, Any]) -> dict[str, Any]:
    """Return the one row made of a record."""
    site.grid.on(MODELS, {"data": [record]})
    (row,) = rows(site.get(API_MODELS))
    return row


@pytest.mark.parametrize("server", WILD)
def test_wild(site: Site, server: str) -> None:
    """A record as this server gives it becomes exactly these fields."""
    record, expected = WILD[server]

    assert expected == normalised(site, record)


@pytest.mark.parametrize("first", range(len(SLUG)))
def test_slug_order(site: Site, first: int) -> None:
    """The first slug candidate present wins, the id never rewritten."""
    record = {name: f"a/{name}:v1" for name in SLUG[first:]}

    assert f"a/{SLUG[first]}:v1" == normalised(site, record)["slug"]


@pytest.mark.parametrize("first", range(len(DISPLAY)))
def test_display_name_order(site: Site, first: int) -> None:
    """The first display_name candidate present wins."""
    record = {"slug": "s"} | {name: f"The {name}" for name in DISPLAY[first:]}

    assert f"The {DISPLAY[first]}" == normalised(site, record)["display_name"]


@pytest.mark.parametrize("name", [None, 7, ["x"], {"a": 1}, True])
def test_display_name_wrong_type(site: Site, name: Any) -> None:
    """A name that is no text is passed over."""
    assert "s" == normalised(site, {"slug": "s", "display_name": name, "name": name})["display_name"]


@pytest.mark.parametrize("slug", ["/models/a b.gguf", "a/b/c", "llama3:latest", "tenant/t%2F1/x", "Ünï/🦙"])
def test_slug_is_never_rewritten(site: Site, slug: str) -> None:
    """Slugs with slashes, colons, spaces, percent signs or other letters stay as they are."""
    assert slug == normalised(site, {"id": slug})["slug"]


@pytest.mark.parametrize("path", CONTEXT)
def test_context_window_candidate(site: Site, path: str) -> None:
    """Every candidate for context_window is read."""
    assert 4096 == normalised(site, put({"id": "m"}, path, 4096)).get("context_window")


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(CONTEXT)))
def test_context_window_order(site: Site, earlier: str, later: str) -> None:
    """Of two neighbours among the candidates the earlier wins."""
    record = put(put({"id": "m"}, later, 2), earlier, 1)

    assert 1 == normalised(site, record).get("context_window")


@pytest.mark.parametrize("path", OUTPUT)
def test_max_output_candidate(site: Site, path: str) -> None:
    """Every candidate for max_output_tokens is read."""
    assert 512 == normalised(site, put({"id": "m"}, path, 512)).get("max_output_tokens")


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(OUTPUT)))
def test_max_output_order(site: Site, earlier: str, later: str) -> None:
    """Of two neighbours among the candidates the earlier wins."""
    record = put(put({"id": "m"}, later, 2), earlier, 1)

    assert 1 == normalised(site, record).get("max_output_tokens")


def test_smallest_provider_context(site: Site) -> None:
    """The smallest of the providers' context lengths is the last resort."""
    providers = [{"context_length": 9000}, {"context_length": 4000}, {"name": "none"}]

    assert 4000 == normalised(site, {"id": "m", "providers": providers}).get("context_window")


def test_lone_max_tokens_is_ambiguous(site: Site) -> None:
    """max_tokens counts only beside max_input_tokens."""
    assert "max_output_tokens" not in normalised(site, {"id": "m", "max_tokens": 4096})


def test_training_context_is_not_usable(site: Site) -> None:
    """n_ctx_train is not a context window."""
    assert "context_window" not in normalised(site, {"id": "m", "meta": {"n_ctx_train": 131072}})


@pytest.mark.parametrize("given", [8192, 8192.0, "8192"])
@pytest.mark.parametrize("field", ["context_window", "max_output_tokens"])
def test_limit_is_an_int(site: Site, field: str, given: Any) -> None:
    """A limit as float or numeric text becomes an int."""
    value = normalised(site, {"id": "m", field: given}).get(field)

    assert (8192, int) == (value, type(value))


@pytest.mark.parametrize("given", [0, None, True, False, "", "many", [], {}])
@pytest.mark.parametrize("field", ["context_window", "max_output_tokens"])
def test_unknown_limit_is_absent(site: Site, field: str, given: Any) -> None:
    """0, null, booleans and what is no number mean unknown: absent, never a default."""
    assert field not in normalised(site, {"id": "m", field: given})


@pytest.mark.parametrize("wrong", [True, "many", [1], {"a": 1}])
def test_wrong_type_passes_to_the_next(site: Site, wrong: Any) -> None:
    """A wrongly typed candidate gives way to the next correctly typed one."""
    record = {"id": "m", "context_window": wrong, "max_model_len": 77}

    assert 77 == normalised(site, record).get("context_window")


@pytest.mark.parametrize("word", ["chat", "embedding", "image", "audio"])
@pytest.mark.parametrize("field", ["modality", "mode", "model_info.mode", "type"])
def test_modality_candidate(site: Site, field: str, word: str) -> None:
    """Every modality candidate is read, and ScaiGrid's own words stay."""
    assert word == normalised(site, put({"id": "m"}, field, word)).get("modality")


@pytest.mark.parametrize("word", ["llm", "vlm", "language", "text"])
def test_plain_meaning_is_chat(site: Site, word: str) -> None:
    """llm, vlm, language and text are chat in ScaiGrid's words."""
    assert "chat" == normalised(site, {"id": "m", "type": word}).get("modality")


@pytest.mark.parametrize(
    ("earlier", "later"), list(pairwise(["modality", "mode", "model_info.mode", "type", "output_modalities"]))
)
def test_modality_order(site: Site, earlier: str, later: str) -> None:
    """Of two neighbours among the modality candidates the earlier wins."""
    other = ["audio"] if later == "output_modalities" else "audio"
    record = put(put({"id": "m"}, later, other), earlier, "image")

    assert "image" == normalised(site, record).get("modality")


@pytest.mark.parametrize("word", ["model", "base"])
def test_type_that_says_nothing(site: Site, word: str) -> None:
    """A type of model or base is no modality."""
    assert "modality" not in normalised(site, {"id": "m", "type": word})


def test_modality_of_several_words(site: Site) -> None:
    """A modality that is not one word gives way to the next candidate."""
    record = {"id": "m", "modality": "text+image->text", "mode": "embedding"}

    assert "embedding" == normalised(site, record).get("modality")


@pytest.mark.parametrize(("out", "word"), [("text", "chat"), ("image", "image"), ("audio", "audio")])
def test_modality_from_output_modalities(site: Site, out: str, word: str) -> None:
    """The only output modality says what the model is for."""
    assert word == normalised(site, {"id": "m", "architecture": {"output_modalities": [out]}}).get("modality")
