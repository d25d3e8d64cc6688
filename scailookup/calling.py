"""One lookup from the command line: by the settings in this process, or of a service that runs.

Either is asked the same question and gives the same bytes; what is printed is made of them alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TextIO
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from tornado.httputil import HTTPHeaders

from scailookup.app import Service
from scailookup.commandline import TOKEN_NAME
from scailookup.errors import CallFailed
from scailookup.metrics import Metrics
from scailookup.model import JSON_ONLY, USER_AGENT, Request
from scailookup.settings import Settings, is_loopback
from scailookup.table import table
from scailookup.terminal import Progress, columns, plain, plain_json
from scailookup.transport.curl import CurlClient
from scailookup.web.router import PREFIXES
from scailookup.web.within import get_within

__all__ = ["Asked", "run_call", "unprotected"]

# Exit statuses, besides 0 for rows and 2 for settings and command lines that cannot work.
FAILED = 1
REFUSED = 3
CALLER = 4
NOBODY = 5

_PATIENCE = 60.0
_CONNECT = 5.0
_MOST_BYTES = 256 * 1024 * 1024
_OF_THE_CALLER = {401, 403, 412}
_LISTED = "`scailookup plugins` lists every lookup there is."


@dataclass(frozen=True, slots=True)
class Asked:
    """A lookup as it was asked for: its path, the parameters in their order, and the caller's token."""

    lookup: str
    params: tuple[tuple[str, str], ...] = ()
    token: str | None = field(default=None, repr=False)

    @property
    def target(self) -> str:
        """The path and query to ask for. What cannot stand in a path is escaped; ``%`` is taken as given."""
        # Arguments that are no UTF-8 become the bytes they were: the service says what is wrong with them.
        path = quote(self.lookup.strip("/"), safe="/%:@!$&'()*+,;=~", errors="surrogateescape")
        query = urlencode(self.params, errors="surrogateescape")
        return f"{PREFIXES[0]}/{path}" + (f"?{query}" if query else "")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes with it."""
        own = (*JSON_ONLY, ("User-Agent", USER_AGENT))
        return own if self.token is None else (*own, ("Authorization", f"Bearer {self.token}"))


class _Answer(NamedTuple):
    status: int
    body: bytes


async def run_call(
    asked: Asked, *, url: str | None, settings: Settings | None, as_json: bool, out: TextIO, err: TextIO
) -> int:
    """Ask the service at ``url``, else by ``settings``, and print; the exit status.

    Raises SettingsError when the settings cannot work.
    """
    try:
        with Progress(err) as progress:
            progress.step(f"asking for {asked.lookup.strip('/')}")
            if url is not None:
                answer = await _there(asked, url)
            else:
                assert settings is not None
                answer = await _here(asked, settings)
    except CallFailed as exc:
        _say(err, f"{url}: {exc}", "Check --url, and that a scailookup runs there.")
        return NOBODY
    return _print(answer, asked, url=url, as_json=as_json, out=out, err=err)


def _print(answer: _Answer, asked: Asked, *, url: str | None, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Print what was answered; the exit status."""
    body = _decoded(answer.body)
    rows, detail = body.get("data") if answer.status == 200 else None, body.get("detail")
    if not isinstance(rows, list) and not isinstance(detail, dict):
        if url is None:
            _say(err, f"{asked.lookup} is no lookup", _LISTED)
            return REFUSED
        fix = "Check --url, and that LOOKUP is one."
        _say(err, f"{url}: answered {answer.status}, and not with rows as scailookup does", fix)
        return NOBODY
    if as_json:
        out.write(plain_json(answer.body.decode(), out) + "\n")
    elif isinstance(rows, list):
        _print_rows(rows, body.get("meta"), out, err)
    elif isinstance(detail, dict):
        _print_failure(detail, asked, err, remote=url is not None)
    out.flush()
    return 0 if isinstance(rows, list) else _status(answer.status, detail)


async def _here(asked: Asked, settings: Settings) -> _Answer:
    """What a service with these settings would answer: one is made, asked and closed; nobody listens."""
    service = Service(settings, Metrics())
    try:
        service.start()
        heard = await get_within(service.public, asked.target, HTTPHeaders(dict(asked.headers)))
    finally:
        await service.close()
    return _Answer(heard.status, heard.body)


async def _there(asked: Asked, url: str) -> _Answer:
    """What the service at ``url`` answers; raises CallFailed when nobody does."""
    client = CurlClient(connect_timeout=_CONNECT, max_body=_MOST_BYTES)
    try:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        reply = await client(Request(url.rstrip("/") + asked.target, asked.headers), deadline=deadline)
    finally:
        await client.close()
    return _Answer(reply.status, reply.body)


def unprotected(url: str) -> bool:
    """Whether a token sent to ``url`` could be read on its way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _decoded(body: bytes) -> dict[str, Any]:
    """The object that the body is; an empty one when it is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _status(status: int, detail: Any) -> int:
    """The exit status for an error."""
    error = detail.get("error") if isinstance(detail, dict) else None
    if status in _OF_THE_CALLER or (isinstance(error, str) and error.endswith("_auth")):
        return CALLER
    return REFUSED if 400 <= status < 500 else FAILED


def _print_rows(rows: list[Any], meta: Any, out: TextIO, err: TextIO) -> None:
    made = table([row for row in rows if isinstance(row, dict)], columns(out))
    if rows:
        out.write("\n".join(made.lines) + "\n")
        out.flush()
    notes = [] if rows else ["no rows"]
    if isinstance(meta, Mapping):
        notes += [name if said is True else f"{name}: {json.dumps(said)}" for name, said in meta.items()]
    if made.left_out:
        notes.append(f"no room for {', '.join(made.left_out)}; --json prints every field")
    for note in notes:
        err.write(f"note: {plain(note)}\n")


def _print_failure(detail: Mapping[str, Any], asked: Asked, err: TextIO, *, remote: bool) -> None:
    fix = str(detail.get("fix", ""))
    if detail.get("error") == "unauthenticated" and asked.token is None:
        fix = f"Give the access token by --token-file, or in {TOKEN_NAME}."
    elif detail.get("error") == "not_found" and not remote:
        fix = _LISTED
    _say(err, f"{detail.get('error')}: {detail.get('message')}", fix)
    if remote:  # the log that knows it is there
        err.write(f"      request id {plain(str(detail.get('request_id', '')))}\n")


def _say(err: TextIO, message: str, fix: str) -> None:
    err.write(f"scailookup: {plain(message)}\n")
    if fix:
        err.write(f"      -> {plain(fix)}\n")
