"""The page for people and the pickers: a fixed list of files, read once, served with an ETag.

A file is a route of its own, made from this list: there is no path to leave it by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from scailookup.model import Form
from scailookup.web.guard import OPEN, Need
from scailookup.web.handler import Handler
from scailookup.web.reply import static_reply
from scailookup.web.router import Target

__all__ = ["CONSOLE", "PICKERS", "StaticFile", "StaticHandler", "read", "static_target"]

HERE = Path(__file__).parent
PICKERS = (
    "picker-field.js",
    "picker-list.js",
    "picker-lookup.js",
    "picker-queue.js",
    "picker-rows.js",
    "picker-source.js",
    "picker-style.js",
    "pickers.d.ts",
    "pickers.js",
)
CONSOLE = (
    "ask.js",
    "console.css",
    "console.js",
    "faults.js",
    "icon.svg",
    "parts.js",
    "plot.js",
    "session.js",
    "signin.js",
    "view-credentials.js",
    "view-explain.js",
    "view-lookups.js",
    "view-upstreams.js",
)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """The bytes of one file, ready to send, and what they are."""

    form: Form
    content_type: str


def read(folder: str, name: str) -> StaticFile:
    """A file of ours; raises OSError when the installation lacks it."""
    path = HERE / folder / name
    return StaticFile(Form(path.read_bytes()), _TYPES[path.suffix])


class StaticHandler(Handler):
    """GET one file. Open: it is the same for everybody and holds nothing of anybody."""

    traced: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    file: StaticFile
    headers: Mapping[str, str]

    async def get(self) -> None:
        """200 with the file; 304 when the caller has it already."""
        asked = self.request.headers
        status, headers, body = static_reply(
            self.file.form,
            accept_encoding=asked.get("Accept-Encoding", ""),
            if_none_match=asked.get("If-None-Match"),
        )
        self.set_status(status)
        for name, value in (*self.headers.items(), *headers):
            self.set_header(name, value)
        self.add_header("Vary", "Accept-Encoding")
        if status == 304:
            self.finish()
        else:
            self.send(body, self.file.content_type)


def static_target(folder: str, name: str, headers: Mapping[str, str]) -> Target:
    """The route of one file of the list."""
    options = {"file": read(folder, name), "headers": headers}
    return Target(StaticHandler, "console", options)
