"""Contract section 1: query parameters filter on our side; anything else is 400."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from .support import (
    API_BUNKERS,
    API_MODELS,
    API_QUEUES,
    API_SCOPES,
    BUNKERS,
    LOOKUPS,
    MODELS,
    QUEUES,
    SCOPES,
    Site,
    detail,
    models,
    rows,
    slugs,
)

TWO = {
    SCOPES: [{"id": "ID-One", "slug": "first", "display_name": "Big Name"}, {"id": "x", "slug": "y"}],
    QUEUES: [{"id": "ID-One", "slug": "first", "display_name": "Big Name"}, {"id": "x", "slug": "y"}],
    MODELS: [{"id": "ID-One/First", "display_name": "Big Name"}, {"id": "x"}],
}


@pytest.mark.parametrize("q", ["id-one", "ID-ONE", "Fir", "big", "NAME", "g n", "d-"])
@pytest.mark.parametrize(
    ("path", "upstream"), [(API_SCOPES, SCOPES), (API_QUEUES, QUEUES), (API_MODELS, MODELS)]
)
def test_q(site: Site, path: str, upstream: str, q: str) -> None:
    """q is a part of slug, name or id, whatever the case."""
    site.grid.on(upstream, {"data": TWO[upstream]})

    assert ["Big Name"] == slugs(site.get(f"{path}?q={quote(q)}"), "display_name")


def test_q_of_a_bunker(site: Site) -> None:
    """q finds a bunker by its id."""
    data = [{"bunker_id": name, "status": "running"} for name in ("bnk_Alpha", "bnk_beta")]
    site.grid.on(BUNKERS, {"data": data})

    assert ["bnk_Alpha"] == slugs(site.get(API_BUNKERS + "?q=ALPH"), "bunker_id")


@pytest.mark.parametrize("q", [".*", "[", "%25", "a.b", "%5C"])
def test_q_is_plain_text(site: Site, q: str) -> None:
    """q is no pattern."""
    site.grid.on(MODELS, {"data": models(["axb", "abc"])})

    assert [] == rows(site.get(f"{API_MODELS}?q={q}"))


def test_q_beyond_ascii(site: Site) -> None:
    """q is percent-decoded as UTF-8 and compared without regard to case."""
    site.grid.on(MODELS, {"data": [{"slug": "a", "display_name": "Émile"}, {"slug": "b"}]})

    assert ["a"] == slugs(site.get(f"{API_MODELS}?q=%C3%A9mi"))


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_limit(site: Site, limit: int) -> None:
    """limit cuts the list and does not set truncated."""
    site.grid.on(MODELS, {"data": models(f"m{number}" for number in range(1100))})

    answer = site.get(f"{API_MODELS}?limit={limit}")

    assert ([f"m{number}" for number in range(limit)], {"data"}) == (slugs(answer), set(answer.json))


def test_limit_comes_after_filters(site: Site) -> None:
    """limit counts the rows that the filters leave."""
    site.grid.on(MODELS, {"data": models(["x", "ya", "yb", "yc"])})

    assert ["ya", "yb"] == slugs(site.get(API_MODELS + "?limit=2&q=y"))


@pytest.mark.parametrize(
    "limit", ["0", "1001", "-1", "abc", "", "1.5", "1e2", "0x1", "%D9%A1", "1_0", "9" * 5000]
)
def test_limit_refused(site: Site, limit: str) -> None:
    """A limit outside 1-1000 or not a number is 400 naming limit, before any call."""
    found = detail(site.get(f"{API_MODELS}?limit={limit}"), 400, "invalid_parameter")

    assert (True, []) == ("limit" in found["message"], site.grid.calls())


@pytest.mark.parametrize("path", LOOKUPS)
@pytest.mark.parametrize("name", ["foo", "cursor", "page", "Q", "LIMIT", "offset", "tenant_id", "q%5B%5D"])
def test_unknown_parameter(site: Site, path: str, name: str) -> None:
    """A parameter nobody declared is 400 naming it, before any call."""
    found = detail(site.get(f"/v1{path}?{name}=x"), 400, "invalid_parameter")

    assert (True, []) == (name.partition("%")[0] in found["message"], site.grid.calls())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (API_SCOPES, "modality"),
        (API_SCOPES, "consumer_mode"),
        (API_SCOPES, "status"),
        (API_QUEUES, "modality"),
        (API_QUEUES, "lifecycle"),
        (API_QUEUES, "scope_id"),
        (API_BUNKERS, "modality"),
        (API_BUNKERS, "consumer_mode"),
        (API_MODELS, "status"),
        (API_MODELS, "lifecycle"),
    ],
)
def test_another_lookups_parameter(site: Site, path: str, name: str) -> None:
    """A parameter of another lookup is unknown here."""
    found = detail(site.get(f"{path}?{name}=x"), 400, "invalid_parameter")

    assert name in found["message"]


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        (API_MODELS, "limit=1&limit=1", "limit"),
        (API_MODELS, "q=a&q=b", "q"),
        (API_MODELS, "q=a&limit=1&q=a", "q"),
        (API_MODELS, "modality=chat&modality=image", "modality"),
        (API_MODELS, "q=a&%71=b", "q"),
        (API_QUEUES, "consumer_mode=fifo&consumer_mode=fifo", "consumer_mode"),
        (API_BUNKERS, "status=running&status=ready", "status"),
        (API_BUNKERS, "lifecycle=session&lifecycle=session", "lifecycle"),
    ],
)
def test_parameter_twice(site: Site, path: str, query: str, name: str) -> None:
    """One parameter twice, in whatever spelling, is 400 naming it, before any call."""
    found = detail(site.get(f"{path}?{query}"), 400, "invalid_parameter")

    assert (True, []) == (name in found["message"], site.grid.calls())


def test_modality_filter(site: Site) -> None:
    """modality compares with the modality shown."""
    data = [{"id": "a", "type": "llm"}, {"id": "b", "modality": "image"}, {"id": "c"}]
    site.grid.on(MODELS, {"data": data})

    assert ["a"] == slugs(site.get(API_MODELS + "?modality=chat"))


@pytest.mark.parametrize(
    ("query", "ids"),
    [("status=ready", ["b"]), ("lifecycle=session", ["a"]), ("status=paused&lifecycle=persistent", ["c"])],
)
def test_bunker_filters(site: Site, query: str, ids: list[str]) -> None:
    """status and lifecycle filter the active bunkers."""
    data = [
        {"bunker_id": "a", "status": "running", "lifecycle": "session"},
        {"bunker_id": "b", "status": "ready", "lifecycle": "ephemeral"},
        {"bunker_id": "c", "status": "paused", "lifecycle": "persistent"},
    ]
    site.grid.on(BUNKERS, {"data": data})

    assert ids == slugs(site.get(f"{API_BUNKERS}?{query}"), "bunker_id")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (API_MODELS, "q=needle&limit=7&modality=chat"),
        (API_QUEUES, "q=needle&limit=7&consumer_mode=fifo"),
        (API_BUNKERS, "q=needle&limit=7&status=running&lifecycle=session"),
    ],
)
def test_filters_stay_on_our_side(site: Site, path: str, query: str) -> None:
    """No parameter of the caller reaches the upstream."""
    site.get(f"{path}?{query}")

    (seen,) = site.grid.calls()
    asked = {(name, value) for name, values in seen.query.items() for value in values}
    assert set() == asked & {tuple(pair.split("=")) for pair in query.split("&")}


@pytest.mark.parametrize(
    "query", ["q=%ff", "q=%", "q=%zz", "%ff=1", "=", "&&", "limit", "q=%00", ";", "q=a;limit=1"]
)
def test_odd_queries_are_no_fault_of_ours(site: Site, query: str) -> None:
    """No query, however odd, makes an internal error."""
    assert site.get(f"{API_MODELS}?{query}").status in {200, 400}
