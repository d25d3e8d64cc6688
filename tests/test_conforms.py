"""Every rule of `conforms` fails on an upstream that breaks it, and a good one passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from scailookup import Ask, Filter, Gathered, Lookup, Question, Upstream, auth, layout, paging
from scailookup.shapes import only, text
from scailookup.testing import conforms

SAMPLE = {"data": [{"key": "s1", "label": "Harbour", "type": "sea"}, {"key": "s2", "label": None}]}


def station(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One station: id, display_name, kind."""
    return only(
        {
            "id": text(raw, "key"),
            "display_name": text(raw, "label", "key"),
            "kind": text(raw, "type"),
        }
    )


def made(*lookups: Lookup, name: str = "weather", by: Any = None) -> Upstream:
    """An upstream of these lookups."""
    return Upstream(name, "https://weather.example", by or auth.Anonymous(), lookups)


def broken(upstream: Upstream, samples: Mapping[str, Any], **more: Any) -> str:
    """What the suite says of an upstream that breaks a rule."""
    with pytest.raises(AssertionError) as caught:
        conforms(upstream, samples, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "by",
    [
        auth.Bearer("weather/{tenant}/api"),
        auth.Basic("weather/login"),
        auth.Header("X-Api-Key", secret="weather/api#key"),
        auth.ClientCredentials("https://login.example/token", secret="weather/client"),
        auth.ForwardCaller(),
    ],
    ids=lambda by: type(by).__name__,
)
def test_a_good_upstream_passes(by: Any) -> None:
    """Whatever it signs with, each rule holds."""
    lookup = Lookup("stations/{region}", "/v3/{region}", row=station, filters=(Filter("kind"),))
    conforms(made(lookup, by=by), {"stations/north": SAMPLE})


def test_a_good_one_of_pages_passes() -> None:
    """A tuple is the pages in order."""
    lookup = Lookup("all", "/all", row=station, paging=paging.Number("page"))
    conforms(made(lookup), {"all": (SAMPLE, {"data": [{"key": "s3"}]}, {"data": []})})


def test_a_good_one_of_several_calls_passes() -> None:
    """A mapping of targets is the replies."""

    async def gather(ask: Ask) -> Gathered:
        names = (await ask("/names")).body["names"]
        found = await ask.all([Question("/one/{name}", {"name": name}) for name in names])
        return Gathered([got.body for got in found])

    conforms(
        made(Lookup("all", gather=gather, row=station)),
        {"all": {"/names": {"names": ["a", "b"]}, "/one/a": {"key": "a"}, "/one/b": {"key": "b"}}},
    )


def test_a_good_one_that_is_a_map_passes() -> None:
    """A map keyed by id is read as the lookup's layout says."""
    lookup = Lookup("all", "/all", row=station, layout=layout.Map(key="key"))
    conforms(made(lookup), {"all": {"s1": {"label": "Harbour"}}})


def test_names_of_the_services_own() -> None:
    """An upstream may not be called like a route of the service."""
    said = broken(made(Lookup("all", "/all"), name="tenants"), {"all": [{"id": "1"}]})
    assert "names: /tenants is a route of the service's own" in said


def test_two_lookups_that_one_path_could_mean() -> None:
    """Routes that differ in a field's name alone are one route."""
    upstream = made(Lookup("{a}/x", "/a/{a}"), Lookup("{b}/x", "/b/{b}"))
    assert "names: 2 lookups have routes of the form {}/x" in broken(upstream, {"1/x": [{"id": "1"}]})


def test_a_field_that_goes_nowhere() -> None:
    """A route's field that is not sent upstream changes nothing."""
    said = broken(made(Lookup("{region}/all", "/all")), {"north/all": [{"id": "1"}]})
    assert "fields: {region} of {region}/all is not sent upstream" in said


def test_a_field_of_a_body_that_nothing_feeds() -> None:
    """The body would be sent with the placeholder in it."""
    said = broken(made(Lookup("all", "/all", body={"in": ["{region}"]})), {"all": [{"id": "1"}]})
    assert "fields: nothing feeds {region} in the body of all" in said


@pytest.mark.parametrize("secret", ["weather/api#", "weather/api#a#b", "weather/api#a b"])
def test_a_reference_that_names_no_field(secret: str) -> None:
    """What follows the hash is one name."""
    said = broken(made(Lookup("all", "/all"), by=auth.Bearer(secret)), {"all": [{"id": "1"}]})
    assert f"secrets: {secret!r} is not of the form path#field" in said


def test_a_setting_that_the_plugin_has_not_read() -> None:
    """A reference to a setting needs the plugin to read it."""
    from scailookup.testing import settings

    upstream = made(Lookup("all", "/all"), by=auth.Bearer("$SCAILOOKUP_WEATHER_KEY"))
    said = broken(upstream, {"all": [{"id": "1"}]}, settings=settings())
    assert "secrets: the plugin has not read SCAILOOKUP_WEATHER_KEY" in said


