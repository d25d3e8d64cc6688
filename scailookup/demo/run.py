"""`scailookup demo`: the platform and the real service in front of it, in one loop."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from scailookup import settings
from scailookup.demo import data
from scailookup.demo.guide import guide
from scailookup.demo.issuer import AUDIENCE, Issuer, demo_tokens
from scailookup.demo.platform import Platform
from scailookup.lifetime import ending

__all__ = ["Upstream", "environment", "platform_running", "run"]

_OVERRULED = {
    "SCAIFLOW_ENV_FILE",
    "SCAIGRID_API_KEY",
    "SCAIKEY_ISSUER",
    "SCAIKEY_JWKS_URL",
}
_OVERRULED_PREFIXES = ("VAULT_", "SCAIVAULT_")


@dataclass(frozen=True)
class Upstream:
    """The running platform; its issuer has the same address."""

    url: str
    platform: Platform


@asynccontextmanager
async def platform_running() -> AsyncIterator[Upstream]:
    """The platform on a free port of 127.0.0.1, for as long as the context lasts."""
    sockets = bind_sockets(0, "127.0.0.1")
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    platform = Platform(Issuer(url))
    server = HTTPServer(platform)
    server.add_sockets(sockets)
    try:
        yield Upstream(url, platform)
    finally:
        server.stop()
        platform.stop()
        await server.close_all_connections()


@contextmanager
def _secrets_file() -> Iterator[Path]:
    """A file with the tenants' keys that nobody else can read, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="scailookup-demo-") as directory:
        path = Path(directory, "secrets.toml")
        tables = (f'[tenants.{tenant}]\nscaigrid_api_key = "{key}"\n' for tenant, key in data.KEYS.items())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(tables))
        yield path


def environment(
    environ: Mapping[str, str],
    *,
    upstream_url: str,
    secrets_file: Path,
    host: str | None = None,
    port: int | None = None,
) -> dict[str, str]:
    """The environment of the service: ``environ``, led to the demo platform and its secrets.

    Ports that nobody chose and somebody else has become 0, a free one.
    """
    env = {
        name: value
        for name, value in environ.items()
        if name not in _OVERRULED and not name.startswith(_OVERRULED_PREFIXES)
    }
    env |= {
        "SCAIGRID_BASE_URL": upstream_url,
        "SCAIKEY_BASE_URL": upstream_url,
        "SCAIKEY_AUDIENCE": AUDIENCE,
        "SCAIFLOW_SCAIKEY_CLIENT_ID": AUDIENCE,
        "SCAILOOKUP_SECRETS_FILE": str(secrets_file),
    }
    if host is not None:
        env["SCAIFLOW_API_HOST"] = host
    if port is not None:
        env["SCAIFLOW_API_PORT"] = str(port)
    return env | _free_ports(env)


def _free_ports(env: Mapping[str, str]) -> dict[str, str]:
    """The ports to set because the default is taken, by others or by the other listener."""
    chosen: dict[str, str] = {}
    api = env.get("SCAIFLOW_API_PORT")
    admin = env.get("SCAILOOKUP_ADMIN")
    if not api:
        host = env.get("SCAIFLOW_API_HOST") or "127.0.0.1"
        taken = (admin or "").endswith(":8001") or not _free(host, 8001)
        chosen["SCAIFLOW_API_PORT"] = "0" if taken else "8001"
    if not admin:
        taken = api == "8002" or not _free("127.0.0.1", 8002)
        chosen["SCAILOOKUP_ADMIN"] = "127.0.0.1:0" if taken else "127.0.0.1:8002"
    return chosen


def _free(host: str, port: int) -> bool:
    """Whether one could listen there now."""
    try:
        sockets = bind_sockets(port, host)
    except OSError:
        return False
    for sock in sockets:
        sock.close()
    return True


async def run(
    *,
    as_json: bool,
    host: str | None = None,
    port: int | None = None,
    environ: Mapping[str, str],
    out: TextIO,
) -> int:
    """Serve the demo until SIGTERM or SIGINT; the exit status.

    Raises SettingsError when a setting is refused, OSError when a chosen port is taken.
    """
    from scailookup.app import Service
    from scailookup.processes import Serving, announce, open_sockets
    from scailookup.web.console import Demo

    with _secrets_file() as secrets_file:
        async with ending() as ended, platform_running() as upstream:
            env = environment(
                environ, upstream_url=upstream.url, secrets_file=secrets_file, host=host, port=port
            )
            tokens = demo_tokens(upstream.platform.issuer)
            demo = Demo(upstream.platform.faults, tokens)
            given = settings.load({**env, "SCAILOOKUP_WORKERS": "1"}, system_file=None)
            serving = Serving(given, partial(Service, demo=demo))
            sockets = open_sockets(given, {})
            await serving.start(sockets.public[0], sockets.admin)
            try:
                announce(given, sockets)
                _announce(out, upstream, tokens, sockets.url, sockets.admin_url, as_json=as_json)
                await ended.wait()
            finally:
                await serving.drain()
    return 0


def _announce(
    out: TextIO,
    upstream: Upstream,
    tokens: Mapping[str, str],
    url: str,
    admin_url: str | None,
    *,
    as_json: bool,
) -> None:
    """Say where everything is, on one line or for people."""
    if as_json:
        facts = {
            "url": url,
            "admin_url": admin_url,
            "upstream_url": upstream.url,
            "issuer": upstream.platform.issuer.base_url,
            "tokens": tokens,
        }
        print(json.dumps(facts), file=out, flush=True)
    else:
        print(guide(url, admin_url, upstream.url, tokens), file=out, flush=True)
