"""What may reach a terminal, how wide it is there, and the line that shows progress."""

from __future__ import annotations

import io
import json
from typing import TextIO

import pytest

from scailookup.terminal import Progress, columns, cut, plain, plain_json, width


class Tty(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It claims so."""
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GPT-4o", "GPT-4o"),
        ("two\n lines\tand\r more ", "two lines and more"),
        ("\x1b]0;owned\x07title", "�]0;owned�title"),
        ("a\x9b2Jb", "a�2Jb"),  # the eight-bit form of the same escape
        ("a\x7fb\x00c", "a�b�c"),
        ("gpj.\u202egnp", "gpj.�gnp"),
        ("a\u2028b", "a b"),
        ("zwölf 模型 👩‍💻", "zwölf 模型 👩‍💻"),
        ("half \ud83d", "half �"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    """Controls and what turns the line around are replaced, white space becomes blanks, letters stay."""
    assert shown == plain(text)


@pytest.mark.parametrize(
    ("stream", "kept"),
    [
        (Tty(), "模é"),
        (io.StringIO(), "模é\x7f\x9b\u202e"),
        (io.TextIOWrapper(io.BytesIO(), encoding="latin-1"), "é\x7f\x9b"),
    ],
)
def test_json_means_the_same_wherever_it_is_printed(stream: TextIO, kept: str) -> None:
    """A terminal has no character that it obeys, a stream none that it lacks; the value does not change."""
    value = {"a": "\x7f \x9b2J \u202e \U000e0001 模é"}
    shown = plain_json(json.dumps(value, ensure_ascii=False), stream)
    assert (value, set(kept)) == (json.loads(shown), set("模é\x7f\x9b\u202e") & set(shown))


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("模型", 4), ("e\u0301", 1), ("a\u200bb", 2), ("ﾊﾝ", 2), ("", 0)]
)
def test_width_is_counted_in_cells(text: str, cells: int) -> None:
    """Wide characters take two, accents that join take none."""
    assert cells == width(text)


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 4, "abc…"),
        ("模型名", 5, "模型…"),
        ("模型名", 4, "模…"),
        ("ab", 1, "…"),
    ],
)
def test_cut_never_passes_the_cells(text: str, cells: int, shown: str) -> None:
    """An ellipsis stands for what is left out, and a wide character is not halved."""
    assert (shown, True) == (cut(text, cells), width(cut(text, cells)) <= cells)


def test_what_is_no_terminal_has_no_width() -> None:
    """A pipe takes lines of any length."""
    assert (None, 80) == (columns(io.StringIO()), columns(Tty()))


def test_progress_draws_one_line_and_erases_it() -> None:
    """Each step replaces the one before, and nothing is left in the end."""
    stream = Tty()
    with Progress(stream, of=2, environ={"TERM": "xterm"}) as progress:
        progress.step("one\x1b[2J")
        progress.step("two")
    erase = "\r\x1b[K"
    assert f"{erase}[1/2] one�[2J{erase}[2/2] two{erase}" == stream.getvalue()


def test_progress_fits_the_line() -> None:
    """A line that wraps could not be erased."""
    stream = Tty()
    Progress(stream, environ={"TERM": "xterm"}).step("x" * 200)
    assert 79 == len(stream.getvalue().removeprefix("\r\x1b[K"))


@pytest.mark.parametrize(
    ("stream", "environ"), [(io.StringIO(), {"TERM": "xterm"}), (Tty(), {"TERM": "dumb"}), (Tty(), {})]
)
def test_progress_is_silent_elsewhere(stream: io.StringIO, environ: dict[str, str]) -> None:
    """A pipe, a file and a terminal that cannot erase get nothing."""
    with Progress(stream, of=1, environ=environ) as progress:
        progress.step("one")
    assert "" == stream.getvalue()
