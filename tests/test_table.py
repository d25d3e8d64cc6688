"""Rows as a table: which columns, how wide, and what is said of the others."""

from __future__ import annotations

import pytest

from scailookup.table import table
from scailookup.terminal import width

ROWS = [
    {"slug": "openai/gpt-4o", "display_name": "GPT-4o", "context_window": 128000},
    {"slug": "qwen/大", "display_name": "通义千问", "context_window": 32768, "tags": ["a", "b"]},
]


def test_columns_stand_in_the_order_of_the_fields() -> None:
    """Numbers to the right, texts to the left, what is absent empty, nested values as JSON."""
    assert [
        "slug           display_name  context_window  tags",
        "openai/gpt-4o  GPT-4o                128000",
        'qwen/大        通义千问               32768  ["a", "b"]',
    ] == table(ROWS, None).lines


def test_wide_characters_keep_the_columns_straight() -> None:
    """Every row's second column begins at the same cell."""
    _, first, second = table(ROWS, None).lines
    assert width(first[: first.index("GPT-4o")]) == width(second[: second.index("通义")])


@pytest.mark.parametrize("cells", [200, 48, 40, 24, 12, 5, 1])
def test_no_line_is_wider_than_the_terminal(cells: int) -> None:
    """Whatever the width, all lines fit."""
    assert all(width(line) <= cells for line in table(ROWS, cells).lines)


def test_the_widest_columns_give_way_first() -> None:
    """A short column beside a long one stays whole."""
    rows = [{"id": "m-1", "description": "x" * 100, "status": "active"}]
    assert ["id   description          status", f"m-1  {'x' * 18}…  active"] == table(rows, 32).lines


def test_fields_without_room_are_named() -> None:
    """The last ones are left out before a text is cut to nothing, and nobody has to guess."""
    made = table([{"a": "1" * 20, "b": "2" * 20, "c": "3" * 20}], 40)
    assert ([f"a{' ' * 21}b", f"{'1' * 20}  {'2' * 17}…"], ["c"]) == (made.lines, made.left_out)


def test_what_names_the_row_is_cut_last() -> None:
    """The first column has half of the line before others take any of it."""
    assert f"{'1' * 40}  {'2' * 34}…  3" == table([{"id": "1" * 40, "b": "2" * 40, "c": 3}], 80).lines[1]


def test_names_of_fields_are_foreign_too() -> None:
    """An upstream's own field cannot command the terminal either."""
    assert ["a�b", "1"] == table([{"a\x1bb": "1"}], 80).lines
