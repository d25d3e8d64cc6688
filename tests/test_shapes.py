"""Model rows: which field wins, what is refused, and that nothing is invented."""

from __future__ import annotations

import json

import msgspec
import pytest
from fakes import JSON, json_with
from hypothesis import given
from hypothesis import strategies as st

from scailookup.shapes import model_row, only, prose, text, whole

# Row by row the table of real servers: a record, and what it says besides its slug.
SERVERS = {
    "scaigrid": (
        {
            "slug": "openai/gpt-4o",
            "display_name": "GPT-4o",
            "modality": "chat",
            "context_window": 128000,
            "max_output_tokens": 16384,
        },
        {"display_name": "GPT-4o", "modality": "chat", "context_window": 128000, "max_output_tokens": 16384},
    ),
    "openai": (
        {"id": "gpt-x", "object": "model", "created": 1700000000, "owned_by": "system"},
        {"display_name": "gpt-x", "owned_by": "system"},
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
            "top_provider": {"context_length": 64000, "max_completion_tokens": 16384},
        },
        {
            "display_name": "Acme: Chat 1",
            "modality": "chat",
            "context_window": 128000,
            "max_output_tokens": 16384,
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
        {"display_name": "m-large-2601", "modality": "chat", "context_window": 131072},
    ),
    "groq": (
        {"id": "llama-x", "active": True, "context_window": 131072, "max_completion_tokens": 32768},
        {"display_name": "llama-x", "context_window": 131072, "max_output_tokens": 32768},
    ),
    "together": (
        {"id": "org/Model", "type": "chat", "display_name": "Model", "context_length": 131072},
        {"display_name": "Model", "modality": "chat", "context_window": 131072},
    ),
    "anthropic": (
        {
            "id": "claude-x",
            "type": "model",
            "display_name": "Claude X",
            "max_input_tokens": 200000,
            "max_tokens": 64000,
        },
        {"display_name": "Claude X", "context_window": 200000, "max_output_tokens": 64000},
    ),
    "vllm": (
        {"id": "org/model", "root": "org/model", "parent": None, "max_model_len": 32768, "permission": []},
        {"display_name": "org/model", "context_window": 32768},
    ),
    "llama.cpp": (
        {"id": "/models/m.gguf", "meta": {"n_ctx": 8192, "n_ctx_train": 131072}},
        {"display_name": "/models/m.gguf", "context_window": 8192},
    ),
    "ollama": (
        {"id": "llama3:latest", "owned_by": "library"},
        {"display_name": "llama3:latest", "owned_by": "library"},
    ),
    "lm studio": (
        {"id": "qwen-vl-7b", "type": "vlm", "state": "not-loaded", "max_context_length": 32768},
        {"display_name": "qwen-vl-7b", "modality": "chat", "context_window": 32768},
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
            "display_name": "openai/*",
            "modality": "chat",
            "context_window": 128000,
            "max_output_tokens": 16384,
            "owned_by": "openai",
        },
    ),
}


@pytest.mark.parametrize("server", SERVERS)
def test_servers(server):
    """The record of each server of the table gives exactly what it says."""
    raw, said = SERVERS[server]
    assert {"slug": raw.get("slug") or raw["id"], **said} == model_row(raw)


def nested(path: str, value: object) -> dict:
    """An object with ``value`` at a dotted path."""
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def merged(one: dict, two: dict) -> dict:
    """Two nested objects as one."""
    both = {**one, **two}
    for name in set(one) & set(two):
        if isinstance(one[name], dict) and isinstance(two[name], dict):
            both[name] = merged(one[name], two[name])
    return both


CANDIDATES = {
    "slug": ("slug", "id", "model_name", "key", "name", "model"),
    "display_name": ("display_name", "displayName", "title", "name"),
    "context_window": (
        *("context_window", "context_length", "max_context_length", "context_size", "max_model_len"),
        *("meta.n_ctx", "limits.max_context_length", "limits.max_input_tokens", "max_input_tokens"),
        *("model_info.max_input_tokens", "inputTokenLimit", "top_provider.context_length"),
    ),
    "max_output_tokens": (
        *("max_output_tokens", "max_completion_tokens", "top_provider.max_completion_tokens"),
        *("limits.max_output_tokens", "limits.max_completion_tokens", "model_info.max_output_tokens"),
        "outputTokenLimit",
    ),
    "modality": ("modality", "mode", "model_info.mode", "type"),
}
NUMBERS = ("context_window", "max_output_tokens")
PAIRS = [
    (target, first, second)
    for target, names in CANDIDATES.items()
    for first, second in zip(names, (*names[1:], None), strict=True)
]


@pytest.mark.parametrize(("target", "first", "second"), PAIRS)
def test_first_candidate_wins(target, first, second):
    """A candidate wins over the one after it."""
    one, two = (4096, 8192) if target in NUMBERS else ("chat", "image")
    raw = merged(nested(second, two), nested(first, one)) if second else nested(first, one)
    assert one == model_row({"slug": "s", **raw} if target != "slug" else raw)[target]


@pytest.mark.parametrize("wrong", [None, True, [], {}, "", "  "])
@pytest.mark.parametrize(("target", "first", "second"), [pair for pair in PAIRS if pair[2]])
def test_a_wrong_type_is_as_absent(target, first, second, wrong):
    """A candidate of the wrong type leaves the word to the one after it."""
    two = 8192 if target in NUMBERS else "image"
    raw = merged(nested(second, two), nested(first, wrong))
    assert two == model_row({"slug": "s", **raw} if target != "slug" else raw)[target]


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        (8192.0, 8192),
        (8192.9, 8192),
        ("8192", 8192),
        (" 8192 ", 8192),
        ("8192.0", 8192),
        (0, None),
        ("0", None),
        (0.4, None),
        (-1, None),
        (True, None),
        ("many", None),
        ("1e5", None),
        ("\u0661\u0662", None),
        ("9" * 400, None),
        (2**60, None),
        (1e300, None),
        ([8192], None),
    ],
)
@pytest.mark.parametrize("target", NUMBERS)
def test_limits(target, given_, read):
    """Floats and numeric strings become ints; zero, bools and nonsense mean unknown."""
    assert read == model_row({"id": "m", target: given_}).get(target)


