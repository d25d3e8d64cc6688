"""Lists at stated places, maps, and lists of strings."""

from __future__ import annotations

import pytest
from fakes import JSON, json_with
from hypothesis import given

from scailookup import layout
from scailookup.errors import CallFailed

KINDS = [layout.List("a.b"), layout.Map("a.b"), layout.Strings("a.b")]


@pytest.mark.parametrize(
    ("how", "body", "records"),
    [
        (layout.List("result.rows"), {"result": {"rows": [1, 2]}}, [1, 2]),
        (layout.List("1"), [{"pages": 1}, [{"id": "a"}]], [{"id": "a"}]),
        (layout.List(), [3], [3]),
        (layout.List(("data.events", "events")), {"events": [4]}, [4]),
        (layout.List(("data.events", "events")), {"data": {"events": []}, "events": [4]}, []),
        (layout.List("a"), {"a": None}, []),
        (layout.Map("services"), {"services": {"x": {"port": 1}}}, [{"id": "x", "port": 1}]),
        (layout.Map(key="name"), {"x": {"name": "y"}}, [{"name": "x"}]),
        (layout.Map(), {"x": 1, "y": None}, [{"id": "x", "value": 1}, {"id": "y", "value": None}]),
        (layout.Map("a"), {"a": None}, []),
        (layout.Strings("tags"), {"tags": ["a", "b"]}, [{"id": "a"}, {"id": "b"}]),
        (
            layout.Strings(key="slug"),
            ["a", 7, {"id": "z"}, True],
            [{"slug": "a"}, {"slug": 7}, {"id": "z"}, True],
        ),
    ],
)
def test_records(how, body, records):
    """Each kind turns the body into records."""
    assert records == how.records(body)


@pytest.mark.parametrize("how", KINDS, ids=lambda how: type(how).__name__)
@pytest.mark.parametrize("body", [{}, {"a": {}}, {"a": {"b": "text"}}, {"a": {"b": 1}}, [], None, "x"])
def test_what_is_not_there_is_no_empty_list(how, body):
    """An answer that cannot be read is bad_shape, and the message says where it was looked."""
    with pytest.raises(CallFailed, match=r"a\.b") as caught:
        how.records(body)
    assert "bad_shape" == caught.value.code


def test_a_wrong_value_in_the_first_place_is_not_passed_over():
    """What stands where the list should be, and is none, is an error and no reason to look on."""
    with pytest.raises(CallFailed):
        layout.List(("a", "b")).records({"a": "text", "b": [1]})


@pytest.mark.parametrize("make", [layout.List, layout.Map, layout.Strings])
def test_a_bad_place_is_found_when_it_is_declared(make):
    """A place that is none, or no place at all, is refused."""
    with pytest.raises(ValueError):
        make("a..b")
    with pytest.raises(ValueError):
        make(())


@pytest.mark.parametrize("how", KINDS, ids=lambda how: type(how).__name__)
@given(body=JSON | json_with("a", "b"))
def test_total(how, body):
    """Whatever comes is a list of records or bad_shape."""
    try:
        code = "bad_shape" if not isinstance(how.records(body), list) else None
    except CallFailed as exc:
        code = exc.code
    assert code in (None, "bad_shape")
