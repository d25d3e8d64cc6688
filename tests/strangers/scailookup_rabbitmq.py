"""scailookup plugin: virtual hosts, queues and exchanges of RabbitMQ, by its management API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl, paging
from scailookup.settings import Settings, Url
from scailookup.shapes import only, text

PAGED = paging.Number("page", size=100, size_param="page_size", pages="page_count")


@dataclass(frozen=True)
class Own:
    """Settings: SCAILOOKUP_RABBITMQ_BASE_URL."""

    base_url: Url = "http://127.0.0.1:15672"


def vhost(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One virtual host: id, description."""
    return only({"id": text(raw, "name"), "description": text(raw, "description")})


def named(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One queue or exchange: name, vhost, kind; its id is made of the first two."""
    return only(
        {
            "display_name": text(raw, "name"),
            "name": text(raw, "name"),
            "vhost": text(raw, "vhost"),
            "kind": text(raw, "type"),
        }
    )


def listed(name: str, path: str) -> Lookup:
    """A list of what has a name within a virtual host."""
    return Lookup(
        name,
        path,
        row=named,
        key_of=("vhost", "name"),
        filters=(Filter("vhost"), Filter("kind")),
        paging=PAGED,
    )


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """One broker, with one account for everybody."""
    return [
        Upstream(
            name="rabbitmq",
            base_url=settings.of("rabbitmq", Own).base_url,
            auth=auth.Basic("rabbitmq/login"),
            lookups=(
                Lookup("vhosts", "/api/vhosts", row=vhost),
                listed("queues", "/api/queues"),
                listed("vhosts/{vhost}/queues", "/api/queues/{vhost}"),
            ),
        )
    ]