@pytest.mark.parametrize(
    ("raw", "window"),
    [
        ({"providers": [{"context_length": 9}, {"context_length": 4}, {}]}, 4),
        ({"providers": [{"context_length": 0}, "x", {"context_length": "7"}]}, 7),
        ({"providers": [{"context_length": 4}], "top_provider": {"context_length": 9}}, 9),
        ({"providers": []}, None),
        ({"providers": {"context_length": 4}}, None),
        ({"meta": {"n_ctx_train": 4}}, None),
        ({"meta": "x"}, None),
    ],
)
def test_context_window_traps(raw, window):
    """The smallest provider counts last; trained context is not usable context."""
    assert window == model_row({"id": "m", **raw}).get("context_window")


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        ({"max_tokens": 5}, None),
        ({"max_tokens": 5, "context_window": 9}, None),
        ({"max_tokens": 5, "max_input_tokens": 0}, None),
        ({"max_tokens": 5, "max_input_tokens": 9}, 5),
        ({"max_tokens": 5, "max_input_tokens": 9, "max_completion_tokens": 4}, 4),
    ],
)
def test_max_tokens_is_ambiguous(raw, tokens):
    """max_tokens counts only beside max_input_tokens."""
    assert tokens == model_row({"id": "m", **raw}).get("max_output_tokens")


@pytest.mark.parametrize(
    ("raw", "modality"),
    [
        ({"modality": "embedding"}, "embedding"),
        ({"modality": "Chat"}, "chat"),
        ({"modality": "rerank"}, "rerank"),
        ({"modality": "text+image->text"}, "chat"),
        ({"modality": "text->image"}, "image"),
        ({"mode": "audio_transcription"}, "audio"),
        ({"mode": "image_generation"}, "image"),
        ({"type": "llm"}, "chat"),
        ({"type": "language"}, "chat"),
        ({"type": "text"}, "chat"),
        ({"type": "embeddings"}, "embedding"),
        ({"type": "model"}, None),
        ({"type": "base"}, None),
        ({"object": "model"}, None),
        ({"architecture": {"modality": "text+image->text", "output_modalities": []}}, "chat"),
        ({"output_modalities": ["image"]}, "image"),
        ({"output_modalities": ["audio", "text"]}, "chat"),
        ({"capabilities": {"completion_chat": False, "embeddings": True}}, "embedding"),
        ({"capabilities": ["tools", "completion"]}, "chat"),
        ({"capabilities": {"vision": True}, "endpoints": ["/v1/chat/completions"]}, "chat"),
        ({"endpoints": ["/v1/embeddings"]}, "embedding"),
        ({"supportedGenerationMethods": ["generateContent", "countTokens"]}, "chat"),
        ({"supportedGenerationMethods": ["embedContent"]}, "embedding"),
        ({"capabilities": "chat", "endpoints": 5}, None),
    ],
)
def test_modality(raw, modality):
    """The answer is in ScaiGrid's words where the meaning is plain."""
    assert modality == model_row({"id": "m", **raw}).get("modality")


@pytest.mark.parametrize("slug", ["openai/gpt-4o", "llama3:latest", "/models/m.gguf", "a b", "é/ü"])
def test_a_slug_is_never_rewritten(slug):
    """Slashes, colons and whole paths stay."""
    assert (slug, slug) == (model_row({"id": slug})["slug"], model_row({"id": slug})["display_name"])


@pytest.mark.parametrize("raw", [{}, {"id": None}, {"id": ""}, {"id": " "}, {"id": 5}, {"slug": ["x"]}])
def test_no_row_without_a_slug(raw):
    """A record that has no text to name it gives no row."""
    assert None is model_row(raw)


@given(
    json_with(
        *("slug", "id", "name", "display_name", "modality", "mode", "type", "meta", "limits", "providers"),
        *(
            "n_ctx",
            "context_length",
            "max_tokens",
            "max_input_tokens",
            "capabilities",
            "endpoints",
            "description",
        ),
        *("architecture", "output_modalities", "top_provider", "text->image", "status", "owned_by"),
    ).filter(lambda body: isinstance(body, dict))
)
def test_a_row_is_always_sound(raw):
    """Over arbitrary objects there is no row, or one of the right types that is JSON."""
    row = model_row(raw) or {"slug": "-", "display_name": "-"}
    kinds = {name: int if name in NUMBERS else str for name in row}
    assert (row, kinds) == (msgspec.json.decode(json.dumps(row)), {name: type(row[name]) for name in row})


@given(JSON)
def test_whole_is_total(value):
    """Over arbitrary JSON there is an int that JSON readers keep, or None."""
    assert type(whole(value)) in (int, type(None))


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_whole_keeps_integers(number):
    """What is a whole number already stays."""
    assert number == whole(number)


def test_prose_keeps_the_empty_text():
    """A description may be empty; a name may not."""
    assert ("", None) == (prose({"a": ""}, "a"), text({"a": ""}, "a"))


def test_only():
    """Null fields are left out, false ones stay."""
    assert {"b": 0, "c": ""} == only({"a": None, "b": 0, "c": ""})
