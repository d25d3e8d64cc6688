"""From the environment and two files to Settings, or to one clear line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError

from scailookup.errors import SettingsError
from scailookup.settings.own import Own, installed, one_line, prefix_of, problems, unknown_line
from scailookup.settings.values import Settings

__all__ = ["SYSTEM_FILE", "load"]

SYSTEM_FILE = "/etc/scailookup/scailookup.env"

_KNOWN = {str(f.validation_alias) for f in Settings.model_fields.values()}


def _from_file(path: str, *, required: bool) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as stream:
            lines = list(parse_stream(stream))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"SCAIFLOW_ENV_FILE: {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise SettingsError(f"cannot read {path}: {reason}") from None
    for line in lines:
        if line.error:  # the line itself is not shown: it may hold a key
            text = line.original.string  # begins with the empty lines before it
            number = line.original.line + text[: -len(text.lstrip())].count("\n")
            raise SettingsError(f"{path}: line {number} is not NAME=value")
    return {line.key: line.value for line in lines if line.key is not None and line.value is not None}


def load(
    environ: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    system_file: str | None = SYSTEM_FILE,
    plugins: Iterable[str] | None = None,
) -> Settings:
    """The settings of ``environ`` and the two files; raises SettingsError with one line.

    ``overrides`` are the command line's; a value that they replace must be sound all the same.
    A name that may belong to one of ``plugins`` (by default those installed) is kept
    for it; ``Settings.own`` refuses it when nobody reads it.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, str] = {}
    if system_file:
        values |= _from_file(system_file, required=False)
    named = environ.get("SCAIFLOW_ENV_FILE")
    if named:
        values |= _from_file(named, required=True)
    values |= environ
    own = {n: v for n, v in values.items() if n.startswith("SCAILOOKUP_") and n not in _KNOWN}
    if own:
        theirs = tuple([prefix_of(name) for name in (installed() if plugins is None else plugins)])
        unknown = [name for name in own if not name.startswith(theirs)]
        if unknown:
            raise SettingsError(unknown_line(unknown))
    otel = {n: v for n, v in values.items() if n.startswith("OTEL_") and v}
    # An empty value is the same as none: compose files and unit files write them so.
    wanted: dict[str, Any] = {k: v for k, v in values.items() if k in _KNOWN and v != ""}
    wanted |= {"OTEL_*": otel} if otel else {}
    if overrides:
        try:
            _build(wanted)
        except ValidationError as exc:
            # What concerns several settings at once is judged with the overrides in place, below.
            bad = [problem for problem in problems(exc) if problem["loc"]]
            if bad:
                raise SettingsError(one_line(bad)) from None
    try:
        return _build({**wanted, **(overrides or {})}).with_own(Own(own, _KNOWN))
    except ValidationError as exc:
        raise SettingsError(one_line(problems(exc))) from None


def _build(values: Mapping[str, Any]) -> Settings:
    return Settings(**values)
