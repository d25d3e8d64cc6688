"""nginx with the files of deploy/nginx, on http: TLS would be most of what is measured."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.lab import ROOT, Lab
from bench.processes import Child, tool

sys.path.insert(0, str(ROOT / "deploy" / "nginx"))

from render import render

__all__ = ["start_edge"]

# The bench is one address with few tokens: the limits are counted and never reached.
_RATES = (1_000_000, 1_000_000)


def start_edge(lab: Lab, ports: Sequence[int], *, core: int, microcache: bool = False) -> tuple[Child, int]:
    """The site before nodes on these ports: its process and where it listens."""
    directory = Path(lab.work / f"edge-{ports[0]}")
    port, plain = _free_port(), _free_port()
    config = render(
        directory,
        listen=f"127.0.0.1:{port}",
        plain=f"127.0.0.1:{plain}",
        nodes=[f"127.0.0.1:{each}" for each in ports],
        microcache=microcache,
        rates=_RATES,
    )
    command = [tool("nginx"), "-p", f"{directory}/", "-c", str(config), "-e", "stderr"]
    child = lab.start("edge", command, core=core)
    lab.until_it_answers(child, port)
    return child, port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
