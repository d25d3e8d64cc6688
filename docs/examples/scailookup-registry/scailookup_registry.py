"""scailookup plugin: what a container registry holds (Docker Registry HTTP API v2).

Three lists: the repositories, whose pages go on by a ``Link`` header; the tags of one
repository, whose name may have slashes; and all images, which takes a call per repository.
"""

from dataclasses import dataclass

from scailookup import (
    Ask,
    Failed,
    Gathered,
    Listed,
    Lookup,
    Question,
    Upstream,
    auth,
    hookimpl,
    layout,
    paging,
)
from scailookup.errors import CallFailed
from scailookup.settings import Flag, Settings, Url
from scailookup.shapes import at, texts


@dataclass(frozen=True)
class Own:
    """Settings: SCAILOOKUP_REGISTRY_BASE_URL, SCAILOOKUP_REGISTRY_ANONYMOUS."""

    base_url: Url = "https://registry.example"
    anonymous: Flag = False


REPOSITORIES = Lookup(
    "repositories",
    "/v2/_catalog?n=100",
    layout=layout.Strings(at="repositories"),
    paging=paging.LinkHeader(),
    summary="Repositories.",
)
TAGS = Lookup(
    "repositories/{repository}/tags",
    "/v2/{+repository}/tags/list",
    layout=layout.Strings(at="tags"),
    summary="Tags of a repository.",
)


async def images(ask: Ask) -> Gathered:
    """Every tag of every repository; a repository that is gone meanwhile is left out."""
    [catalogue] = await ask.lists()
    if not isinstance(catalogue, Listed):
        raise CallFailed(catalogue.code or catalogue.error, catalogue.message, status=catalogue.status)
    names = [row["id"] for row in catalogue.rows]
    found = await ask.each(Question("/v2/{+name}/tags/list", {"name": name}) for name in names)
    records, unread = [], []
    for name, answer in zip(names, found, strict=False):
        if not isinstance(answer, Failed):
            tags = texts(at(answer.body, "tags")) or ()
            records += [{"id": f"{name}:{tag}", "repository": name, "tag": tag} for tag in tags]
        elif answer.status != 404:
            unread.append(name)
    truncated = bool(catalogue.meta.get("truncated"))
    return Gathered(records, truncated=truncated, meta={"unread": unread} if unread else {})


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """One registry, with one account for everybody."""
    own = settings.of("registry", Own)
    signed = auth.Anonymous() if own.anonymous else auth.Basic("registry/login")
    catalogue = Upstream("registry", own.base_url, signed, (REPOSITORIES,))
    gathered = Lookup("images", gather=images, sources=(catalogue,), summary="All images.")
    return [
        Upstream(
            name="registry",
            base_url=own.base_url,
            auth=signed,
            summary="A container registry.",
            lookups=(REPOSITORIES, TAGS, gathered),
        )
    ]
