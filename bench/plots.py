"""The growth curves as SVG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.floors import Results

__all__ = ["draw"]

_BLUE, _RED = "#1f5fa8", "#b5402a"
mpl.rcParams.update({"svg.hashsalt": "scailookup", "svg.fonttype": "none", "font.size": 10})


def draw(results: Results, folder: Path) -> None:
    """Write the curves of what was measured."""
    if results.rows:
        _rows(results, folder / "growth-rows.svg")
    if results.tenants:
        _tenants(results, folder / "growth-tenants.svg")
    if results.plugins is not None:
        _plugins(results, folder / "growth-plugins.svg")


def _axes(x: str, y: str, title: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(7, 4), layout="constrained")
    axes = canvas.subplots()
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _save(canvas: Canvas, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    canvas.savefig(path, format="svg", metadata={"Date": None})
    # Matplotlib ends lines with blanks.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, marker="o", color=colour, label=label)


def _from_zero(axes: Axes, y: Sequence[float]) -> None:
    axes.set_ylim(0, 1.15 * max(y))


def _rows(results: Results, path: Path) -> None:
    canvas, axes = _axes("rows in the list", "CPU µs a request", "Cost by the length of the list")
    sizes = list(results.rows)
    _line(axes, sizes, [miss.cpu_us for miss, _ in results.rows.values()], _RED, "from the upstream")
    _line(axes, sizes, [hit.cpu_us for _, hit in results.rows.values()], _BLUE, "from memory")
    axes.set(xscale="log", yscale="log")
    axes.legend(frameon=False)
    _save(canvas, path)


def _tenants(results: Results, path: Path) -> None:
    title = "Memory and hit rate by tenants, three lists of 10 KB each"
    canvas, axes = _axes("tenants in memory", "hits a second", title)
    counts = [each.tenants for each in results.tenants]
    rates = [each.figure.rate for each in results.tenants]
    sizes = [each.figure.rss / 2**20 for each in results.tenants]
    _line(axes, counts, rates, _BLUE, "hits a second")
    axes.set(xscale="log")
    _from_zero(axes, rates)
    memory = axes.twinx()
    memory.spines["top"].set_visible(False)
    memory.set(ylabel="resident memory, MiB")
    _line(memory, counts, sizes, _RED, "resident memory")
    _from_zero(memory, sizes)
    canvas.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(canvas, path)


def _plugins(results: Results, path: Path) -> None:
    assert results.plugins is not None
    last = results.plugins.last
    canvas, axes = _axes("upstreams", "hits a second", "Hit rate by the number of upstreams")
    rates = [figure.rate for figure in last.values()]
    _line(axes, list(last), rates, _BLUE, "the last plugin's list")
    _from_zero(axes, rates)
    axes.legend(frameon=False, loc="lower left")
    _save(canvas, path)
