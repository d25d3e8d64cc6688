"""Contract section 1: queues and their consumer_mode."""

from __future__ import annotations

import pytest

from .support import API_QUEUES, QUEUE, QUEUES, Site, rows, slugs

MODES = ["fifo", "priority", "deadline"]


def queue(**fields: object) -> dict:
    """Return an upstream queue record, changed."""
    return QUEUE | fields


@pytest.mark.parametrize("ordering", MODES)
def test_competing_is_its_ordering(site: Site, ordering: str) -> None:
    """A competing queue's consumer_mode is its ordering."""
    site.grid.on(QUEUES, {"data": [queue(consumer_mode="competing", ordering=ordering)]})

    assert [queue(consumer_mode=ordering)] == rows(site.get(API_QUEUES))


@pytest.mark.parametrize("extra", [{}, {"ordering": None}])
def test_competing_without_ordering(site: Site, extra: dict) -> None:
    """A competing queue without an ordering has no consumer_mode."""
    site.grid.on(QUEUES, {"data": [queue(consumer_mode="competing", **extra)]})

    assert [QUEUE] == rows(site.get(API_QUEUES))


@pytest.mark.parametrize("extra", [{}, {"ordering": "fifo"}])
def test_broadcast_stays(site: Site, extra: dict) -> None:
    """A broadcast queue stays broadcast whatever its ordering."""
    site.grid.on(QUEUES, {"data": [queue(consumer_mode="broadcast", **extra)]})

    assert [queue(consumer_mode="broadcast")] == rows(site.get(API_QUEUES))


@pytest.mark.parametrize("mode", MODES)
def test_own_words_stand(site: Site, mode: str) -> None:
    """A mode that is already one of ours stands as it is."""
    site.grid.on(QUEUES, {"data": [queue(consumer_mode=mode)]})

    assert [queue(consumer_mode=mode)] == rows(site.get(API_QUEUES))


def test_system_queues_are_passed(site: Site) -> None:
    """System queues are queues."""
    names = ["_dead_letter", "_events", "_audit", "_integrity", "_corrections", "jobs"]
    site.grid.on(QUEUES, {"data": [queue(id=name, slug=name) for name in names]})

    assert names == slugs(site.get(API_QUEUES))


def test_scope_id_is_not_invented(site: Site) -> None:
    """A queue whose upstream names no scope has none here."""
    site.grid.on(QUEUES, {"data": [{"id": "q", "slug": "s"}]})

    assert [{"id": "q", "slug": "s", "display_name": "s"}] == rows(site.get(API_QUEUES))


@pytest.mark.parametrize(("wanted", "ids"), [("fifo", ["a", "c"]), ("broadcast", ["b"]), ("deadline", [])])
def test_filter_by_consumer_mode(site: Site, wanted: str, ids: list[str]) -> None:
    """The consumer_mode parameter compares with the mode shown, not with the upstream's word."""
    data = [
        queue(id="a", consumer_mode="competing", ordering="fifo"),
        queue(id="b", consumer_mode="broadcast", ordering="fifo"),
        queue(id="c", consumer_mode="fifo"),
        queue(id="d", consumer_mode="competing"),
    ]
    site.grid.on(QUEUES, {"data": data})

    assert ids == slugs(site.get(f"{API_QUEUES}?consumer_mode={wanted}"), "id")
