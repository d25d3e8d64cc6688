"""A real redis-server on a free loopback port, with a directory of its own; stopped by its id."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import redis

GUARD = 60.0  # no test is about time: only a hang ends here


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition, and return what it gave."""
    end = time.monotonic() + GUARD
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """Started at once; ``client`` is a way in for tests, ``url`` the way in for the product."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        """Start it, or start it again where it was, empty."""
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, "Redis answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(GUARD)

    def pause(self) -> None:
        """Have it hang: connections stay, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)

    def names(self, kind: str) -> list[bytes]:
        """The names of all records of a kind: entry, failure, lease."""
        return sorted(self.client.keys(f"scailookup:1:*:{kind}"))

    def scripts(self) -> int:
        """How many scripts ran so far: each step of a shared lookup is one."""
        stats = self.client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))

    def stop(self) -> None:
        """End it and forget it."""
        if self.process.poll() is None:
            self.resume()
            self.kill()
        self.client.close()
        self._folder.cleanup()
