"""A real Prometheus with the configuration of deploy/prometheus, which looks every half second."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import requests

from .redis_server import free_port, wait_until

__all__ = ["DEPLOY", "Prometheus", "promtool"]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def promtool(*args: str, stdin: bytes = b"") -> tuple[int, str]:
    """Its status and all it says."""
    done = subprocess.run(["promtool", *args], input=stdin, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


class Prometheus:
    """Started at once, in a directory of its own; it scrapes the admin listener at ``port``."""

    def __init__(self, directory: Path, port: int) -> None:
        given = (DEPLOY / "prometheus/prometheus.yml").read_text()
        rules = DEPLOY / "prometheus/scailookup.rules.yml"
        config = directory / "prometheus.yml"
        text = given.replace("15s", "500ms").replace("scailookup.rules.yml", str(rules))
        config.write_text(re.sub(r"127\.0\.0\.1:8002", f"127.0.0.1:{port}", text))
        self._base = f"http://127.0.0.1:{free_port()}"
        self._http = requests.Session()
        self._http.trust_env = False
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={self._base.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        wait_until(self._ready, "Prometheus is ready")

    def _ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus has ended"
        try:
            return self._http.get(f"{self._base}/-/ready", timeout=10).ok
        except requests.RequestException:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; its own words when it refuses."""
        answer = self._http.get(f"{self._base}/api/v1/{path}", params=parameters, timeout=60).json()
        assert answer["status"] == "success", answer["error"]
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The labels and values of an expression now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)
        self._http.close()
        self._log.close()
