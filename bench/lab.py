"""What every measurement shares: a directory, two cores, the upstream, the issuer and its tokens."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.client import ask
from bench.processes import BenchError, Child, cores, stop_all

__all__ = ["MODELS", "Grid", "Lab", "tell"]

ROOT = Path(__file__).parent.parent
MODELS = "/api/v1/scaigrid/models"
TENANTS = 1000


def tell(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


class Grid:
    """The bench upstream, from outside."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}"

    def serve(self, rows: int, delay_ms: int = 0) -> None:
        """Have every list be of ``rows`` rows, each answer after ``delay_ms``."""
        ask(self.port, f"/set?rows={rows}&delay={delay_ms}")

    def count(self) -> int:
        """How many requests came so far."""
        return int(json.loads(ask(self.port, "/count").body)["count"])


class Lab:
    """A context: upstream and issuer run inside, and nothing that was started is left after it."""

    def __init__(self) -> None:
        self.server_core, self.load_core = cores()
        self._children: list[Child] = []
        self._names: dict[str, int] = {}

    def __enter__(self) -> Lab:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        self.work = Path(self._folder.name)
        try:
            self._furnish()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all(self._children)
        self._folder.cleanup()

    def _furnish(self) -> None:
        grid = self.start_module("bench.upstream", core=self.load_core)
        self.upstream = Grid(int(grid.said(r'"port": (\d+)')))
        issuer = self.start_module("bench.issuer", core=self.load_core)
        port = int(issuer.said(r'"port": (\d+)'))
        self.issuer = f"http://127.0.0.1:{port}"
        self.audience = issuer.said(r'"audience": "([^"]+)"')
        self.tokens: list[str] = json.loads(ask(port, f"/mint?count={TENANTS}").body)["tokens"]

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a process that ends with the lab at the latest."""
        self._names[name] = self._names.get(name, 0) + 1
        unique = f"{name}-{self._names[name]}"
        child = Child(unique, command, core=core, work=self.work, env=env, cwd=cwd)
        self._children.append(child)
        return child

    def start_module(self, module: str, *arguments: str, core: int) -> Child:
        """Start one of our own modules."""
        return self.start(module, [sys.executable, "-m", module, *arguments], core=core, cwd=ROOT)

    def stop(self, *children: Child) -> None:
        """End these children now."""
        stop_all(children)
        self._children = [child for child in self._children if child not in children]

    def cpu_seconds(self) -> float:
        """CPU time of the bench so far: this process, what it has waited for, and what runs in the lab."""
        own = os.times()
        ended = own.user + own.system + own.children_user + own.children_system
        return ended + sum(child.cpu_seconds() for child in self._children)

    def until_it_answers(self, child: Child, port: int, seconds: float = 10.0) -> None:
        """Wait until ``port`` takes connections."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise BenchError(f"{child.name} does not listen")

    def rotation(self, name: str, paths: Sequence[str], tokens: Sequence[str]) -> Path:
        """A file for rotate.lua: every path with every token."""
        file = self.work / f"{name}.requests"
        file.write_text("".join(f"{path} {token}\n" for token in tokens for path in paths))
        return file
