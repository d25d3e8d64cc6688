"""What a terminal is given: texts that cannot command it, their width, and a line that shows progress.

Texts of upstreams and plugins are foreign: an escape sequence among them could retitle the
window, move what was printed before, or hide the rest of it.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

__all__ = ["Progress", "columns", "cut", "plain", "plain_json", "width"]

# Controls, lone surrogates, separators of lines and paragraphs.
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These turn the order of a line around: what is read is not what stands there.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ELLIPSIS = "…"
_ERASE = "\r\x1b[K"
_USUAL = 80


def plain(text: str) -> str:
    """``text`` on one line, without anything that a terminal obeys; white space becomes single blanks."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return "".join([_shown(character) for character in " ".join(text.split())])


def _shown(character: str) -> str:
    harmful = character in _TURNING or unicodedata.category(character) in _FORBIDDEN
    return "\N{REPLACEMENT CHARACTER}" if harmful else character


def plain_json(text: str, stream: TextIO) -> str:
    """JSON of the same meaning, with escapes for what ``stream`` must not have, or has no letters for.

    A terminal must not have what it obeys; elsewhere the text stays as it is. So do line ends of the layout.
    """
    encoding, tty = stream.encoding or "utf-8", stream.isatty()
    if _has_letters(encoding, text) and not tty:
        return text
    return "".join([c if c == "\n" or _fits(c, encoding, tty) else _escaped(c) for c in text])


def _fits(character: str, encoding: str, tty: bool) -> bool:
    return _has_letters(encoding, character) and (not tty or _shown(character) == character)


def _has_letters(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escaped(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{raw[at : at + 4]}" for at in range(0, len(raw), 4))


def width(text: str) -> int:
    """The cells that ``text`` takes: two for a wide character, none for one that joins the one before."""
    if text.isascii():
        return len(text)
    return sum([_cells(character) for character in text])


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, cells: int) -> str:
    """``text`` in at most ``cells`` cells (one at least), with an ellipsis where something is left out."""
    if width(text) <= cells:
        return text
    kept, left = "", cells - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += character
    return kept.rstrip() + _ELLIPSIS


def columns(stream: TextIO) -> int | None:
    """The width of the terminal behind ``stream``; None when it is none."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except OSError:
        return _USUAL


class Progress:
    """One line that says what is being done, on a terminal alone; anywhere else it is silent.

    It is erased by ``clear``, which whoever prints lines in between calls first, and at the end
    of the context. ``of`` is how many steps there are, where that is known: their number and an
    estimate of the time left are then shown.
    """

    def __init__(
        self, stream: TextIO, *, of: int | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = stream
        # A terminal that cannot erase a line would be filled with them.
        self._on = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        self._of = of
        self._done = -1
        self._started = time.monotonic()
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def step(self, what: str) -> None:
        """The step before is done, and ``what`` has begun."""
        self._done += 1
        if not self._on:
            return
        text = plain(what)
        if self._of is not None:
            text = f"[{self._done + 1}/{self._of}] {text}{self._left()}"
        cells = (columns(self._stream) or _USUAL) - 1
        self._stream.write(_ERASE + cut(text, max(cells, 1)))
        self._stream.flush()
        self._drawn = True

    def clear(self) -> None:
        """Erase the line, so that others can be printed."""
        if self._drawn:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._drawn = False

    def _left(self) -> str:
        """How long it may take yet, once that can be told from some steps and is worth telling."""
        if self._of is None or self._done < 2:
            return ""
        seconds = (time.monotonic() - self._started) / self._done * max(self._of - self._done, 0)
        return f", about {seconds // 60:.0f}:{seconds % 60:02.0f} left" if seconds >= 2 else ""
