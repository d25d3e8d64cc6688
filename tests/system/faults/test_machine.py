"""Processes killed, nginx reloaded, and a machine that has nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bao import free_port
from contract.support import MODEL, MODELS, Reply, Server, environment, fetch
from harness import GUARD

from ..edge import Edge
from ..load import until, workers_of
from .scene import Scene

Make = Callable[..., Scene]


@contextlib.contextmanager
def behind(s: Scene, directory: Path, *nodes: Server) -> Iterator[Edge]:
    """nginx before these nodes, under the scene's load."""
    directory.mkdir()
    edge = Edge(directory, [node.port for node in nodes], rates=(5000, 5000))
    s.ask = lambda path, token: edge.get(path, token)
    try:
        yield edge
    finally:
        s.ask = s.site.get
        s.load.settle()
        edge.stop()


@contextlib.contextmanager
def pair(s: Scene, directory: Path) -> Iterator[tuple[Edge, Server]]:
    """nginx before the scene's node and a second one."""
    second = Server(s.site.settings)
    try:
        with behind(s, directory, s.server, second) as edge:
            yield edge, second
    finally:
        second.stop()


@contextlib.contextmanager
def writing(log: Path, s: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """A node of its own under the scene's load, its log in a file."""
    port = free_port()
    settings = environment(s.site.settings | {"SCAIFLOW_API_PORT": str(port)})
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "scailookup", "serve"], env=settings, stderr=file)
    until(lambda: b"listening" in log.read_bytes())
    listening = next(line for line in log.read_text().splitlines() if '"listening"' in line)
    s.watch(urlsplit(json.loads(listening)["admin_url"]).port or 0)
    s.ask = lambda path, token: fetch(port, path, headers={"Authorization": f"Bearer {token}"})
    try:
        yield process
        s.look()
    finally:
        s.watch(s.server.admin_port or 0)
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


def test_a_worker_is_killed(scene: Make, tmp_path: Path) -> None:
    """A worker of one of two nodes behind nginx ends by SIGKILL, then the other worker of that node."""
    with scene(SCAILOOKUP_WORKERS="2") as s, pair(s, tmp_path / "edge"):
        kill_each_worker(s)


def test_a_worker_of_the_only_node_is_killed(scene: Make, tmp_path: Path) -> None:
    """The same without a second node: what the worker had in hand may be lost, and nothing else."""
    with scene(SCAILOOKUP_WORKERS="2") as s, behind(s, tmp_path / "edge", s.server) as edge:
        kill_each_worker(s)
        s.recovers()
        assert "refused" not in edge.errors()


def test_a_worker_hangs(scene: Make, tmp_path: Path) -> None:
    """A worker of one of two nodes behind nginx is stopped, and nobody lets it go on."""
    with scene(SCAILOOKUP_WORKERS="2") as s, pair(s, tmp_path / "edge"):
        s.load.settle()  # whoever asked the node itself has been answered
        victim = workers_of(s.server.process.pid)[0]
        os.kill(victim, signal.SIGSTOP)
        s.server.event("worker_silent", pid=victim)
        s.server.event("worker_ended", pid=victim, status=-signal.SIGKILL)
        until(lambda: len(started(s)) == 2)
        s.load.more(30)


def kill_each_worker(s: Scene) -> None:
    """One after the other, each while it has something in hand; the next when there are two again."""
    s.grid.on(MODELS, Reply({"data": [MODEL]}, delay=0.2))
    s.load.more(30)
    for victim in workers_of(s.server.process.pid):
        os.kill(victim, signal.SIGKILL)
        s.server.event("worker_ended", pid=victim, status=-signal.SIGKILL)
        until(lambda: len(started(s)) == 2)
        s.load.more(30)


def started(s: Scene) -> set[int]:
    """The workers of the scene's node that serve."""
    told = {event["pid"] for event in s.server.events if event["event"] == "worker_started"}
    return told & set(workers_of(s.server.process.pid))


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
        assert "scailookup_log_lines_lost_total" in s.look()
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        s.load.more(20)


def test_descriptors_run_out(scene: Make, tmp_path: Path) -> None:
    """Idle connections take every descriptor of one node, then go away."""
    with scene() as s, pair(s, tmp_path / "edge"):
        pid = s.server.process.pid
        left = len(os.listdir(f"/proc/{pid}/fd")) + 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (left, left))
        with contextlib.ExitStack() as idle:
            for _ in range(4):
                idle.enter_context(socket.create_connection(("127.0.0.1", s.server.port)))
            until(lambda: "scailookup_process_descriptors" in s.look())
            for _ in range(40):
                idle.enter_context(socket.create_connection(("127.0.0.1", s.server.port)))
            s.server.event("descriptors_exhausted")
            s.load.more(60)
        s.recovers()
