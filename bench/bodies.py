"""The lists that the bench upstream serves: as long as asked for, about 170 bytes a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["KINDS", "body", "kind_of"]

_MODALITIES = ("chat", "chat", "chat", "embedding", "image", "audio")
_ORDERINGS = ("fifo", "priority", "deadline")


def _model(n: int) -> dict[str, Any]:
    maker = f"maker-{n % 7}"
    return {
        "slug": f"{maker}/model-{n:05}",
        "display_name": f"Model {n:05}, made by maker {n % 7}",
        "modality": _MODALITIES[n % len(_MODALITIES)],
        "context_window": 131072,
        "max_output_tokens": 16384,
        "owned_by": maker,
    }


def _scope(n: int) -> dict[str, Any]:
    return {
        "id": f"scp_{n:012}",
        "slug": f"department-{n:05}",
        "display_name": f"Department {n:05}",
        "description": f"What department {n:05} sends and receives, its dead letters besides",
    }


def _queue(n: int) -> dict[str, Any]:
    return {
        "id": f"que_{n:012}",
        "scope_id": "scp_000000000001",
        "slug": f"orders-{n:05}",
        "display_name": f"Orders of region {n:05}",
        "consumer_mode": "competing",
        "ordering": _ORDERINGS[n % len(_ORDERINGS)],
        "max_retries": 5,
    }


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {"models": _model, "scopes": _scope, "queues": _queue}


def kind_of(target: str) -> str:
    """What a request target asks for by its last segment; models when it says nothing else."""
    last = target.partition("?")[0].rpartition("/")[2]
    return last if last in KINDS else "models"


def body(kind: str, rows: int) -> bytes:
    """A list as an OpenAI-compatible server answers it."""
    listed = {"object": "list", "data": [KINDS[kind](n) for n in range(1, rows + 1)]}
    return json.dumps(listed, separators=(",", ":")).encode()
