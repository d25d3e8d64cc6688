"""Starting the rivals, each on the core of the server under test."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from bench.lab import Lab
from bench.processes import Child, tool

__all__ = ["Rival", "start_nginx", "start_python"]

_TEMPLATE = Path(__file__).with_name("nginx.conf.in")


@dataclass(frozen=True, slots=True)
class Rival:
    """A running server and where it listens."""

    child: Child
    port: int


def start_python(lab: Lab, module: str, argument: str) -> Rival:
    """One of the Python programs beside this file."""
    child = lab.start_module(f"bench.rivals.{module}", argument, core=lab.server_core)
    return Rival(child, int(child.said(r'"port": (\d+)')))


def start_nginx(lab: Lab, payload: bytes, node: int) -> Rival:
    """An nginx with a static file, a proxy and proxies that cache, one of them before ``node``, a port."""
    prefix = lab.work / "nginx"
    for folder in ("temp", "cache", "files/static"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "files/static/models").write_bytes(payload)
    port = _free_port()
    filled = {
        "port": str(port),
        "upstream": str(lab.upstream.port),
        "node": str(node),
        # A worker that gives its rights away could not read our directory.
        "user": "user root;" if os.geteuid() == 0 else "",
    }
    text = _TEMPLATE.read_text()
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    (prefix / "nginx.conf").write_text(text)
    command = [tool("nginx"), "-p", f"{prefix}/", "-c", f"{prefix}/nginx.conf", "-e", "stderr"]
    child = lab.start("nginx", command, core=lab.server_core)
    lab.until_it_answers(child, port)
    return Rival(child, port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
