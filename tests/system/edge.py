"""A real nginx with the files of deploy/nginx, rendered for free ports; ended by its process id."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bao import free_port
from harness import GUARD, Answer, Pairs, certificate, fetch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "nginx"))

from render import render  # noqa: E402

__all__ = ["ROOT", "Edge"]


class Edge:
    """nginx in front of ``nodes`` (ports); ``port`` speaks https (``tls`` trusts it), ``plain`` http."""

    def __init__(self, directory: Path, nodes: Sequence[int], **options: Any) -> None:
        self.directory = directory
        self._nodes, self._options = nodes, options
        pem = certificate(directory / "edge.pem")
        self.tls = ssl.create_default_context(cafile=str(pem))
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(5):
            self.port, self.plain = free_port(), free_port()
            if self._started(pem):
                return
        raise RuntimeError(f"nginx does not start:\n{self.errors()}")

    def _started(self, pem: Path) -> bool:
        config = render(
            self.directory,
            listen=f"127.0.0.1:{self.port}",
            plain=f"127.0.0.1:{self.plain}",
            nodes=[f"127.0.0.1:{port}" for port in self._nodes],
            certificate=pem,
            **self._options,
        )
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [nginx, "-p", f"{self.directory}/", "-c", str(config), "-e", "stderr"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while self._process.poll() is None:
            try:
                fetch(self.plain, "/")
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def get(
        self,
        path: str,
        token: str | None = None,
        headers: Pairs = (),
        method: str = "GET",
        body: bytes = b"",
        plain: bool = False,
    ) -> Answer:
        """Ask for a raw path; ``token`` goes out as a bearer."""
        pairs = [*(headers.items() if hasattr(headers, "items") else headers)]
        pairs += [("Authorization", f"Bearer {token}")] if token else []
        if plain:
            return fetch(self.plain, path, method, pairs, body)
        return fetch(self.port, path, method, pairs, body, tls=self.tls)

    def reload(self) -> None:
        """SIGHUP: new workers take over, the old ones finish what they have."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def errors(self) -> str:
        """nginx's error log."""
        log = self.directory / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def stop(self) -> None:
        """End nginx and its workers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(GUARD)
