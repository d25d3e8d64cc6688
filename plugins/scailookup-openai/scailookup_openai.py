"""scailookup plugin: models of any number of OpenAI-compatible sources, merged and one by one."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from scailookup import Ask, Failed, Filter, Gathered, Listed, Lookup, Upstream, auth, hookimpl
from scailookup.errors import UpstreamApi, UpstreamAuth
from scailookup.settings import Secret, Settings, Url, Words
from scailookup.shapes import model_row

_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_FILTERS = (
    Filter("modality", "chat, embedding, image, audio, or the server's own word"),
    Filter("source", "name of a source"),
)
# The API version whose list this reads; Anthropic refuses a call without one.
_ANTHROPIC = {"anthropic-version": "2023-06-01"}
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Own:
    """``SCAILOOKUP_OPENAI_SOURCES``: the names of the sources, in the order in which their models come."""

    sources: Words = ()

    def __post_init__(self) -> None:
        for name in self.sources:
            if not _NAME.fullmatch(name) or name == "sources":
                raise ValueError(f"{name!r} cannot be a source: letters a-z and digits, a letter first")
        if len(set(self.sources)) != len(self.sources):
            raise ValueError("a source is named twice")


@dataclass(frozen=True)
class Source:
    """``SCAILOOKUP_OPENAI_<NAME>_*``: one source.

    ``key`` is its key, ``secret`` a reference into the secret store in its place; with
    neither it is asked without. ``include`` and ``exclude`` are globs over the source's
    own ids.
    """

    url: Url
    kind: Literal["openai", "anthropic"] = "openai"
    path: str = "/models"
    key: Secret | None = None
    secret: str = ""
    prefix: str = ""
    include: Words = ()
    exclude: Words = ()

    def __post_init__(self) -> None:
        if self.key and self.secret:
            raise ValueError("a source has KEY or SECRET, not both")


def signed(name: str, own: Source) -> auth.Auth:
    """How the source is signed to: a bearer, or Anthropic's own header."""
    secret = f"$SCAILOOKUP_OPENAI_{name.upper()}_KEY" if own.key else own.secret
    if not secret:
        return auth.Anonymous()
    return auth.Header("x-api-key", secret=secret) if own.kind == "anthropic" else auth.Bearer(secret)


def reader(name: str, own: Source) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """A model's row with the source's prefix before its slug, and with the source's name."""

    def row(raw: Mapping[str, Any]) -> dict[str, Any] | None:
        found = model_row(raw)
        return None if found is None else {**found, "slug": own.prefix + found["slug"], "source": name}

    return row


def chooser(own: Source) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row is offered: its own id is among what is included, and not among what is excluded."""

    def keep(row: Mapping[str, Any]) -> bool:
        slug = row["slug"].removeprefix(own.prefix)
        wanted = not own.include or any(fnmatchcase(slug, glob) for glob in own.include)
        return wanted and not any(fnmatchcase(slug, glob) for glob in own.exclude)

    return keep


def source(name: str, own: Source) -> Upstream:
    """One source, which is an upstream of its own: ``/openai-<name>/models``."""
    anthropic = own.kind == "anthropic"
    return Upstream(
        name=f"openai-{name}",
        base_url=own.url,
        auth=signed(name, own),
        headers=_ANTHROPIC if anthropic else {},
        summary=f"Models of the source {name}.",
        lookups=(
            Lookup(
                "models",
                f"{own.path}?limit=1000" if anthropic else own.path,
                row=reader(name, own),
                keep=chooser(own),
                key="slug",
                filters=_FILTERS[:1],
                summary=f"Models of the source {name}.",
            ),
        ),
    )


def state(found: Listed | Failed) -> dict[str, Any]:
    """What ``meta`` says of one source.

    ``age`` is 0 while the source answers and goes by whole minutes when it does not:
    an answer whose rows are the same keeps its ETag.
    """
    name = found.source.removeprefix("openai-")
    if isinstance(found, Failed):
        return {"name": name, "status": "failed", "rows": 0, "error": found.message, "fix": found.fix}
    entry = {"name": name, "status": "ok", "rows": len(found.rows), "age": 0}
    if found.failure is not None:
        entry |= {"status": "stale", "age": int(found.age // 60) * 60}
        entry |= {"error": found.failure.message, "fix": found.failure.fix}
    return entry


async def merged(ask: Ask) -> Gathered:
    """The models of all sources, those of the first source first; a slug that comes again is left out."""
    found = await ask.lists()
    listed = [one for one in found if isinstance(one, Listed)]
    if not listed:
        raise none_answers([one for one in found if isinstance(one, Failed)])
    return Gathered(
        [row for one in listed for row in one.rows],
        truncated=any(one.meta.get("truncated") for one in listed),
        meta={"sources": [state(one) for one in found]},
        # Old rows of a source that died are no reason to ask the others sooner.
        fresh=min((one.fresh for one in listed if one.failure is None), default=None),
    )


def none_answers(failed: Sequence[Failed]) -> UpstreamApi | UpstreamAuth:
    """The error where no source gave rows: what is wrong with each, and the first one's way out."""
    kind = UpstreamAuth if all(one.status in _REFUSED for one in failed) else UpstreamApi
    first = failed[0]
    reasons = "; ".join(f"{one.source.removeprefix('openai-')}: {one.message}" for one in failed)
    return kind(
        "openai",
        f"no source answers ({reasons})"[:300],
        first.fix,
        code=first.code or first.error,
        upstream_status=first.status,
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """Each source, and the merged list of them; nothing where no source is named."""
    names = settings.of("openai", Own).sources
    sources = tuple([source(name, settings.of(f"openai-{name}", Source)) for name in names])
    if not sources:
        return []
    lookup = Lookup(
        "models",
        gather=merged,
        sources=sources,
        key="slug",
        filters=_FILTERS,
        summary="Models of all sources.",
    )
    everything = Upstream("openai", "", auth.Anonymous(), (lookup,), "Models of OpenAI-compatible sources.")
    return [everything, *sources]
