"""Contract section 1: the four lookups, their rows and what stands beside them."""

from __future__ import annotations

import pytest

from .support import (
    API_BUNKERS,
    API_MODELS,
    API_QUEUES,
    API_SCOPES,
    BUNKER,
    BUNKERS,
    LOOKUPS,
    MODEL,
    MODELS,
    PREFIXES,
    QUEUE,
    QUEUES,
    SCOPE,
    SCOPES,
    Site,
    Sites,
    models,
    rows,
    script_all,
    slugs,
)

ROWS = {SCOPES: SCOPE, QUEUES: QUEUE | {"consumer_mode": "fifo"}, BUNKERS: BUNKER, MODELS: MODEL}
PLAIN = {API_SCOPES: SCOPES, API_QUEUES: QUEUES, API_MODELS: MODELS}
EVERY = PLAIN | {API_BUNKERS: BUNKERS}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", LOOKUPS)
def test_rows(site: Site, prefix: str, path: str) -> None:
    """Each lookup answers its rows under both prefixes, with nothing beside them."""
    answer = site.get(prefix + path)

    assert (200, {"data": [ROWS[LOOKUPS[path]]]}) == (answer.status, answer.json)


@pytest.mark.parametrize("path", LOOKUPS)
def test_one_upstream_call(site: Site, path: str) -> None:
    """Each lookup makes one GET of its documented upstream path."""
    site.get("/v1" + path)

    assert [("GET", LOOKUPS[path])] == [(seen.method, seen.path) for seen in site.grid.calls()]


@pytest.mark.parametrize("path", LOOKUPS)
def test_head(site: Site, path: str) -> None:
    """HEAD answers as GET does, without the body."""
    answer = site.get("/api/v1" + path, method="HEAD")

    assert (200, b"") == (answer.status, answer.body)


@pytest.mark.parametrize("path", LOOKUPS)
def test_empty(site: Site, path: str) -> None:
    """An empty upstream list is an empty list with nothing beside it."""
    site.grid.on(LOOKUPS[path], {"data": []})

    assert {"data": []} == site.get("/v1" + path).json


@pytest.mark.parametrize(("path", "upstream"), PLAIN.items())
def test_other_fields_stay_behind(site: Site, path: str, upstream: str) -> None:
    """Scopes, queues and models carry the contract's fields and no other."""
    row = ROWS[upstream]
    extra = {"state": "on", "secret": "x", "env_vars": {"A": "b"}, "depth_pending": 3, "created": 1.5}
    site.grid.on(upstream, {"data": [row | extra]})

    assert [row] == rows(site.get(path))


@pytest.mark.parametrize(
    ("path", "upstream", "given"),
    [
        (API_SCOPES, SCOPES, {"id": "s", "slug": "a"}),
        (API_QUEUES, QUEUES, {"id": "q", "slug": "a"}),
        (API_MODELS, MODELS, {"slug": "a"}),
    ],
)
def test_absent_fields_stay_absent(site: Site, path: str, upstream: str, given: dict) -> None:
    """A field the upstream did not give is absent; only display_name falls back to the slug."""
    site.grid.on(upstream, {"data": [given]})

    assert [given | {"display_name": "a"}] == rows(site.get(path))


@pytest.mark.parametrize(
    ("path", "upstream", "given"),
    [
        (API_SCOPES, SCOPES, {"id": "s", "slug": "a"}),
        (API_QUEUES, QUEUES, {"id": "q", "slug": "a"}),
        (API_MODELS, MODELS, {"slug": "a"}),
    ],
)
def test_null_fields_are_absent(site: Site, path: str, upstream: str, given: dict) -> None:
    """A null of the upstream is a field not given."""
    nulls = dict.fromkeys([*ROWS[upstream], "description", "status", "health_status", "owned_by"])
    site.grid.on(upstream, {"data": [nulls | given]})

    assert [given | {"display_name": "a"}] == rows(site.get(path))


def test_bunker_absent_fields(site: Site) -> None:
    """A bunker of which only id and status are known has just these."""
    site.grid.on(BUNKERS, {"data": [{"bunker_id": "b", "status": "running"}]})

    assert [{"bunker_id": "b", "status": "running"}] == rows(site.get(API_BUNKERS))


@pytest.mark.parametrize("zero", ["max_retries"])
def test_zero_is_a_value(site: Site, zero: str) -> None:
    """A zero the upstream gave is kept."""
    site.grid.on(QUEUES, {"data": [QUEUE | {zero: 0}]})

    assert [QUEUE | {zero: 0}] == rows(site.get(API_QUEUES))


def test_empty_string_is_a_value(site: Site) -> None:
    """An empty description the upstream gave is neither null nor invented."""
    site.grid.on(SCOPES, {"data": [SCOPE | {"description": ""}]})

    assert rows(site.get(API_SCOPES))[0].get("description", "") == ""


