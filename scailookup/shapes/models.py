"""Model records of any server in one form. The candidates and their order: `docs/model-lists.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from scailookup.shapes.fields import LARGEST, count, texts, whole

__all__ = ["EVERY_CANDIDATE", "model_row"]

# A top-level field by its name, a deeper one by its path: most are top-level, and a name is quicker.
Path = str | tuple[str, ...]


def _paths(*dotted: str) -> tuple[Path, ...]:
    return tuple([tuple(name.split(".")) if "." in name else name for name in dotted])


_SLUG = _paths("slug", "id", "model_name", "key", "name", "model")
_TITLE = _paths("display_name", "displayName", "title", "name")
_CONTEXT = _paths(
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
_OUTPUT = _paths(
    "max_output_tokens",
    "max_completion_tokens",
    "top_provider.max_completion_tokens",
    "limits.max_output_tokens",
    "limits.max_completion_tokens",
    "model_info.max_output_tokens",
    "outputTokenLimit",
)
_KIND = _paths("modality", "mode", "model_info.mode", "type")
_OUTPUT_WORDS = _paths(
    "output_modalities", "architecture.output_modalities", "modalities.output", "outputModalities"
)
_ARROWS = _paths("modality", "architecture.modality")
_HINTS = frozenset(
    {
        *("output_modalities", "architecture", "modalities", "outputModalities", "modality"),
        *("capabilities", "endpoints", "supportedGenerationMethods"),
    }
)
_PLAIN = ("description", "status", "health_status", "owned_by")
# What may matter in a record that has a slug and a display_name of its own.
EVERY_CANDIDATE = (
    frozenset([path if isinstance(path, str) else path[0] for path in _CONTEXT + _OUTPUT + _KIND])
    | _HINTS
    | {"providers", "max_tokens"}
)


class _Plan(NamedTuple):
    """The candidates that records with certain keys have at all, target by target.

    The records of a list have the same few keys, and most candidates are not among them.
    """

    slug: tuple[Path, ...]
    title: tuple[Path, ...]
    context: tuple[Path, ...]
    output: tuple[Path, ...]
    kind: tuple[Path, ...]
    plain: tuple[str, ...]
    has: frozenset[str]
    # The one candidate of each target, when it is one and top-level; None, which is no JSON key, else.
    one_slug: Any
    one_title: Any
    one_kind: Any
    one_context: Any
    one_output: Any


_plans: dict[tuple[str, ...], _Plan] = {}
_MOST_PLANS = 256
_MOST_KEYS = 64


def _plan(raw: Mapping[str, Any]) -> _Plan:
    keys = tuple(raw)
    plan = _plans.get(keys)
    if plan is None:
        plan = _planned(frozenset(keys))
        if len(keys) <= _MOST_KEYS:
            if len(_plans) >= _MOST_PLANS:
                _plans.clear()
            _plans[keys] = plan
    return plan


def _planned(keys: frozenset[str]) -> _Plan:
    def present(paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple([path for path in paths if (path if isinstance(path, str) else path[0]) in keys])

    found = [present(paths) for paths in (_SLUG, _TITLE, _CONTEXT, _OUTPUT, _KIND)]
    slug, title, context, output, kind = found
    return _Plan(
        slug=slug,
        title=title,
        context=context,
        output=output,
        kind=kind,
        plain=tuple([name for name in _PLAIN if name in keys]),
        has=keys,
        one_slug=_only_one(slug),
        one_title=_only_one(title),
        one_kind=_only_one(kind),
        one_context=_only_one(context),
        one_output=_only_one(output),
    )


def _only_one(paths: tuple[Path, ...]) -> str | None:
    return paths[0] if len(paths) == 1 and isinstance(paths[0], str) else None


def _reach(raw: Any, path: Path) -> Any:
    if type(path) is str:
        return raw.get(path)
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _text(raw: Mapping[str, Any], paths: tuple[Path, ...]) -> str | None:
    for path in paths:
        value = raw.get(path) if type(path) is str else _reach(raw, path)
        if type(value) is str and value and not value.isspace():
            return value
    return None


def _count(raw: Mapping[str, Any], paths: tuple[Path, ...]) -> int | None:
    for path in paths:
        value = raw.get(path) if type(path) is str else _reach(raw, path)
        if type(value) is not int:
            value = whole(value)
        if value is not None and 0 < value <= LARGEST:
            return value
    return None


def model_row(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of one model record of any server; None without an id.

    ``slug`` is never rewritten: ids hold slashes, colons and whole paths.
    """
    # A list of a thousand models runs through here a thousand times: where a target has one
    # candidate of the plain kind it is taken at once, else the rules are gone through.
    plan = _plans.get(tuple(raw)) or _plan(raw)
    slug = raw.get(plan.one_slug)
    if type(slug) is not str or not slug.strip():
        slug = _text(raw, plan.slug)
        if slug is None:
            return None
    title = raw.get(plan.one_title)
    if type(title) is not str or not title.strip():
        title = _text(raw, plan.title) or slug
    row: dict[str, Any] = {"slug": slug, "display_name": title}
    value: Any = raw.get(plan.one_kind)
    value = _WORDS[value] if type(value) is str and value in _WORDS else _modality(raw, plan)
    if value is not None:
        row["modality"] = value
    value = raw.get(plan.one_context)
    if type(value) is not int or not 0 < value <= LARGEST:
        value = _context_window(raw, plan)
    if value is not None:
        row["context_window"] = value
    value = raw.get(plan.one_output)
    if type(value) is not int or not 0 < value <= LARGEST:
        value = _max_output_tokens(raw, plan)
    if value is not None:
        row["max_output_tokens"] = value
    for name in plan.plain:
        value = raw[name]
        if type(value) is str and (name == "description" or (value and not value.isspace())):
            row[name] = value
    return row


