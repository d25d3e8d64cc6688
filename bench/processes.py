"""The processes of a run: each on its core, its CPU time and memory read from /proc, all stopped by id."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["BenchError", "Child", "clean_environment", "cores", "stop_all", "tool"]

_TICK = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 30.0
_STOP_SECONDS = 12.0  # the service lets requests under way finish for up to nine seconds
_FOREIGN = ("SCAI", "VAULT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class BenchError(Exception):
    """Why the benchmark cannot go on, in a sentence."""


def cores() -> tuple[int, int]:
    """The core of the server under test, and that of the load; the same one when there is one only."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def tool(name: str) -> str:
    """The full path of an installed program; raises BenchError without it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{name} is missing")
    return path


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without whatever could configure a server under test, plus ``more``."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    return kept | dict(more or {})


class Child:
    """One process of ours, pinned to a core, its output kept in two files.

    It is told to end when we do, however we end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        work: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._files = [work / f"{name}.out", work / f"{name}.err"]
        pinned = [tool("setpriv"), "--pdeathsig", "TERM", tool("taskset"), "-c", str(core), *command]
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self._process = subprocess.Popen(  # noqa: S603
                pinned,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd or work,
                env=clean_environment(env),
                start_new_session=True,
            )
        self.pid = self._process.pid

    def said(self, pattern: str, seconds: float = _START_SECONDS) -> str:
        """Wait until a line of output matches, and return its first group."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = self._process.poll() is not None
            text = "\n".join(path.read_text(errors="replace") for path in self._files)
            found = re.search(pattern, text)
            if found:
                return found[1]
            if ended:
                raise BenchError(f"{self.name} ended with status {self._process.returncode}:\n{text[-2000:]}")
            time.sleep(0.02)
        raise BenchError(f"{self.name} did not start in {seconds:.0f} s:\n{text[-2000:]}")

    def cpu_seconds(self) -> float:
        """CPU time of the process and its children so far, user and system."""
        ticks = 0
        for pid in _family(self.pid):
            # Own time, then that of children which ended and were waited for.
            ticks += sum(int(field) for field in _stat(pid)[11:15])
        return ticks / _TICK

    def rss_bytes(self) -> int:
        """Resident memory of the process and its children."""
        return sum(_rss(pid) for pid in _family(self.pid))

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def reap(self) -> None:
        """Wait for the end, and enforce it when it does not come."""
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"{self.name} had to be killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()


def stop_all(children: Iterable[Child]) -> None:
    """End the children together, and return once they are gone."""
    children = list(children)
    for child in children:
        child.terminate()
    for child in children:
        child.reap()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the second may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["Z", "0", *["0"] * 20]


def _rss(pid: int) -> int:
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _family(pid: int) -> list[int]:
    """``pid`` and everything below it."""
    parents = {int(entry): int(_stat(int(entry))[1]) for entry in os.listdir("/proc") if entry.isdigit()}
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family