def test_order_is_the_upstreams(site: Site) -> None:
    """Rows keep the upstream's order."""
    site.grid.on(MODELS, {"data": models(["z", "a", "m", "B"])})

    assert ["z", "a", "m", "B"] == slugs(site.get(API_MODELS))


@pytest.mark.parametrize(
    ("path", "upstream", "id_field"),
    [
        (API_SCOPES, SCOPES, "id"),
        (API_QUEUES, QUEUES, "id"),
        (API_BUNKERS, BUNKERS, "bunker_id"),
        (API_MODELS, MODELS, "slug"),
    ],
)
def test_first_of_equal_ids_stands(site: Site, path: str, upstream: str, id_field: str) -> None:
    """Rows are unique by id, the first stands, and duplicates do not count as dropped."""
    first, second = ROWS[upstream], ROWS[upstream] | {id_field: "other"}
    again = first | {"display_name": "again", "image_ref": "again"}
    site.grid.on(upstream, {"data": [first, second, again]})

    assert {"data": [first, second]} == site.get(path).json


@pytest.mark.parametrize(("path", "upstream"), EVERY.items())
def test_dropped(site: Site, path: str, upstream: str) -> None:
    """Rows without an id or that are no objects are dropped and counted."""
    bad = [{}, {"display_name": "no id", "status": "running"}, None, 7, "text", ["list"], True]
    site.grid.on(upstream, {"data": [*bad, ROWS[upstream]]})

    assert {"data": [ROWS[upstream]], "meta": {"dropped": len(bad)}} == site.get(path).json


@pytest.mark.parametrize(("path", "upstream"), EVERY.items())
def test_null_id_is_no_id(site: Site, path: str, upstream: str) -> None:
    """A row whose id is null is dropped and counted."""
    nameless = ROWS[upstream] | {"id": None, "bunker_id": None, "slug": None, "display_name": None}
    site.grid.on(upstream, {"data": [ROWS[upstream], nameless]})

    assert {"data": [ROWS[upstream]], "meta": {"dropped": 1}} == site.get(path).json


def test_filtered_rows_are_not_dropped(site: Site) -> None:
    """Rows a filter leaves out do not count as dropped."""
    site.grid.on(MODELS, {"data": models(["a", "b"])})

    assert {"data": [{"slug": "a", "display_name": "a"}]} == site.get(API_MODELS + "?q=a").json


@pytest.mark.parametrize(
    "odd",
    [
        '{"slug":"odd","context_window":1e999}',
        '{"slug":"odd","context_window":-1e999}',
        '{"slug":"odd","context_window":"' + "9" * 5000 + '"}',
        '{"slug":"odd","context_window":' + "9" * 5000 + "}",
        '{"slug":"odd","max_output_tokens":"1e5"}',
        '{"slug":"odd","context_window":{"a":1}}',
        '{"slug":"odd","display_name":"\\ud800"}',
        '{"slug":"\\ud800"}',
        '{"slug":"odd","architecture":7,"top_provider":[],"meta":"x","limits":null,"providers":{"a":1}}',
        '{"slug":"odd","capabilities":[1,{}],"endpoints":{"a":[]},"type":5,"mode":[]}',
        '{"slug":"odd","providers":[null,1,{"context_length":"x"},{"context_length":1e999}]}',
    ],
)
def test_odd_records_are_no_fault_of_ours(site: Site, odd: str) -> None:
    """No record of an upstream, however absurd, makes an internal error."""
    site.grid.on(MODELS, f'{{"data":[{{"slug":"fine"}},{odd}]}}'.encode())

    assert 500 != site.get(API_MODELS).status


def test_models_path_setting(sites: Sites) -> None:
    """SCAILOOKUP_MODELS_PATH points models at another path of the same host."""
    site = script_all(sites(SCAILOOKUP_MODELS_PATH="/oai/v1/models"))
    site.grid.on("/oai/v1/models", {"object": "list", "data": [{"id": "gpt-x", "object": "model"}]})

    assert ["gpt-x"] == slugs(site.get(API_MODELS))
    assert ["/oai/v1/models"] == [seen.path for seen in site.grid.calls()]


@pytest.mark.parametrize("base_path", ["/grid", "/grid/"])
def test_base_url_with_path(sites: Sites, base_path: str) -> None:
    """An operator's base URL may have a path, with or without a slash at its end."""
    first = sites()
    site = sites(SCAIGRID_BASE_URL=first.grid.base + base_path)
    first.grid.on("/grid/v1/models", {"data": [MODEL]})

    assert [MODEL] == rows(site.get(API_MODELS))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_method_not_allowed(site: Site, method: str) -> None:
    """Any method but GET and HEAD is 405 with Allow, and makes no call."""
    answer = site.get(API_MODELS, method=method)
    allow = {name.strip() for name in (answer.header("Allow") or "").split(",")}

    assert (405, True, []) == (answer.status, {"GET", "HEAD"} <= allow, site.grid.calls())
