"""Measure, compare, write down. Exit status: 0 all floors met, 1 one missed, 2 the run could not be made."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench.engines import measure_engines
from bench.floors import Results, floors
from bench.growth import measure_rows, measure_tenants
from bench.herd import measure_herd
from bench.lab import Lab, tell
from bench.machine import describe, missing, stolen
from bench.plugins import measure_plugins
from bench.processes import BenchError
from bench.report import document, tables
from bench.shared import measure_shared
from bench.speed import BIG, ROWS, measure_speed
from bench.stall import measure_stall

_ROOT = Path(__file__).parent.parent
_OTHERS = ("engines", "herd", "stall", "plugins", "tenants", "growth", "shared")
NAMES = (*ROWS, *BIG, *_OTHERS)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What scailookup costs. A whole run writes bench/RESULTS.md and docs/growth-*.svg.",
        epilog=f"names for --only: {', '.join(NAMES)}",
    )
    parser.add_argument("--only", metavar="NAMES", help="measure these alone, and write no file")
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds of each row (3)")
    parser.add_argument("--seconds", type=_positive, default=4, help="whole seconds of each round (4)")
    asked = parser.parse_args(arguments)
    asked.names = asked.only.split(",") if asked.only else list(NAMES)
    unknown = sorted(set(asked.names) - set(NAMES))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    return asked


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _measure(asked: argparse.Namespace) -> Results:
    results = Results()
    half = max(1, asked.seconds // 2)
    parts = [name for name in _OTHERS if name in asked.names]
    if set(asked.names) - set(_OTHERS):
        parts.insert(0, "speed")

    def due(part: str) -> bool:
        """Whether this part is asked for; it is then the one that begins."""
        if part in parts:
            tell(f"part {parts.index(part) + 1} of {len(parts)}")
        return part in parts

    with Lab() as lab:
        # The load, and we who ask, keep away from the server's core.
        os.sched_setaffinity(0, {lab.load_core})
        if due("speed"):
            results.speed = measure_speed(lab, asked.names, asked.rounds, asked.seconds)
        if due("engines"):
            results.engines = measure_engines(lab, asked.rounds)
        if due("herd"):
            results.herd = measure_herd(lab)
        if due("stall"):
            results.stall = measure_stall(lab)
        if due("plugins"):
            # A few percent are asked about here: many short rounds.
            results.plugins = measure_plugins(lab, 4 * asked.rounds + 1, half)
        if due("tenants"):
            results.tenants = measure_tenants(lab, asked.rounds, half)
        if due("growth"):
            results.rows = measure_rows(lab, asked.rounds, half)
        if due("shared"):
            results.shared = measure_shared(lab, asked.rounds, half)
    return results


def _write(machine: dict[str, str], asked: argparse.Namespace, results: Results) -> None:
    """The files of a whole run."""
    from bench.plots import draw

    command = f"python -m bench --rounds {asked.rounds} --seconds {asked.seconds}"
    text = document(machine, command, results, floors(results))
    (_ROOT / "bench/RESULTS.md").write_text(text)
    draw(results, _ROOT / "docs")
    tell("written: bench/RESULTS.md, docs/growth-rows.svg, docs/growth-tenants.svg, docs/growth-plugins.svg")


def _end(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that everything started is stopped."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run, and return the exit status."""
    asked = _parse(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    absent = missing()
    if absent:
        tell("\n".join(absent))
        return 2
    if len(os.sched_getaffinity(0)) < 2:
        tell("one core only: server and load share it, and the rates mean little")
    try:
        return _run(asked)
    except BenchError as exc:
        tell(f"cannot go on: {exc}")
        return 2
    except KeyboardInterrupt:
        tell("stopped")
        return 130


def _run(asked: argparse.Namespace) -> int:
    """Measure, print and write."""
    machine, (kept, all_) = describe(), stolen()
    started = time.monotonic()
    results = _measure(asked)
    after, all_after = stolen()
    machine["Stolen by the hypervisor"] = f"{(after - kept) / max(1, all_after - all_):.1%} of the CPU time"
    machine["Duration"] = f"{(time.monotonic() - started) / 60:.1f} minutes"
    found = floors(results)
    print(tables(results, found), flush=True)
    if not asked.only:
        _write(machine, asked, results)
    return 0 if all(floor.met for floor in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
