"""Figures: counted plainly, added up over processes, never going back, all of them documented."""

from __future__ import annotations

import json
import os
import re
import resource
from pathlib import Path

from scailookup.metrics import BUCKETS, FAMILIES, Metrics, counters, expose, merge
from scailookup.model import Call

DOCS = Path(__file__).resolve().parents[1] / "docs"
DEPLOY = DOCS.parent / "deploy"


def call(code: str | None, status: int | None = 200, *, duration: float = 0.02, dropped: int = 0) -> Call:
    """One finished call to a lookup `grid/models`."""
    return Call(
        upstream="grid",
        lookup="models",
        tenant="tnt_secret",
        credential="caller",
        url="",
        status=status,
        code=code,
        attempt=1,
        bytes=0,
        rows=0,
        dropped=dropped,
        duration=duration,
        request_id="r",
    )


def lines(metrics: Metrics) -> list[str]:
    """The exposed lines."""
    return expose(metrics.snapshot()).decode().splitlines()


def test_requests_are_counted_by_route_status_and_outcome() -> None:
    """Each answered request adds one."""
    metrics = Metrics()
    for _ in range(3):
        metrics.requested("scaigrid/models", 200, "hit", 0.001)
    assert 'scailookup_requests_total{outcome="hit",route="scaigrid/models",status="200"} 3.0' in lines(
        metrics
    )


def test_codes_of_upstreams_are_one_label() -> None:
    """An upstream can invent as many codes as it likes; tenants do not show at all."""
    metrics = Metrics()
    for code, status in (("QUOTA", 429), ("BUSY", 503), ("timeout", 504), ("timeout", None)):
        metrics.called(call(code, status))
    found = [line for line in lines(metrics) if line.startswith("scailookup_upstream_calls_total{")]
    labels = [re.search('code="([a-z]+)".*status="(\\w+)"', line).groups() for line in found]  # type: ignore[union-attr]
    assert {("upstream", "429"), ("upstream", "503"), ("upstream", "504"), ("timeout", "none")} == set(labels)
    assert not [line for line in lines(metrics) if "tnt_secret" in line]


def test_durations_fall_into_buckets() -> None:
    """Buckets are cumulative; a duration on a bound belongs to it, one beyond all to the last alone."""
    metrics = Metrics()
    for duration in (0.005, 0.3, 99.0):
        metrics.called(call(None, duration=duration))
    text = "\n".join(lines(metrics))
    for bound, count in (("0.005", 1), ("0.25", 1), ("0.5", 2), ("10.0", 2), ("+Inf", 3)):
        assert f'seconds_bucket{{le="{bound}",lookup="models",upstream="grid"}} {count}.0' in text
    assert "scailookup_upstream_call_seconds_sum" in text


def test_durations_of_requests_are_of_their_route() -> None:
    """Whatever their status and outcome; the sum is exact."""
    metrics = Metrics()
    metrics.requested("scaigrid/models", 200, "hit", 0.0005)
    metrics.requested("scaigrid/models", 502, "none", 3.0)
    metrics.requested("healthz", 200, "none", 0.25)
    found = [
        line for line in lines(metrics) if "request_seconds" in line and 'route="scaigrid/models"' in line
    ]
    for text in ('bucket{le="0.001",route="scaigrid/models"} 1.0', 'le="2.5",route="scaigrid/models"} 1.0'):
        assert [line for line in found if text in line]
    assert 'scailookup_request_seconds_count{route="scaigrid/models"} 2.0' in found
    assert 'scailookup_request_seconds_sum{route="scaigrid/models"} 3.0005' in found


def test_descriptors_are_counted() -> None:
    """One more file is one more; the limit is this process's."""
    metrics = Metrics()
    before = metrics.snapshot()["scailookup_process_descriptors"][()][0]
    with open(os.devnull):
        found = metrics.snapshot()
    assert found["scailookup_process_descriptors"] == {(): [before + 1]}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert found["scailookup_process_descriptors_limit"] == {(): [limit]}


