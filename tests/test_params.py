"""Path values and query parameters."""

from __future__ import annotations

import contextlib
from urllib.parse import quote, quote_plus

import pytest
from fakes import LATIN
from hypothesis import given
from hypothesis import strategies as st

from scailookup.declare import Filter, Lookup, Param
from scailookup.errors import InvalidParameter
from scailookup.lookup import Selection, parse_query, parse_value, parse_values

LOOKUP = Lookup("models", "/v1/models", key="slug", filters=(Filter("modality"), Filter("status")))
ROWS = [
    {"slug": "openai/GPT", "display_name": "Big", "modality": "chat", "n": 1},
    {"slug": "embed-1", "display_name": "Small", "modality": "Embedding"},
    {"slug": "b/gpt-2", "name": "stra\u00dfe", "id": "X9"},
]


def refused(raw: str) -> str:
    """The parameter that is named when ``raw`` is refused."""
    with pytest.raises(InvalidParameter) as caught:
        parse_query(raw, LOOKUP)
    return caught.value.detail()["parameter"]


def slugs(raw: str) -> list[str]:
    """The slugs of the rows that a query keeps."""
    return [row["slug"] for row in parse_query(raw, LOOKUP).apply(ROWS, "slug")]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("a", "a"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("%2E%2E%2Fb", "../b"),
        ("...", "..."),
        ("a+b", "a+b"),
        ("%C3%A9", "é"),
        ("x" * 256, "x" * 256),
        ("%C3%A9" * 256, "é" * 256),
    ],
)
def test_value(raw, value):
    """A path value is opaque and decoded once."""
    assert value == parse_value("scope_id", raw)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        ".",
        "..",
        "%2e",
        "%2E.",
        "x" * 257,
        "%00",
        "a%0Ab",
        "%7F",
        "%C2%85",
        "%",
        "%zz",
        "a%2",
        "%ff",
        "%C3",
    ],
)
def test_refused_value(raw):
    """A value that is empty, too long, a dot segment, or no plain text is refused by name."""
    with pytest.raises(InvalidParameter) as caught:
        parse_value("scope_id", raw)
    assert "scope_id" == caught.value.detail()["parameter"]


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256))
def test_every_legal_value_comes_through(value):
    """What was percent-encoded comes out as it was, but for the two dot segments."""
    if value not in (".", ".."):
        assert value == parse_value("x", quote(value, safe=""))


@given(LATIN)
def test_values_raise_nothing_else(raw):
    """Whatever segment comes, it is a value or refused."""
    try:
        value = parse_value("x", raw)
    except InvalidParameter:
        return
    assert 1 <= len(value) <= 256


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("", ["openai/GPT", "embed-1", "b/gpt-2"]),
        ("&&", ["openai/GPT", "embed-1", "b/gpt-2"]),
        ("q=gpt", ["openai/GPT", "b/gpt-2"]),
        ("q=BIG", ["openai/GPT"]),
        ("q=x9", ["b/gpt-2"]),
        ("q=STRASSE", ["b/gpt-2"]),
        ("q=openai%2F", ["openai/GPT"]),
        ("q=chat", []),
        ("q=", ["openai/GPT", "embed-1", "b/gpt-2"]),
        ("limit=1", ["openai/GPT"]),
        ("limit=1000", ["openai/GPT", "embed-1", "b/gpt-2"]),
        ("q=gpt&limit=1", ["openai/GPT"]),
        ("modality=embedding", ["embed-1"]),
        ("modality=none", []),
        ("modality=chat&status=on", []),
        ("modality=", ["openai/GPT", "embed-1", "b/gpt-2"]),
        ("modality=chat&q=gpt", ["openai/GPT"]),
    ],
)
def test_selection(raw, kept):
    """q looks into names and ids, filters compare fields, limit cuts; the order stays."""
    assert kept == slugs(raw)


