"""The machine a run was made on, in words, and what has to be installed for one."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path

import scailookup
from bench.processes import BenchError, tool

__all__ = ["busy_seconds", "describe", "missing", "stolen"]

_TOOLS = {
    "wrk": "wrk",
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "taskset": "util-linux",
    "setpriv": "util-linux",
}
_MODULES = ("fastapi", "httpx", "uvicorn", "matplotlib")


def missing() -> list[str]:
    """What is not there, each line with the command that brings it."""
    packages = []
    for name, package in _TOOLS.items():
        try:
            tool(name)
        except BenchError:
            packages.append(package)
    lines = []
    if packages:
        lines.append(f"missing programs: apt-get install -y {' '.join(sorted(set(packages)))}")
    modules = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if modules:
        lines.append(f"missing modules ({', '.join(modules)}): pip install -r bench/requirements.txt")
    return lines


def describe() -> dict[str, str]:
    """Names and values for the head of the results."""
    usable = len(os.sched_getaffinity(0))
    return {
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Machine": f"{usable} cores of {_processor()}, {_memory()}",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Load before the run": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "scailookup": scailookup.__version__,
        "Packages": ", ".join(_package(name) for name in ("tornado", "msgspec", "PyJWT", *_MODULES[:3])),
        "pycurl": _curl(),
        "nginx, wrk": f"{_first(tool('nginx'), '-v')}, {_first(tool('wrk'), '-v')}",
    }


def stolen() -> tuple[int, int]:
    """Ticks that the hypervisor kept from us so far, and all ticks."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def busy_seconds() -> float:
    """Seconds that all cores were busy so far, what the hypervisor kept from us among them."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> str:
    found = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return f"{int(found[1]) / 2**20:.0f} GiB" if found else "memory unknown"


def _package(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} none"


def _curl() -> str:
    import pycurl

    words = [word for word in pycurl.version.split() if word.startswith(("PycURL", "libcurl"))]
    return ", ".join(words)


def _first(program: str, flag: str) -> str:
    """The version in the first line that a program says of itself."""
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)  # noqa: S603
    line = (done.stdout + done.stderr).splitlines()[0]
    return re.sub(r"^nginx version: |\[.*| Copyright.*", "", line).strip()
