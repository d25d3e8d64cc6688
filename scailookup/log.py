"""Structured events, one line each, and the scrubbing of every secret we know.

Two nets: events hold only fields chosen by hand, and the finished line is searched
for each known secret value and for what looks like one. Loggers of libraries that
print headers or bodies at DEBUG are held at WARNING whatever the level.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

import msgspec
import structlog

__all__ = ["LEVELS", "REDACTED", "Scrubber", "configure", "lines_lost", "scrubber"]

LEVELS = ("debug", "info", "warning", "error")
REDACTED = "[redacted]"
# Shorter than this is no secret worth the damage of replacing it everywhere.
_SHORTEST = 6
# A JWT, a platform key, a vault token: the shapes of what must never be shown.
_SHAPES = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<![A-Za-z0-9])(?:sgk|skt)_[A-Za-z0-9_.~+/=-]{8,}"
    r"|\bhv[sbr]\.[A-Za-z0-9_.-]{8,}"
)
# A tenant's own address lies in the store beside its key; it is no secret, and logs need it.
_ADDRESS = ("https://", "http://")
_MARKS = ("eyJ", "sgk_", "skt_", "hvs.", "hvb.", "hvr.")
# These print Authorization headers or bodies at DEBUG.
_LOUD = ("tornado.curl_httpclient", "hvac", "urllib3", "requests", "asyncio", "tornado.simple_httpclient")


class _Known:
    """Secret values in the forms they may take in a text, parted by how quickly they can be ruled out.

    A value with a mark of its own (``sgk_`` and the like) can stand only in a text
    that holds the mark; few texts do, and a thousand tenants have a thousand such keys.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {f for s in secrets if len(s) >= _SHORTEST for f in _forms(s)}
        self.marked = [form for form in forms if _has_mark(form)]
        self.plain = [form for form in forms if not _has_mark(form)]

    def within(self, text: str, marked: bool) -> list[str]:
        """The forms that ``text`` holds; ``marked`` says whether it holds a mark."""
        found = [form for form in self.plain if form in text]
        return found + [form for form in self.marked if form in text] if marked else found


class Scrubber:
    """Replaces known secrets, and what has the shape of one, in a text."""

    def __init__(self) -> None:
        self._fixed: set[str] = set()
        self._known = _Known(())
        self._sources: list[Callable[[], Iterable[str]]] = []
        self._snapshots: list[tuple[Iterable[str], _Known]] = []

    def add(self, *secrets: str) -> None:
        """Know these values from now on."""
        self._fixed.update(secrets)
        self._known = _Known(self._fixed)

    def add_source(self, values: Callable[[], Iterable[str]]) -> None:
        """Ask ``values`` for more secrets each time a text is scrubbed; plain addresses among them stay.

        A tuple is looked into once, for as long as the same one comes.
        """
        self._sources.append(values)
        self._snapshots.append(((), _Known(())))

    def remove_source(self, values: Callable[[], Iterable[str]]) -> None:
        """Ask ``values`` no more."""
        number = self._sources.index(values)
        del self._sources[number], self._snapshots[number]

    def __call__(self, text: str, *more: str) -> str:
        """``text`` without any known secret; ``more`` are secrets of this moment only."""
        marked = _has_mark(text)
        found = self._known.within(text, marked)
        if more:
            found += _Known(more).within(text, marked)
        for number, source in enumerate(self._sources):
            values = source()
            if self._snapshots[number][0] is not values or not isinstance(values, tuple):
                secrets = [value for value in values if not value.startswith(_ADDRESS)]
                self._snapshots[number] = (values, _Known(secrets))
            found += self._snapshots[number][1].within(text, marked)
        # The longest first: a secret that holds another one must go whole.
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return _SHAPES.sub(REDACTED, text) if marked else text


def _has_mark(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _forms(secret: str) -> tuple[str, ...]:
    """How a secret stands in a text, and how it stands in JSON when that differs."""
    if secret.isascii() and secret.isprintable() and '"' not in secret and "\\" not in secret:
        return (secret,)
    return secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]


scrubber = Scrubber()
"""The process's scrubber: the settings, the held secrets and the log share it."""


class _ScrubbedStream:
    """A text stream that scrubs every line on its way out.

    A line that cannot be written (a full disk, a reader that went away) is dropped: no request
    fails for it. The first line after that is told how many were.
    """

    total = 0
    """Of all streams of this process."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                self._stream.flush()  # raises as long as there is no room, before more is piled up
                self._stream.write(_loss(self._lost))
                self._lost = 0
            return self._stream.write(scrubber(text))
        except OSError:
            self._lost += 1
            _ScrubbedStream.total += 1
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def lines_lost() -> int:
    """How many lines of this process could not be written so far."""
    return _ScrubbedStream.total


def _json(event: Any, **_options: Any) -> str:
    line = msgspec.json.encode(event, enc_hook=str)
    # Some readers of lines break them at characters beyond ASCII; json escapes those.
    return line.decode() if line.isascii() else json.dumps(event, default=str)


def _loss(count: int) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _json({"lines": count, "event": "log_lines_lost", "level": "error", "timestamp": now}) + "\n"


def configure(
    level: str = "info", style: str | None = None, stream: IO[str] | None = None, *, worker: int | None = None
) -> None:
    """Send every event, ours and the libraries', to ``stream`` (stderr).

    ``style`` is json or console; None takes json off a terminal and console on one.
    ``worker`` is the number of this process among several, which each event then bears.
    """
    target = stream or sys.stderr
    out: Any = _ScrubbedStream(target)
    if style is None:
        style = "console" if target.isatty() else "json"
    renderer: Any = structlog.processors.JSONRenderer(serializer=_json)
    if style == "console":
        # The usual formatter shows local variables, tokens among them, where `rich` is installed.
        renderer = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        shared.append(lambda _logger, _method, event: {**event, "worker": worker})
    tail: list[Any] = [structlog.processors.format_exc_info] if style == "json" else []
    structlog.configure(
        processors=[*shared, *tail, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _adopt_stdlib(level, out, shared, [*tail, renderer])


def _adopt_stdlib(level: str, out: Any, shared: list[Any], tail: list[Any]) -> None:
    """Give the records of Tornado and the rest the same form."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, getattr(logging, level.upper())))
    # Its access lines repeat our own events without their care.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
