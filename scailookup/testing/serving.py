"""The real service around the plugins of a test, on free ports of loopback."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import msgspec
import tomlkit

from scailookup.declare import Upstream
from scailookup.hookspecs import hookimpl
from scailookup.settings import GROUP, Settings, load
from scailookup.testing.secrets import by_path

__all__ = ["Response", "Serving", "serve", "settings"]

_BASICS = {
    "SCAIFLOW_AUTH_DISABLED": "true",
    "SCAIFLOW_API_PORT": "0",
    "SCAILOOKUP_ADMIN": "off",
    "SCAIGRID_BASE_URL": "http://127.0.0.1:9",
}


def settings(**names: str) -> Settings:
    """Settings of a service without sign-in on a free port; ``names`` are further variables.

    Any ``SCAILOOKUP_<NAME>_…`` is kept for the plugin that reads it. Raises SettingsError.
    """
    owners = [name.removeprefix("SCAILOOKUP_").partition("_")[0].lower() for name in names]
    return load({**_BASICS, **names}, system_file=None, plugins=owners)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of the service; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Serving:
    """A running service."""

    url: str

    def get(self, path: str, **headers: str) -> Response:
        """GET a path below ``/api/v1``: ``get("/weather/stations?limit=5")``."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            connection.request("GET", f"/api/v1{path}", headers=headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, found, answer.read())
        finally:
            connection.close()


@contextmanager
def serve(*plugins: Any, secrets: Mapping[str, Any] | None = None, **names: str) -> Iterator[Serving]:
    """The real service around ``plugins``, each an ``Upstream`` or a module with hooks, and no others.

    It runs in a thread, without sign-in (the tenant is ``dev``), until the block ends.
    ``secrets`` are what its store holds, ``names`` further settings. Raises
    SettingsError; a plugin that breaks a rule ends the start with it.
    """
    with tempfile.TemporaryDirectory(prefix="scailookup-testing-") as directory:
        path = Path(directory, "secrets.toml")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(_tables(by_path(secrets or {}))))
        given = settings(SCAILOOKUP_SECRETS_FILE=str(path), SCAILOOKUP_STRICT_PLUGINS="true", **names)
        with _running(given, [_Given(plugin) for plugin in plugins]) as url:
            yield Serving(url)


@contextmanager
def _running(given: Settings, points: list[EntryPoint]) -> Iterator[str]:
    """The service on a loop in a thread of its own; its url."""
    from scailookup import processes
    from scailookup.app import Service

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scailookup")
    thread.start()

    async def start() -> tuple[processes.Serving, str]:
        running = processes.Serving(given, partial(Service, plugins=points))
        sockets = processes.open_sockets(given, {})
        await running.start(sockets.public[0], sockets.admin)
        return running, sockets.url

    try:
        running, url = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield url
        finally:
            asyncio.run_coroutine_threadsafe(running.drain(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Given(EntryPoint):
    """An entry point to what a test has in its hands."""

    def __init__(self, plugin: Any) -> None:
        name = plugin.name if isinstance(plugin, Upstream) else plugin.__name__
        super().__init__(name.rpartition(".")[2], "given.by.the.test", GROUP)
        vars(self)["plugin"] = plugin

    def load(self) -> Any:
        """The module itself, or one that declares the upstream."""
        plugin = vars(self)["plugin"]
        if not isinstance(plugin, Upstream):
            return plugin

        @hookimpl
        def scailookup_upstreams() -> list[Upstream]:
            return [plugin]

        module: Any = ModuleType(self.name)
        module.scailookup_upstreams = scailookup_upstreams
        return module


def _tables(secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Secrets as nested tables: the parts of a path are the tables' names."""
    root: dict[str, Any] = {}
    for path, value in secrets.items():
        *parents, last = path.split("/")
        table = root
        for part in parents:
            table = table.setdefault(part, {})
        table[last] = json.loads(json.dumps(value))
    return root
