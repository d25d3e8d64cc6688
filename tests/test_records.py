"""Typed records and the rules read every page alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fakes import JSON, json_with, reply, settings
from hypothesis import given
from hypothesis import strategies as st
from scailookup_scaigrid import scailookup_upstreams

from scailookup.declare import Lookup
from scailookup.errors import CallFailed
from scailookup.lookup.rows import Reader
from scailookup.lookup.walk import PageJudge
from scailookup.shapes.models import EVERY_CANDIDATE

TYPED = scailookup_upstreams(settings())[0].lookups[0]
RULES = replace(TYPED, record=None)
OWN = {
    "slug": "openai/gpt-4o",
    "display_name": "GPT-4o",
    "modality": "chat",
    "context_window": 128000,
    "max_output_tokens": 16384,
    "description": "",
    "status": "active",
    "health_status": "healthy",
    "owned_by": "openai",
}
EMBEDDING = {
    "slug": "e",
    "display_name": "E",
    "modality": "embedding",
    "context_window": 8192,
    "status": None,
}


def read(lookup: Lookup, body: Any, most: int = 10_000) -> tuple[Any, ...]:
    """All that reading one page by ``lookup`` comes to."""
    reader = Reader(lookup, "tnt_acme", most)
    try:
        judged: Any = asyncio.run(PageJudge(lookup, reader).judged(reply(body)))
    except CallFailed as exc:
        judged = (exc.code, exc.text, exc.status)
    return judged, msgspec.json.encode(reader.rows), reader.dropped, reader.full, reader.unreadable


def is_typed(body: Any) -> bool:
    """Whether a page is read without the rules."""
    return Reader(TYPED, "tnt_acme", 1).decode(reply(body)) is not None


def test_scaigrids_own_record_is_typed() -> None:
    """The form that ScaiGrid documents takes the quick way, fields that say nothing included."""
    record = {**OWN, "active_backend_count": 2, "input_price_per_mtok": 2.5, "default_params": {"n": 1}}
    for body in ({"data": [record]}, {"status": "ok", "data": {"items": [record, EMBEDDING]}}):
        assert is_typed(body)
        assert read(TYPED, body) == read(RULES, body)


@pytest.mark.parametrize(
    "change",
    [
        {"slug": ""},
        {"slug": " \t"},
        {"slug": 7},
        {"slug": None},
        {"display_name": ""},
        {"display_name": "\u3000"},
        {"display_name": None, "name": "N"},
        {"modality": "llm"},
        {"modality": "text+image->text"},
        {"modality": None, "type": "embedding"},
        {"context_window": 0},
        {"context_window": True},
        {"context_window": 8192.0},
        {"context_window": "8192"},
        {"context_window": -1},
        {"context_window": 2**53},
        {"context_window": None, "context_length": 4096},
        {"context_window": None, "meta": {"n_ctx": 8192}},
        {"max_output_tokens": None, "max_tokens": 10, "max_input_tokens": 20},
        {"status": ""},
        {"health_status": "  "},
        {"owned_by": 7},
        {"description": 7},
        {"description": " "},
    ],
)
def test_an_odd_record_reads_as_by_the_rules(change: dict[str, Any]) -> None:
    """Whatever a field holds, the row is the one the rules make."""
    body = {"data": [OWN, {**OWN, "slug": "other", **change}]}
    assert read(TYPED, body) == read(RULES, body)


@pytest.mark.parametrize("name", sorted(EVERY_CANDIDATE))
def test_another_candidate_sends_the_page_through_the_rules(name: str) -> None:
    """No record with a field that the rules would look at is taken without them."""
    bare = {"slug": "s", "display_name": "S"}
    assert is_typed({"data": [bare]})
    assert not is_typed({"data": [{**bare, name: {"any": ["thing"]}}]})
    assert is_typed({"data": [{**bare, name: None}]})


@pytest.mark.parametrize(
    "body",
    [
        {"data": [OWN], "has_more": True, "next_cursor": "c"},
        {"data": {"items": [OWN], "next_page_token": 7}},
        {"data": [OWN], "meta": {"has_more": True, "next_cursor": "m"}},
        {"data": [OWN], "links": {"next": "/v1/models?page=2"}},
        {"data": [OWN], "@odata.nextLink": "https://grid.example/v1/models?p=2"},
        {"object": "list", "data": [OWN], "has_more": True, "last_id": "x"},
        {"data": [OWN], "has_more": False, "next_cursor": "c"},
        {"data": [OWN], "error": {"code": "X", "message": "no"}},
        {"data": [OWN], "status": "error"},
        {"data": [OWN], "object": "error", "message": "no"},
        {"data": [OWN], "error": None},
        {"data": [OWN, OWN, {**OWN, "slug": "b"}]},
        {"data": [OWN], "models": [EMBEDDING]},
        {"data": None},
        {"data": {"items": None}},
        {"data": {}},
        {"data": []},
        {"data": [7, OWN]},
        [OWN],
        {"models": [OWN]},
        None,
    ],
)
def test_envelopes_and_marks_read_alike(body: Any) -> None:
    """Next page, errors, duplicates and strange envelopes come to the same on both ways."""
    assert read(TYPED, body) == read(RULES, body)


def test_the_bound_on_rows_reads_alike() -> None:
    """A list past the bound is cut at the same row."""
    body = {"data": [{**OWN, "slug": f"m{n % 7}"} for n in range(20)]}
    for most in range(1, 9):
        assert read(TYPED, body, most) == read(RULES, body, most)


VALUES = st.sampled_from(
    [None, "", " ", "x", "chat", "image", "error", 0, 1, 4096, -3, 2**60, True, 1.5, [], {}, ["chat"]]
)
RECORD = st.dictionaries(
    st.sampled_from([*OWN, *sorted(EVERY_CANDIDATE), "id", "name", "title", "other"]),
    VALUES | JSON,
    max_size=8,
)
NEAR = st.builds(lambda change: {**OWN, **change}, RECORD)
PAGE = st.builds(
    lambda records, more: {"data": records, **more},
    st.lists(NEAR | RECORD, max_size=4),
    st.dictionaries(
        st.sampled_from(["has_more", "next_cursor", "meta", "status", "error", "object"]), VALUES
    ),
)


@given(PAGE | json_with("data", "items", "slug", "display_name", "next", "error", "status"))
def test_every_page_reads_alike(body: Any) -> None:
    """Arbitrary pages, near ScaiGrid's own form and far from it."""
    assert read(TYPED, body) == read(RULES, body)


def test_a_record_is_a_row() -> None:
    """A lookup whose records were chosen among, or lack the key, is refused when it is made."""
    for more in ({"keep": bool}, {"tenant_field": "tenant_id"}, {"key": "id"}):
        with pytest.raises(ValueError, match="record"):
            replace(TYPED, **more)
