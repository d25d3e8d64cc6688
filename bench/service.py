"""The real ``scailookup serve``: one worker, authentication on, the log at info into a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench.client import ask
from bench.lab import Lab
from bench.processes import BenchError, Child

__all__ = ["LASTING", "NO_MEMORY", "Service", "start_service"]

# Every request goes to the upstream.
NO_MEMORY = {
    "SCAILOOKUP_FRESH": "0",
    "SCAILOOKUP_STALE": "0",
    "SCAILOOKUP_STALE_IF_ERROR": "0",
    "SCAILOOKUP_FAILURE_MEMORY": "0",
}
# Nothing has to be asked again while a row of many lists is measured.
LASTING = {"SCAILOOKUP_FRESH": "3600"}


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and where it listens."""

    child: Child
    port: int


def start_service(
    lab: Lab,
    name: str,
    settings: Mapping[str, str] | None = None,
    pythonpath: str | None = None,
    port: int = 0,
) -> Service:
    """Start the service on the core under test and wait until it is ready to serve."""
    environment = {
        "SCAIGRID_BASE_URL": lab.upstream.base,
        "SCAIKEY_BASE_URL": lab.issuer,
        "SCAIKEY_AUDIENCE": lab.audience,
        "SCAILOOKUP_ADMIN": "127.0.0.1:0",
        "SCAILOOKUP_LOG_LEVEL": "info",
        "SCAILOOKUP_WORKERS": "1",
        **(settings or {}),
        **({"PYTHONPATH": pythonpath} if pythonpath else {}),
    }
    command = [sys.executable, "-m", "scailookup", "serve", "--port", str(port)]
    child = lab.start(f"scailookup-{name}", command, core=lab.server_core, env=environment)
    line = child.said(r'(\{[^\n]*"event":\s*"listening"[^\n]*\})')
    port = _port(line)
    if ask(port, "/readyz").status != 200:
        raise BenchError(f"the service {name} is not ready")
    return Service(child, port)


def _port(line: str) -> int:
    return int(json.loads(line)["port"])
