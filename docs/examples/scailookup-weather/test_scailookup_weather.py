"""The plugin against samples of the weather service's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import scailookup_weather

from scailookup.testing import Echo, conforms, look_up, serve, settings

[WEATHER] = scailookup_weather.scailookup_upstreams(settings())
SECRETS = {"weather/api#key": "k-1"}


def sample(name: str) -> Any:
    """One answer of the weather service."""
    return json.loads(Path(__file__).with_name("sample").joinpath(name).read_text(encoding="utf-8"))


def test_it_conforms() -> None:
    """Every rule holds."""
    conforms(WEATHER, {"stations": sample("stations.json"), "stations/north/alerts": sample("alerts.json")})


def test_stations() -> None:
    """The key is sent; a station without a label is called by its id."""
    replies = {"/v3/stations": sample("stations.json")}
    looked = look_up(WEATHER, "stations", replies=replies, secrets=SECRETS)
    assert looked.requests[0].headers["x-api-key"] == "k-1"
    assert looked.rows == [
        {"id": "s1", "display_name": "Harbour", "kind": "sea"},
        {"id": "s2", "display_name": "s2", "kind": "land"},
    ]


def test_it_serves() -> None:
    """Over sockets: a filter, and a region as one segment."""
    replies = {"/v3/stations": sample("stations.json"), "/v3/far%2Fnorth/alerts": sample("alerts.json")}
    with Echo(replies) as upstream:
        with serve(scailookup_weather, secrets=SECRETS, SCAILOOKUP_WEATHER_BASE_URL=upstream.url) as service:
            stations = service.get("/weather/stations?kind=sea").json()["data"]
            alerts = service.get("/weather/stations/far%2Fnorth/alerts").json()["data"]
    assert [row["id"] for row in stations] == ["s1"]
    assert alerts == [{"id": "a7", "display_name": "Gale"}]
