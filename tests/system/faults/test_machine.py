"""Processes killed, nginx reloaded, and a machine that has nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bao import free_port
from contract.support import Server, environment, fetch
from harness import GUARD

from ..edge import Edge
from ..load import until
from .scene import Scene

Make = Callable[..., Scene]


@contextlib.contextmanager
def pair(s: Scene, directory: Path) -> Iterator[tuple[Edge, Server]]:
    """nginx before the scene's node and a second one, both under its load."""
    second = Server(s.site.settings)
    directory.mkdir()
    edge = Edge(directory, [s.server.port, second.port], rates=(5000, 5000))
    s.ask = lambda path, token: edge.get(path, token)
    try:
        yield edge, second
    finally:
        s.ask = s.site.get
        s.load.settle()
        edge.stop()
        second.stop()


@contextlib.contextmanager
def writing(log: Path, s: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """A node of its own under the scene's load, its log in a file."""
    port = free_port()
    settings = environment(s.site.settings | {"SCAIFLOW_API_PORT": str(port)})
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "scailookup", "serve"], env=settings, stderr=file)
    until(lambda: b"listening" in log.read_bytes())
    s.ask = lambda path, token: fetch(port, path, headers={"Authorization": f"Bearer {token}"})
    try:
        yield process
    finally:
        s.ask = s.site.get
        s.load.settle()
        process.terminate()
        process.wait(GUARD)
        s.server.events += [json.loads(line) for line in log.read_text().splitlines() if line[-1:] == "}"]


def test_a_node_is_killed(scene: Make, tmp_path: Path) -> None:
    """One of two nodes behind nginx ends by SIGKILL."""
    with scene() as s, pair(s, tmp_path / "edge") as (_, second):
        s.load.more(30)
        second.process.kill()
        s.load.more(100)


def test_nginx_is_reloaded(scene: Make, tmp_path: Path) -> None:
    """Its workers are replaced, twice."""
    with scene() as s, pair(s, tmp_path / "edge") as (edge, _):
        for _ in range(2):
            edge.reload()
            s.load.more(50)


def test_the_log_s_disk_is_full(scene: Make, tmp_path: Path) -> None:
    """The file that the log goes to cannot grow any more; then it can."""
    with scene() as s, writing(tmp_path / "log", s) as process:
        full = (tmp_path / "log").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        s.load.more(60)
        s.grid.stop()
        s.sees("502 scaigrid_api unreachable")
        s.again()
        s.recovers()
        assert full == (tmp_path / "log").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        s.load.more(20)


def test_descriptors_run_out(scene: Make, tmp_path: Path) -> None:
    """Idle connections take every descriptor of one node, then go away."""
    with scene() as s, pair(s, tmp_path / "edge"):
        pid = s.server.process.pid
        left = len(os.listdir(f"/proc/{pid}/fd")) + 12
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (left, left))
        with contextlib.ExitStack() as idle:
            for _ in range(40):
                idle.enter_context(socket.create_connection(("127.0.0.1", s.server.port)))
            s.server.event("descriptors_exhausted")
            s.load.more(60)
        s.recovers()