def _context_window(raw: Mapping[str, Any], plan: _Plan) -> int | None:
    """Tokens a model takes in; with several providers the smallest, since any may serve."""
    found = _count(raw, plan.context)
    if found is not None or "providers" not in plan.has:
        return found
    providers = raw["providers"]
    if not isinstance(providers, list):
        return None
    sizes = [count(p, "context_length") for p in providers if isinstance(p, dict)]
    return min((size for size in sizes if size is not None), default=None)


def _max_output_tokens(raw: Mapping[str, Any], plan: _Plan) -> int | None:
    """Tokens a model gives out. A lone ``max_tokens`` is ambiguous and says nothing."""
    found = _count(raw, plan.output)
    if found is None and "max_tokens" in plan.has and count(raw, "max_input_tokens") is not None:
        return count(raw, "max_tokens")
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
_ONE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def _kind(word: str) -> str | None:
    return _WORDS.get(word.strip().lower().replace("-", "_"))


def _modality(raw: Mapping[str, Any], plan: _Plan) -> str | None:
    """What a model makes, in ScaiGrid's words where the meaning is plain, else in the server's."""
    for path in plan.kind:
        word = _reach(raw, path)
        found = _word(word) if type(word) is str else None
        if found is not None and (path != "type" or found not in ("model", "base")):
            return found
    if plan.has.isdisjoint(_HINTS):
        return None
    return _first_kind(_outputs(raw)) or _first_kind(_abilities(raw))


@lru_cache(maxsize=1024)
def _word(word: str) -> str | None:
    """One word in ScaiGrid's vocabulary, or as it stands; None when it is not one word."""
    if not _ONE_WORD.fullmatch(word):
        return None
    return _kind(word) or (word.lower() if word.lower() in ("model", "base") else word)


def _first_kind(words: Iterable[str]) -> str | None:
    """The kind of ``words``; text among them makes it chat, whatever else comes out."""
    found = {_kind(word) for word in words}
    return next((kind for kind in _KINDS if kind in found), None)


def _outputs(raw: Mapping[str, Any]) -> list[str]:
    for path in _OUTPUT_WORDS:
        words = texts(_reach(raw, path))
        if words:
            return words
    for path in _ARROWS:
        arrow = _reach(raw, path)
        if isinstance(arrow, str) and "->" in arrow:
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
