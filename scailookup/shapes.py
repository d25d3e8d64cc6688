"""Reading records of unknown make: typed fields under many names, and model lists in particular.

Plain functions from a raw JSON object to a value or None. None means "not given":
nothing here invents a value, and a value of the wrong type counts as not given.
The candidates and their order: `docs/model-lists.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["at", "count", "model_row", "only", "prose", "text", "texts", "whole"]

# Beyond this a number is no count of anything, and JSON readers lose digits.
_LARGEST = 2**53 - 1


def at(raw: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted ``path``; None when any part is missing."""
    value: Any = raw
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def text(raw: Mapping[str, Any], *names: str) -> str | None:
    """The first of ``names`` that is a string with something in it."""
    for name in names:
        value = at(raw, name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def prose(raw: Mapping[str, Any], name: str) -> str | None:
    """The string at ``name``, the empty one too: for what is read by people only."""
    value = raw.get(name)
    return value if isinstance(value, str) else None


def texts(value: Any) -> list[str]:
    """The strings of a list; none for anything else."""
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """``value`` as a whole number: an int, a finite float cut down, or a string of one; never a bool."""
    if isinstance(value, str):
        try:
            value = float(value) if re.fullmatch(r"\s*-?[0-9]{1,16}(\.[0-9]*)?\s*", value) else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if abs(value) <= _LARGEST else None


def count(raw: Mapping[str, Any], *names: str) -> int | None:
    """The first of ``names`` that is a whole number above zero; zero means unknown in model lists."""
    for name in names:
        value = whole(at(raw, name))
        if value is not None and value > 0:
            return value
    return None


def only(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` without the fields that were not given."""
    return {name: value for name, value in row.items() if value is not None}


_SLUG = ("slug", "id", "model_name", "key", "name", "model")
_CONTEXT = (
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
)
_OUTPUT = (
    "max_output_tokens",
    "max_completion_tokens",
    "top_provider.max_completion_tokens",
    "limits.max_output_tokens",
    "limits.max_completion_tokens",
    "model_info.max_output_tokens",
    "outputTokenLimit",
)


def model_row(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of one model record of any server; None without an id.

    ``slug`` is never rewritten: ids hold slashes, colons and whole paths.
    """
    slug = text(raw, *_SLUG)
    if slug is None:
        return None
    name = text(raw, "display_name", "displayName", "title")
    return only(
        {
            "slug": slug,
            "display_name": name or text(raw, "name") or slug,
            "modality": modality(raw),
            "context_window": context_window(raw),
            "max_output_tokens": max_output_tokens(raw),
            "description": prose(raw, "description"),
            "status": text(raw, "status"),
            "health_status": text(raw, "health_status"),
            "owned_by": text(raw, "owned_by"),
        }
    )


def context_window(raw: Mapping[str, Any]) -> int | None:
    """Tokens a model takes in; with several providers the smallest, since any may serve."""
    found = count(raw, *_CONTEXT)
    if found is not None:
        return found
    providers = raw.get("providers")
    sizes = (
        [count(p, "context_length") for p in providers if isinstance(p, dict)]
        if isinstance(providers, list)
        else []
    )
    return min((size for size in sizes if size is not None), default=None)


def max_output_tokens(raw: Mapping[str, Any]) -> int | None:
    """Tokens a model gives out. A lone ``max_tokens`` is ambiguous and says nothing."""
    found = count(raw, *_OUTPUT)
    if found is None and count(raw, "max_input_tokens") is not None:
        found = count(raw, "max_tokens")
    return found


# What servers call the kinds that ScaiGrid calls chat, embedding, image and audio.
_KINDS = {
    "chat": "chat llm vlm language text completion completions completion_chat completion_fim "
    "chat_completion chat_completions text_completion text_generation image_text_to_text conversational "
    "responses generate generation generatecontent generatemessage generatetext generateanswer "
    "bidigeneratecontent messages",
    "embedding": "embedding embeddings embed text_embedding text_embeddings feature_extraction "
    "sentence_similarity embedcontent embedtext batchembedcontents",
    "image": "image images image_generation image_generations image_edit image_edits text_to_image diffusion",
    "audio": "audio speech tts stt asr transcription transcriptions transcribe audio_transcription "
    "audio_speech text_to_speech speech_to_text automatic_speech_recognition audio_generation music",
}
_WORDS = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_ONE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def _kind(word: str) -> str | None:
    return _WORDS.get(word.strip().lower().replace("-", "_"))


def modality(raw: Mapping[str, Any]) -> str | None:
    """What a model makes, in ScaiGrid's words where the meaning is plain, else in the server's."""
    for name in ("modality", "mode", "model_info.mode", "type"):
        word = text(raw, name)
        if (
            word is None
            or not _ONE_WORD.fullmatch(word)
            or (name == "type" and word.lower() in ("model", "base"))
        ):
            continue
        return _kind(word) or word
    return _first_kind(_outputs(raw)) or _first_kind(_abilities(raw))


def _first_kind(words: Iterable[str]) -> str | None:
    """The kind of ``words``; text among them makes it chat, whatever else comes out."""
    found = {_kind(word) for word in words}
    return next((kind for kind in _KINDS if kind in found), None)


def _outputs(raw: Mapping[str, Any]) -> list[str]:
    for name in (
        "output_modalities",
        "architecture.output_modalities",
        "modalities.output",
        "outputModalities",
    ):
        words = texts(at(raw, name))
        if words:
            return words
    for name in ("modality", "architecture.modality"):
        arrow = text(raw, name)
        if arrow is not None and "->" in arrow:
            return arrow.partition("->")[2].split("+")
    return []


def _abilities(raw: Mapping[str, Any]) -> list[str]:
    abilities = raw.get("capabilities")
    if isinstance(abilities, dict):
        words = [name for name, able in abilities.items() if able is True]
    else:
        words = texts(abilities)
    if any(_kind(word) for word in words):
        return words
    paths = [part for path in texts(raw.get("endpoints")) for part in re.split(r"[^A-Za-z_-]+", path)]
    if any(_kind(part) for part in paths):
        return paths
    return texts(raw.get("supportedGenerationMethods"))
