"""Prometheus, the alerts and the dashboard over a real service: no panel is empty, no alert is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.support import API_MODELS, API_SCOPES, MODEL, MODELS, SCOPES, Reply, Site
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from scailookup.metrics import FAMILIES

from .prometheus import DEPLOY, Prometheus, promtool
from .redis_server import RedisServer, wait_until

ALERTS = Path(__file__).with_name("alerts.yml")
RULES = DEPLOY / "prometheus/scailookup.rules.yml"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/scailookup.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES = [variable for variable in BOARD["templating"]["list"] if variable["type"] == "query"]
# What Grafana makes of the variables when all is chosen, and of the interval.
CHOSEN = {"$__rate_interval": "30s", **{f"${variable['name']}": ".+" for variable in VARIABLES}}
# Words of Prometheus's annotations, which Grafana's library for dashboards does not know.
ANNOTATION = {"step", "textFormat", "titleFormat"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two workers with a secret store and a shared cache, and an upstream that does well only in part."""
    shared = RedisServer()
    made = Site(
        tmp_path_factory.mktemp("site"),
        secrets={"tnt_acme": {"scaigrid_api_key": "sgk_" + "k" * 20}},
        SCAIFLOW_DEPLOY_AUTH="api_key",
        SCAILOOKUP_CACHE_URL=shared.url,
        SCAILOOKUP_FRESH="1",
        SCAILOOKUP_WORKERS="2",
    )
    made.grid.on(MODELS, {"data": [MODEL, "no row"]})
    made.grid.on(SCOPES, Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500))
    yield made
    made.stop()
    shared.stop()


@pytest.fixture(scope="module")
def prometheus(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen the service answer, fail and refuse, each for a while."""
    made = Prometheus(tmp_path_factory.mktemp("prometheus"), site.server.admin_port or 0)

    def seen() -> bool:
        assert [200, 502, 401] == [
            site.get(path, token).status
            for path, token in ((API_MODELS, ""), (API_SCOPES, ""), (API_MODELS, "x"))
        ]
        failing = 'rate(scailookup_upstream_calls_total{code="upstream"}[30s]) > 0'
        return bool(made.query(failing) and made.query("rate(scailookup_rows_dropped_total[30s]) > 0"))

    wait_until(seen, "Prometheus has seen failed calls and dropped rows")
    yield made
    made.stop()


def filled(expression: str) -> str:
    """An expression as Grafana would send it."""
    for name, value in CHOSEN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def test_promtool_takes_configuration_and_rules() -> None:
    """They are valid, and no rule is there twice."""
    status, said = promtool("check", "config", "--lint-fatal", str(DEPLOY / "prometheus/prometheus.yml"))
    assert status == 0, said


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    """promtool plays series to them, to each alert some that it fires for and some that it does not."""
    status, said = promtool("test", "rules", str(ALERTS))
    assert status == 0, said
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    text = ALERTS.read_text()
    assert alerts == set(
        re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", text)
    )
    assert alerts == set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", text))


def test_promtool_finds_no_fault_in_a_scrape(site: Site) -> None:
    """Names, units and help texts are what Prometheus expects."""
    status, said = promtool("check", "metrics", stdin=site.get("/metrics", None, admin=True).body)
    assert (status, said) == (0, "")


def test_prometheus_evaluates_every_alert(prometheus: Prometheus) -> None:
    """No rule fails over real figures."""

    def healths() -> set[str]:
        return {rule["health"] for group in prometheus.ask("rules")["groups"] for rule in group["rules"]}

    wait_until(lambda: "unknown" not in healths(), "every rule has been evaluated")
    assert healths() == {"ok"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"].replace(" ", "-"))
def test_each_panel_shows_something(prometheus: Prometheus, panel: dict[str, Any]) -> None:
    """Every expression finds figures of the running service, with each label that its legend names."""
    for target in panel["targets"]:
        found = prometheus.query(filled(target["expr"]))
        assert found, target["expr"]
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert all(series["metric"].get(label) for series in found), (target["expr"], label)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable["name"])
def test_each_variable_offers_something(prometheus: Prometheus, variable: dict[str, Any]) -> None:
    """The choices at the top of the dashboard are not empty."""
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert asked
    assert prometheus.ask(f"label/{asked[2]}/values", **{"match[]": filled(asked[1])})


def test_every_figure_is_on_the_dashboard() -> None:
    """What is measured is shown."""
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert [] == [name for name in FAMILIES if name not in shown]


def test_the_annotations_are_the_alerts(prometheus: Prometheus) -> None:
    """They ask for what Prometheus keeps of its alerts."""
    (annotation,) = BOARD["annotations"]["list"]
    prometheus.query(annotation["expr"])
    assert all(re.match("Scailookup.+", name) for name in re.findall(r"- alert: (\w+)", RULES.read_text()))


def test_grafana_s_own_types_know_every_word() -> None:
    """Read and written by its library for dashboards, of the same schema, the dashboard loses nothing."""
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARD)))
    assert BOARD["schemaVersion"] == Dashboard().schema_version
    assert [] == [place for place in lost(BOARD, again) if place.rpartition("/")[2] not in ANNOTATION]


def lost(given: Any, again: Any, place: str = "") -> Iterator[str]:
    """Where ``again`` lacks, or has changed, what ``given`` has; more it may have."""
    if isinstance(given, dict) and isinstance(again, dict):
        for name in given:
            yield from lost(given[name], again.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(again, list) and len(given) == len(again):
        for number, (one, other) in enumerate(zip(given, again, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif given != again:
        yield place


def test_panels_have_places_of_their_own() -> None:
    """None lies over another, and each asks the chosen Prometheus."""
    cells = [
        (x, y)
        for panel in BOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
