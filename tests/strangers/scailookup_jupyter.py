"""scailookup plugin: kernels, sessions and files of a Jupyter Server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl, layout
from scailookup.settings import Settings, Url
from scailookup.shapes import only, text


@dataclass(frozen=True)
class Own:
    """Settings: SCAILOOKUP_JUPYTER_BASE_URL."""

    base_url: Url = "http://127.0.0.1:8888"


def kernelspec(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One kernel that can be started: id, display_name, language."""
    return only(
        {
            "id": text(raw, "name"),
            "display_name": text(raw, "spec.display_name", "name"),
            "language": text(raw, "spec.language"),
        }
    )


def session(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One running session: id, display_name, kernel, state."""
    return only(
        {
            "id": text(raw, "id"),
            "display_name": text(raw, "name", "path", "id"),
            "kernel": text(raw, "kernel.name"),
            "state": text(raw, "kernel.execution_state"),
        }
    )


def entry(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One file or directory: id (its path), display_name, kind."""
    return only(
        {
            "id": text(raw, "path"),
            "display_name": text(raw, "name", "path"),
            "kind": text(raw, "type"),
        }
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """One server, with one token for everybody."""
    kinds = (Filter("kind", "directory, file or notebook"),)
    content = layout.List(at="content")
    return [
        Upstream(
            name="jupyter",
            base_url=settings.of("jupyter", Own).base_url,
            auth=auth.Header("Authorization", secret="jupyter/api#token", prefix="token "),
            lookups=(
                Lookup(
                    "kernelspecs", "/api/kernelspecs", row=kernelspec, layout=layout.Map(at="kernelspecs")
                ),
                Lookup("sessions", "/api/sessions", row=session),
                Lookup("files", "/api/contents", row=entry, layout=content, filters=kinds),
                Lookup("files/{path}", "/api/contents/{+path}", row=entry, layout=content, filters=kinds),
            ),
        )
    ]
