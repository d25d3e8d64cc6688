"""From raw records to rows."""

from __future__ import annotations

import asyncio

import pytest
from fakes import JSON
from hypothesis import given
from hypothesis import strategies as st

from scailookup.declare import Lookup
from scailookup.lookup import Reader


def reader(most: int = 100, **more) -> Reader:
    """A reader of a plain lookup for the tenant tnt_acme."""
    return Reader(Lookup("things", "/things", **more), "tnt_acme", most)


def take(read: Reader, records: list) -> tuple[int, int]:
    """Have it read one page."""
    return asyncio.run(read.take(records))


def ids(read: Reader) -> list[str]:
    """The ids of the rows, in order."""
    return [row["id"] for row in read.rows]


def test_order_and_first_of_equals():
    """The order of the upstream stays, and of two with one id the first."""
    read = reader()
    take(read, [{"id": "b", "n": 1}, {"id": "a"}, {"id": "b", "n": 2}])
    assert [{"id": "b", "n": 1}, {"id": "a"}] == read.rows


def test_duplicates_over_pages():
    """An id of an earlier page is a duplicate, and none is counted as dropped."""
    read = reader()
    counts = [take(read, [{"id": "a"}]), take(read, [{"id": "a"}, {"id": "b"}])]
    assert ([(1, 0), (1, 0)], 0) == (counts, read.dropped)


@pytest.mark.parametrize(
    "raw", [None, 1, "x", [], {}, {"id": None}, {"id": ""}, {"id": True}, {"id": ["a"]}, {"id": 1.5}]
)
def test_dropped(raw):
    """What is no object or has no id is dropped and counted."""
    read = reader()
    take(read, [raw, {"id": "a"}])
    assert (["a"], 1) == (ids(read), read.dropped)


def explode(raw):
    """A normalizer that cannot read some records."""
    if raw["id"] == "bad":
        raise KeyError("id")
    return None if raw["id"] == "none" else "text" if raw["id"] == "text" else raw


@pytest.mark.parametrize("bad", ["bad", "none", "text"])
def test_a_normalizer_costs_its_row_only(bad):
    """A normalizer that raises, answers None or no object loses that row alone."""
    read = reader(row=explode)
    take(read, [{"id": bad}, {"id": "a"}])
    assert (["a"], 1) == (ids(read), read.dropped)


def test_numeric_ids_are_texts():
    """An id is opaque: a number becomes its text, and equals it."""
    read = reader()
    take(read, [{"id": 5}, {"id": "5"}])
    assert ["5"] == ids(read)


def test_nulls_are_absent():
    """A field the upstream gave as null is absent."""
    read = reader()
    take(read, [{"id": "a", "x": None, "y": 0}])
    assert [{"id": "a", "y": 0}] == read.rows


def test_what_is_not_kept_is_not_dropped():
    """Rows that are not offered do not count."""
    read = reader(keep=lambda row: row["id"] != "a")
    assert ((1, 0), ["b"]) == (take(read, [{"id": "a"}, {"id": "b"}]), ids(read))


@pytest.mark.parametrize(
    ("owner", "kept"), [("tnt_acme", True), (None, True), ("tnt_globex", False), (5, False), ("", False)]
)
def test_other_tenants(owner, kept):
    """Another tenant's row is left out without a count; one that says no tenant stays."""
    read = reader(tenant_field="tenant_id")
    take(read, [{"id": "a", "tenant_id": owner}])
    assert (kept, 0) == (bool(read.rows), read.dropped)


def test_another_tenants_row_is_never_normalized():
    """The normalizer does not even see it."""
    seen = []
    read = reader(tenant_field="tenant_id", row=lambda raw: seen.append(raw))
    take(read, [{"id": "a", "tenant_id": "tnt_globex"}])
    assert [] == seen


@pytest.mark.parametrize(("records", "full"), [(2, False), (3, True)])
def test_full(records, full):
    """Full is the reader that left one out, not one that is just filled."""
    read = reader(most=2)
    take(read, [{"id": str(n)} for n in range(records)])
    assert (full, 2) == (read.full, len(read.rows))


def test_a_duplicate_does_not_overflow():
    """What would not have been kept anyway does not make it full."""
    read = reader(most=1)
    take(read, [{"id": "a"}, {"id": "a"}, 5])
    assert not read.full


@pytest.mark.parametrize(
    ("records", "unreadable"),
    [([], False), ([5], True), ([5, {"id": "a"}], False), ([5, {"id": "b", "tenant_id": "other"}], False)],
)
def test_unreadable(records, unreadable):
    """Unreadable is a list that has records of which none can be read; foreign ones can."""
    read = reader(tenant_field="tenant_id")
    take(read, records)
    assert unreadable is read.unreadable


@given(st.lists(JSON | st.fixed_dictionaries({"id": JSON}), max_size=20))
def test_take_is_total(records):
    """Over arbitrary JSON each id stands once, and every row has one."""
    read = reader()
    take(read, records)
    assert (len(read.rows), True) == (len(set(ids(read))), all(isinstance(i, str) and i for i in ids(read)))
