"""Secrets in a TOML file: nested tables are the parts of a path.

``[tenants.tnt_acme]`` with ``scaigrid_api_key = "sgk_…"`` is the secret
``tenants/tnt_acme/scaigrid_api_key`` with the one field ``value``; a table of strings
is a secret with these fields. The file is read again when it changed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scailookup.errors import SecretsUnavailable
from scailookup.secrets.paths import PLAIN, legible, require

__all__ = ["FileStore"]

_REFUSED = "secret_path_refused"
# Seconds to wait for another process that writes the file.
_LOCK_WAIT = 5.0
_FIX = "The operator must look at SCAILOOKUP_SECRETS_FILE."


class FileStore:
    """The secrets in the TOML file at ``path``, which only its owner may read."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._tree: dict[str, Any] = {}

    async def read(self, path: str) -> Mapping[str, str] | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""
        if not legible(path, PLAIN, _REFUSED):
            return None
        return _secret(await asyncio.to_thread(self._load), path)

    async def write(self, path: str, data: Mapping[str, str]) -> None:
        """Replace the secret, keeping the file's comments.

        Raises SecretsUnavailable, InvalidParameter for an impossible path.
        """
        require(path, PLAIN, _REFUSED)
        await asyncio.to_thread(self._write, path, dict(data))

    async def probe(self) -> None:
        """Raise SecretsUnavailable unless the file can be read and understood."""
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        """Nothing runs in the background."""

    def _load(self) -> dict[str, Any]:
        """The file's tables, parsed again only when the file changed."""
        try:
            found = _signature(self._path.stat())
            if found != self._seen:
                with self._path.open("rb") as stream:
                    found = _signature(os.fstat(stream.fileno()))
                    self._tree, self._seen = _parse(stream.read()), found
        except OSError as exc:
            raise SecretsUnavailable(f"the secrets file cannot be read: {exc.strerror}", _FIX) from None
        return self._tree

    def _write(self, path: str, data: dict[str, str]) -> None:
        target = Path(os.path.realpath(self._path))
        try:
            with _locked(target):
                _signature(target.stat())
                text = _changed(target.read_bytes(), path, data)
                _replace(target, text)
        except OSError as exc:
            raise SecretsUnavailable(
                f"the secrets file cannot be written: {exc.strerror}",
                "The operator must let scailookup write SCAILOOKUP_SECRETS_FILE and its directory.",
            ) from None


def _signature(found: os.stat_result) -> tuple[int, ...]:
    """What changes when the file does; raises SecretsUnavailable when others may read it."""
    if found.st_mode & 0o077:
        raise SecretsUnavailable(
            "the secrets file is open to others",
            "The operator must run chmod 600 on SCAILOOKUP_SECRETS_FILE.",
        )
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as exc:
        line = re.search(r"at line (\d+)", str(exc))
        where = f" (line {line[1]})" if line else ""
        raise SecretsUnavailable(f"the secrets file is not valid TOML{where}", _FIX) from None


def _secret(tree: Any, path: str) -> dict[str, str] | None:
    for part in path.split("/"):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
        if tree is None:
            return None
    if isinstance(tree, str):
        return {"value": tree}
    if not isinstance(tree, Mapping):
        raise SecretsUnavailable("a secret in the secrets file is not a string", _FIX)
    return {name: value for name, value in tree.items() if isinstance(value, str)} or None


def _changed(raw: bytes, path: str, data: dict[str, str]) -> str:
    """The file's text with the secret set, comments and order kept."""
    import tomlkit

    wanted = _parse(raw)
    _set(wanted, path, data, dict)
    document = tomlkit.parse(raw.decode())
    _set(document, path, data, tomlkit.table)
    text = tomlkit.dumps(document)
    if _parse(text.encode()) != wanted:
        raise SecretsUnavailable("the secrets file's form does not allow this change", _FIX)
    return text


def _set(table: Any, path: str, data: dict[str, str], new: Callable[[], Any]) -> None:
    """Set the secret in the nested tables, making those that are not there with ``new``."""
    *parents, leaf = path.split("/")
    for part in parents:
        if part not in table:
            # An inline table takes a plain dict only.
            table[part] = {} if type(table).__name__ == "InlineTable" else new()
        table = table[part]
        if not isinstance(table, Mapping):
            raise SecretsUnavailable("a part of the path is no table in the secrets file", _FIX)
    old = table.get(leaf)
    if isinstance(old, Mapping) and any(isinstance(value, Mapping) for value in old.values()):
        raise SecretsUnavailable("the path is a table of other secrets in the secrets file", _FIX)
    table[leaf] = data["value"] if set(data) == {"value"} else dict(data)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Alone among the processes that write ``target``; the lock file stays behind."""
    name = target.with_name(f".{target.name}.lock")
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int) -> None:
    give_up = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
        time.sleep(0.02)


def _replace(target: Path, text: str) -> None:
    """Put ``text`` in the place of ``target`` whole, or not at all; mode 0600."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
