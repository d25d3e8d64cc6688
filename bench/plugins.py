"""Hit rates of a service with three upstreams and of one with two hundred."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.client import ask, bearer
from bench.lab import MODELS, Lab, tell
from bench.load import Figure, Row, measure
from bench.processes import BenchError
from bench.service import LASTING, Service, start_service

__all__ = ["Plugins", "measure_plugins"]

OWN = 3  # upstreams that scailookup brings along
SIZES = (3, 50, 100, 200)
_MODULE = '''"""A throw-away plugin: the models of ScaiGrid once more."""

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.shapes import model_row


@hookimpl
def scailookup_upstreams(settings):
    """One upstream with three lookups."""
    kinds = (Filter("modality"),)
    models = Lookup("models", settings.models_path, row=model_row, key="slug", filters=kinds)
    scopes = Lookup("scopes", "/v1/scopes")
    queues = Lookup("scopes/{{scope_id}}/queues", "/v1/scopes/{{scope_id}}/queues")
    access = auth.Platform(needs="models:list")
    return [Upstream("{name}", settings.grid_url, access, lookups=(models, scopes, queues))]
'''


@dataclass(frozen=True, slots=True)
class Plugins:
    """Hits of the last plugin's models, by number of upstreams; ``first`` of scaigrid's among the most."""

    last: dict[int, Figure]
    first: Figure


def measure_plugins(lab: Lab, rounds: int, seconds: int) -> Plugins:
    """Measure all sizes in turn; the same list, the same bytes, from a route that stands last."""
    tell("growth with plugins")
    services = {size: _start(lab, size) for size in SIZES}
    few, *between, many = SIZES
    order = (few, many, *between)  # few and many next to each other in time
    rows = [_row(lab, f"{many} upstreams, the first", services[many], MODELS)]
    for size in order:
        path = MODELS if size == OWN else MODELS.replace("scaigrid", _name(size - OWN - 1))
        rows.append(_row(lab, f"{size} upstreams", services[size], path))
    first, *figures = measure(lab, rows, rounds, seconds)
    lab.stop(*(service.child for service in services.values()))
    last = dict(zip(order, figures, strict=True))
    return Plugins({size: last[size] for size in SIZES}, first)


def _row(lab: Lab, name: str, service: Service, path: str) -> Row:
    return Row(name, service.child, service.port, path, bearer(lab.tokens[0]), calls=0.0)


def _name(number: int) -> str:
    """As long as ``scaigrid``, so that requests are equally long."""
    return f"bench{number:03}"


def _start(lab: Lab, size: int) -> Service:
    folder = lab.work / f"plugins-{size}"
    _write(folder, size - OWN)
    service = start_service(lab, f"plugins-{size}", LASTING, pythonpath=str(folder))
    served = json.loads(ask(service.port, "/api/v1/lookups", bearer(lab.tokens[0])).body)
    if len(served["data"]) != size:
        raise BenchError(f"the catalogue shows {len(served['data'])} upstreams, not {size}")
    return service


def _write(folder: Path, count: int) -> None:
    """Modules and the metadata of one distribution that offers them all."""
    names = [_name(number) for number in range(count)]
    facts = folder / "bench_plugins-0.dist-info"
    facts.mkdir(parents=True)
    for name in names:
        (folder / f"scailookup_{name}.py").write_text(_MODULE.format(name=name))
    points = "".join(f"{name} = scailookup_{name}\n" for name in names)
    (facts / "entry_points.txt").write_text(f"[scailookup]\n{points}")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-plugins\nVersion: 0\n")
