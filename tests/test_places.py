"""Places in a JSON value."""

from __future__ import annotations

import pytest
from fakes import JSON
from hypothesis import given
from hypothesis import strategies as st

from scailookup.places import MISSING, put, reach, steps


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("", ()),
        ("data", ("data",)),
        ("data.items", ("data", "items")),
        ("/data/@odata.nextLink", ("data", "@odata.nextLink")),
        ("/a~1b/c~0d", ("a/b", "c~d")),
        ("/", ("",)),
    ],
)
def test_steps(place, parts):
    """Dots part a place, or slashes where it is a JSON pointer."""
    assert parts == steps(place)


@pytest.mark.parametrize("place", [".", "a.", ".a", "a..b"])
def test_refused_places(place):
    """An empty part is a slip of the pen."""
    with pytest.raises(ValueError, match="empty part"):
        steps(place)


@pytest.mark.parametrize("place", [None, 1, ("a",)])
def test_what_is_no_text_is_no_place(place):
    """A place is written as text."""
    with pytest.raises(TypeError, match="not a place"):
        steps(place)


@pytest.mark.parametrize(
    ("body", "place", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": None}, "a", None),
        ({"a": 1}, "a.b", MISSING),
        ({}, "a", MISSING),
        ([{"a": 1}, [2]], "1", [2]),
        ([{"a": 1}], "0.a", 1),
        ([1], "1", MISSING),
        ([1], "-1", MISSING),
        ("text", "0", MISSING),
        (7, "", 7),
    ],
)
def test_reach(body, place, found):
    """What stands there, a null too; MISSING where there is nothing."""
    assert found is reach(body, steps(place)) or found == reach(body, steps(place))


@pytest.mark.parametrize(
    ("body", "place", "after"),
    [
        ({}, "a", {"a": 9}),
        ({"a": 1, "b": 2}, "a", {"a": 9, "b": 2}),
        ({"v": {"x": 1}}, "v.after", {"v": {"x": 1, "after": 9}}),
        ({"v": None}, "v.after", {"v": {"after": 9}}),
    ],
)
def test_put(body, place, after):
    """A copy with the value in its place."""
    before = dict(body)
    assert (after, before) == (put(body, steps(place), 9), body)


@given(JSON, st.lists(st.text(), max_size=4))
def test_reach_is_total(body, where):
    """No JSON and no place raise."""
    reach(body, tuple(where))