def test_figures_are_read_without_a_descriptor_left() -> None:
    """Who looks at a process in that trouble is told that all are taken."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    metrics = Metrics()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        found = metrics.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found["scailookup_process_descriptors"] == {(): [3]}


def test_processes_are_added_up_and_ages_are_the_highest() -> None:
    """Of two processes: sizes and counts are sums, states and ages the worse of the two."""
    first, second = Metrics(), Metrics()
    for metrics, entries, age in ((first, 3, 10.0), (second, 4, 7.0)):
        metrics.called(call(None, dropped=2))
        metrics.watch(
            {
                "scailookup_cache_entries": lambda entries=entries: {(): entries},  # type: ignore[misc]
                "scailookup_signing_key_age_seconds": lambda age=age: {(): age},  # type: ignore[misc]
            }
        )
    both = merge([first.snapshot(), second.snapshot()])
    assert both["scailookup_cache_entries"] == {(): [7]}
    assert both["scailookup_signing_key_age_seconds"] == {(): [10.0]}
    assert both["scailookup_rows_dropped"] == {("grid", "models"): [4]}
    assert sum(both["scailookup_upstream_call_seconds"]["grid", "models"][: len(BUCKETS) + 1]) == 2


def test_of_a_process_that_ended_only_counters_stay() -> None:
    """Its memory is free and its cache empty; what it counted was counted."""
    metrics = Metrics()
    metrics.requested("healthz", 200, "none", 0.001)
    kept = counters(metrics.snapshot())
    assert kept["scailookup_requests"] == {("healthz", "200", "none"): [1]}
    assert "scailookup_process_resident_bytes" not in kept


def test_a_counter_goes_on_where_the_one_before_ended() -> None:
    """Who takes over from another starts at zero, and the family does not."""
    metrics = Metrics()
    metrics.watch({"scailookup_cache_evictions": lambda: {(): 5}})
    metrics.watch({"scailookup_cache_evictions": lambda: {(): 1}})
    assert metrics.snapshot()["scailookup_cache_evictions"] == {(): [6]}


def test_every_family_is_documented_as_it_is() -> None:
    """`docs/metrics.md` has one row for each, with its kind and labels, and no other."""
    rows = re.findall(
        r"^\| `(scailookup_\w+)` \| (\w+)[^|]* \| ([^|]*) \|", (DOCS / "metrics.md").read_text(), re.M
    )
    documented = {name: (kind, tuple(re.findall("`([a-z]+)`", labels))) for name, kind, labels in rows}
    suffix = {"counter": "_total"}
    assert documented == {
        family.name + suffix.get(family.kind, ""): (family.kind, family.labels)
        for family in FAMILIES.values()
    }


def test_every_alert_is_documented() -> None:
    """`docs/metrics.md` says of each when it fires and what to do, in the order of the rules."""
    rules = (DEPLOY / "prometheus/scailookup.rules.yml").read_text()
    rows = re.findall(r"^\| `(Scailookup\w+)` \| [^|]+ \| [^|]+ \|$", (DOCS / "metrics.md").read_text(), re.M)
    assert rows == re.findall(r"- alert: (\w+)", rules)


def expressions() -> list[str]:
    """What the alerts and the panels of the dashboard ask for."""
    rules = (DEPLOY / "prometheus/scailookup.rules.yml").read_text()
    alerts = re.findall(r"^ +expr: (.+)$", rules, re.M)
    assert len(alerts) == rules.count("- alert:")
    board = json.loads((DEPLOY / "grafana/dashboards/scailookup.json").read_text())
    return alerts + [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


def test_alerts_and_panels_name_only_what_there_is() -> None:
    """Every figure in an expression is exposed, by its full name and with labels it has."""
    exposed = {
        family.name + tail: {*family.labels, "instance", "job", "le"}
        for family in FAMILIES.values()
        for tail in {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[
            family.kind
        ]
    }
    for expression in expressions():
        found = re.findall(r"(scailookup_\w+)(?:\{([^}]*)\})?", expression)
        assert found or expression.startswith("up{")
        for name, labels in found:
            assert name in exposed
            assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= exposed[name]
        named = {label for names in re.findall(r"by \(([^)]*)\)", expression) for label in names.split(", ")}
        assert named <= set().union(*(exposed[name] for name, _ in found))