def test_a_lookup_without_a_sample() -> None:
    """Nothing can be said of it."""
    assert "samples: all has none" in broken(made(Lookup("all", "/all")), {})


def test_a_sample_without_a_lookup() -> None:
    """It is a slip of the pen."""
    said = broken(made(Lookup("all", "/all")), {"all": [{"id": "1"}], "al": []})
    assert "samples: there is no lookup al" in said


def test_a_sample_without_rows() -> None:
    """An empty list proves nothing."""
    assert "samples: all has no row in its sample" in broken(made(Lookup("all", "/all")), {"all": []})


def test_a_sample_that_is_no_list() -> None:
    """The service's own words say why."""
    assert "samples: all gives no rows: bad_shape" in broken(made(Lookup("all", "/all")), {"all": {"x": 1}})


def test_a_normalizer_that_drops_what_the_upstream_sends() -> None:
    """Each record of the sample is a row."""
    said = broken(made(Lookup("all", "/all")), {"all": [{"id": "1"}, {"name": "x"}]})
    assert "rows: all drops 1 of its sample's records" in said


def test_a_normalizer_that_raises() -> None:
    """Hostile JSON finds the member it counts on."""
    lookup = Lookup("all", "/all", row=lambda raw: {"id": raw["id"], "name": raw["owner"]["name"]})
    said = broken(made(lookup), {"all": [{"id": "1", "owner": {"name": "x"}}]})
    assert "rows: all raises" in said


def test_a_normalizer_that_gives_no_row() -> None:
    """A list is none."""
    lookup = Lookup("all", "/all", row=lambda raw: station(raw) if "key" in raw else [])
    assert "rows: all gives a list, not a row" in broken(made(lookup), {"all": SAMPLE})


def test_a_normalizer_whose_rows_are_not_json() -> None:
    """What cannot be JSON is found in the sample and beyond it."""
    lookup = Lookup("all", "/all", row=lambda raw: {"id": str(raw.get("id")), "size": float("nan")})
    said = broken(made(lookup), {"all": [{"id": "1"}]})
    assert "rows: all gives what is not JSON" in said


def test_a_keep_that_raises() -> None:
    """It must have an answer for every row."""
    lookup = Lookup("all", "/all", row=station, keep=lambda row: row["kind"] != "lake")
    said = broken(made(lookup), {"all": [{"key": "s1", "type": "sea"}]})
    assert "rows: all cannot say whether to keep it: KeyError" in said


def test_ids_that_are_not_unique() -> None:
    """The second row of an id would vanish without a word."""
    said = broken(made(Lookup("all", "/all")), {"all": [{"id": "1", "n": 1}, {"id": "1", "n": 2}]})
    assert "rows: all has 2 rows with the id '1'" in said


def test_a_record_that_gives_other_rows() -> None:
    """The quick way and the long one agree."""

    class Quick(msgspec.Struct):
        id: str

    said = broken(made(Lookup("all", "/all", record=Quick)), {"all": {"data": [{"id": "1", "name": "x"}]}})
    assert "rows: the record of all gives other rows than its `row`" in said


def test_paging_that_asks_beyond_the_sample() -> None:
    """Each page that is asked for is in the sample."""
    lookup = Lookup("all", "/all", row=station, paging=paging.Number("page"))
    said = broken(made(lookup), {"all": SAMPLE})
    assert "paging: all asks for page 2 (GET /all?page=2); its sample has 1" in said


def test_paging_that_ends_too_early() -> None:
    """Each page of the sample is asked for."""
    said = broken(made(Lookup("all", "/all", row=station)), {"all": (SAMPLE, SAMPLE)})
    assert "paging: all ends after page 1 of its sample" in said


def test_paging_that_does_not_end() -> None:
    """A page that leads to itself is cut short, and that is told."""
    lookup = Lookup("all", "/all", row=station, paging=paging.Cursor("after", at="next"))
    said = broken(made(lookup), {"all": (SAMPLE | {"next": "a"}, SAMPLE | {"next": "a"})})
    assert "paging: all does not end with its sample" in said


def test_a_filter_for_a_field_that_no_row_has() -> None:
    """It would leave nothing."""
    lookup = Lookup("all", "/all", row=station, filters=(Filter("colour"),))
    assert "filters: no row of all has the field colour" in broken(made(lookup), {"all": SAMPLE})


def test_all_that_is_broken_is_told_at_once() -> None:
    """One run shows the whole list."""
    upstream = made(Lookup("{a}/all", "/all", filters=(Filter("x"),)), name="lookups")
    assert broken(upstream, {"1/all": [{"id": "1"}]}).count("\n- ") == 3
