"""Objects that no upstream should send, made out of those that it does. Needs hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["hostile"]

_MOST_RECORDS = 50


def hostile(answers: Iterable[Any], broken: Callable[[dict[str, Any]], str]) -> str:
    """What ``broken`` says of the smallest object it says something of; empty when of none.

    The objects are those of ``answers`` with members taken away or replaced by any
    JSON, and made up ones that use the same names. Raises RuntimeError without hypothesis.
    """
    try:
        import hypothesis
        from hypothesis import strategies as st
    except ModuleNotFoundError:
        raise RuntimeError("scailookup.testing.conforms needs hypothesis: pip install hypothesis") from None
    records = [record for answer in answers for record in _objects(answer)][:_MOST_RECORDS]
    names = sorted({name for one in records for name in one}) or ["id", "name"]
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
    )
    key = st.sampled_from(names) | st.text(max_size=5)
    junk = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=4),
        max_leaves=5,
    )
    made_up = st.dictionaries(key, junk, max_size=8)
    changed = st.builds(
        _changed, st.sampled_from(records or [{}]), st.dictionaries(st.sampled_from(names), junk)
    )
    lacking = st.builds(_without, st.sampled_from(records or [{}]), st.sets(st.sampled_from(names)))
    worst: list[tuple[str, Any]] = []

    @hypothesis.settings(
        deadline=None,
        max_examples=60,
        database=None,
        derandomize=True,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(made_up | changed | lacking)
    def trial(raw: dict[str, Any]) -> None:
        shown = repr(raw)
        reason = broken(raw)
        if reason:
            worst.append((reason, shown))
            raise AssertionError(reason)

    try:
        trial()
    except (AssertionError, BaseExceptionGroup):
        reason, shown = worst[-1]  # the last one tried is the smallest
        return f"{reason}, given {shown:.200}"
    return ""


def _objects(answer: Any) -> list[dict[str, Any]]:
    """The objects of the largest list in an answer, or in one of several."""
    found = max(_lists(answer), key=len, default=[])
    return [item for item in found if isinstance(item, dict)]


def _lists(answer: Any) -> list[list[Any]]:
    if isinstance(answer, tuple):
        return [[item for page in answer for item in max(_lists(page), key=len, default=[])]]
    if isinstance(answer, list):
        return [answer]
    if isinstance(answer, dict):
        inner = [found for value in answer.values() for found in _lists(value)]
        return [*inner, list(answer.values())]
    return []


def _changed(record: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {**record, **others}


def _without(record: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}
