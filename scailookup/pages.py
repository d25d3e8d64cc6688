"""A page of typed records, decoded in one step from its bytes, the marks of paging beside it.

The same answer as by `replies.judge` and `envelopes.records`, for the pages that fit:
``{"data": […]}`` and ``{"data": {"items": […]}}`` with nothing to complain of.
"""

from __future__ import annotations

from typing import Any

import msgspec

from scailookup.envelopes import MARKS
from scailookup.replies import complains

__all__ = ["Pages"]

# What else says that an answer is none, in a 2xx.
_VERDICTS = ("error", "status")


class Pages:
    """Decodes pages of one kind of record."""

    def __init__(self, record: type[msgspec.Struct]) -> None:
        items = _struct("Items", ("items", list[record]), MARKS)  # type: ignore[valid-type]
        self._page = _struct("Page", ("data", list[record] | items), (*MARKS, *_VERDICTS))  # type: ignore[valid-type]
        self._decoder = msgspec.json.Decoder(self._page)

    def decode(self, body: bytes) -> tuple[list[Any], dict[str, Any]] | None:
        """The records and the body without them; None when the body is no such page."""
        try:
            page = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        rest = _rest(page)
        if complains(rest):
            return None
        if isinstance(page.data, list):
            return page.data, rest
        rest["data"] = _rest(page.data)
        return page.data.items, rest


def _struct(name: str, first: tuple[str, Any], marks: tuple[str, ...]) -> Any:
    # Not every mark is a name that Python would take.
    names = {f"mark_{number}": mark for number, mark in enumerate(marks)}
    fields: list[Any] = [first, *((field, Any, None) for field in names)]
    return msgspec.defstruct(name, fields, rename=names, namespace={"marks": tuple(names.items())})


def _rest(page: Any) -> dict[str, Any]:
    found = {}
    for field, mark in page.marks:
        value = getattr(page, field)
        if value is not None:
            found[mark] = value
    return found
