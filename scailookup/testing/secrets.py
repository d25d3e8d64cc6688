"""Secrets in memory, in the place of a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FakeSecrets", "by_path"]


class FakeSecrets:
    """Secrets in memory: ``{"weather/api#key": "k-1"}`` or ``{"weather/api": {"key": "k-1"}}``.

    An exception in the place of a secret is raised, as by a store that is down.
    ``asked`` holds what was asked for: the path, and whether afresh.
    """

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self.data = by_path(data or {})
        self.asked: list[tuple[str, bool]] = []

    async def get(self, path: str, *, fresh: bool = False) -> Any:
        """The secret at ``path``, None when there is none."""
        self.asked.append((path, fresh))
        found = self.data.get(path)
        if isinstance(found, BaseException):
            raise found
        return found

    def held(self, path: str) -> Any:
        """Nothing is held: each lookup asks anew."""
        raise LookupError(path)

    def doubt(self, path: str) -> None:
        """Nothing is held that could be doubted."""

    async def put(self, path: str, data: Mapping[str, str]) -> None:
        """Set the secret."""
        self.data[path] = dict(data)


def by_path(data: Mapping[str, Any]) -> dict[str, Any]:
    """Secrets by their paths: ``path#field`` is one field, a bare text the field ``value``."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        path, _, field = name.partition("#")
        if isinstance(value, str):
            found.setdefault(path, {})[field or "value"] = value
        else:
            found[path] = value
    return found
