"""scailookup plugin: weather stations and their alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scailookup import Filter, Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings, Url
from scailookup.shapes import only, text


@dataclass(frozen=True)
class Own:
    """Settings: SCAILOOKUP_WEATHER_BASE_URL."""

    base_url: Url = "https://api.weather.example"


def station(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One station: id, display_name, kind."""
    return only(
        {
            "id": text(raw, "stationId"),
            "display_name": text(raw, "label", "stationId"),
            "kind": text(raw, "type"),
        }
    )


def alert(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One alert: id, display_name."""
    return only({"id": text(raw, "alertId"), "display_name": text(raw, "headline", "alertId")})


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """The weather service, with one key for everybody."""
    return [
        Upstream(
            name="weather",
            base_url=settings.of("weather", Own).base_url,
            auth=auth.Header("X-Api-Key", secret="weather/api#key"),
            summary="Weather stations.",
            lookups=(
                Lookup("stations", "/v3/stations", row=station, filters=(Filter("kind", "land or sea"),)),
                Lookup("stations/{region}/alerts", "/v3/{region}/alerts", row=alert, summary="Alerts now."),
            ),
        )
    ]