@pytest.mark.parametrize(
    ("raw", "parameter"),
    [
        ("page=2", "page"),
        ("Q=x", "Q"),
        ("lifecycle=x", "lifecycle"),
        ("q=a&q=b", "q"),
        ("q=a&%71=b", "q"),
        ("modality=a&modality=a", "modality"),
        ("modality=&modality=", "modality"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=+5", "limit"),
        ("limit=00005", "limit"),
        ("limit=", "limit"),
        ("limit", "limit"),
        ("q=%ff", "q"),
        ("q=%", "q"),
        ("%ff=1", "query"),
        ("%00=1", "query"),
    ],
)
def test_refused_query(raw, parameter):
    """Anything else, or one of them twice, is refused and named."""
    assert parameter == refused(raw)


def test_a_long_name_is_clipped():
    """Of an unknown parameter at most 64 characters come back."""
    assert 64 == len(refused("x" * 1000 + "=1"))


def test_the_fix_lists_what_there_is():
    """The way out names every parameter of the lookup."""
    with pytest.raises(InvalidParameter) as caught:
        parse_query("page=2", LOOKUP)
    assert "This lookup takes each of q, limit, modality, status at most once." == caught.value.fix


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_q_is_decoded_once(value):
    """Form encoding, with plus for a blank, comes out as it was."""
    assert value == parse_query("q=" + quote_plus(value), LOOKUP).q


@given(LATIN)
def test_queries_raise_nothing_else(raw):
    """Whatever query comes, it selects or is refused."""
    with contextlib.suppress(InvalidParameter):
        parse_query(raw, LOOKUP).apply(ROWS, "slug")


def test_without_selection_the_list_is_the_same_object():
    """The full list is not copied."""
    assert ROWS is Selection().apply(ROWS, "slug")


# What is handed on

HANDED = Lookup(
    "events",
    "/events",
    filters=(Filter("kind"),),
    params=(
        Param("core_id", required=True),
        Param("status", choices=("pending", "failed")),
        Param("order", default="newest"),
    ),
)


def test_what_is_handed_on():
    """Parameters are parted from filters, in the order of their declaration, with their defaults."""
    selection = parse_query("kind=a&status=failed&core_id=x%2Fy&limit=3", HANDED)
    assert ([("core_id", "x/y"), ("status", "failed"), ("order", "newest")], {"kind": "a"}, 3) == (
        *(list(selection.handed), selection.filters),
        selection.limit,
    )


@pytest.mark.parametrize(
    ("raw", "parameter"),
    [
        ("", "core_id"),
        ("core_id=", "core_id"),
        ("core_id=a&status=done", "status"),
        ("core_id=a&core_id=b", "core_id"),
        ("core_id=" + "x" * 257, "core_id"),
        ("core_id=a%00", "core_id"),
        ("core_id=a&coreId=b", "coreId"),
    ],
)
def test_what_is_not_handed_on(raw, parameter):
    """Missing, unknown, twice, or a value that is not taken: refused by name."""
    with pytest.raises(InvalidParameter) as caught:
        parse_query(raw, HANDED)
    assert parameter == caught.value.detail()["parameter"]


def test_an_empty_choice_is_none():
    """An empty value is the same as none."""
    assert {"core_id": "a", "order": "newest"} == dict(parse_query("core_id=a&status=&order=", HANDED).handed)


def test_values_of_several_segments():
    """Where a value goes upstream as several segments, a dot segment in it is refused by name."""
    lookup = Lookup("files/{path}/{id}", "/f/{+path}/{id}")
    assert {"path": "a/b", "id": "c/.."} == parse_values(lookup, {"path": "a%2Fb", "id": "c%2F.."})
    for raw in ("a%2F..", "%2e%2e%2Fa", "a%2F%2Fb", "%2Fa"):
        with pytest.raises(InvalidParameter) as caught:
            parse_values(lookup, {"path": raw, "id": "c"})
        assert "path" == caught.value.detail()["parameter"]
