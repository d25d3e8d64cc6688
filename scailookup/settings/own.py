"""Settings of plugins' own: ``SCAILOOKUP_<NAME>_*`` variables, typed by a dataclass of the plugin's.

The core does not know these names before a plugin asks for them. What nobody asked for
is unknown, and ends the start like any other unknown name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, NamedTuple, TypeVar

from pydantic import SecretStr, TypeAdapter, ValidationError

from scailookup.errors import SettingsError

__all__ = ["GROUP", "Own", "OwnValue", "installed", "one_line", "prefix_of", "problems", "unknown_line"]

GROUP = "scailookup"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_T = TypeVar("_T")


class OwnValue(NamedTuple):
    """One setting that a plugin read, as it may be shown: a secret only says whether it is set."""

    name: str
    shown: str
    given: bool


class Own:
    """The variables that no setting of the core's takes, and which of them plugins have read."""

    def __init__(self, given: Mapping[str, str], core: Iterable[str] = ()) -> None:
        self._given = dict(given)
        self._core = frozenset(core)
        self._read: dict[str, OwnValue] = {}
        self._secrets: dict[str, SecretStr] = {}
        self._problems: list[str] = []

    def of(self, name: str, kind: type[_T]) -> _T:
        """The settings of the plugin ``name``, as a ``kind``, which is a dataclass.

        The field ``max_age`` is the variable ``SCAILOOKUP_<NAME>_MAX_AGE``; a field
        without a default is required. Raises SettingsError, which ends the start.
        """
        fields = _fields(name, kind)
        prefix = prefix_of(name)
        taken = {prefix + field.upper() for field in fields} & self._core
        if taken:
            raise ValueError(f"{min(taken)} is a setting of the service itself")
        values = {f: self._given[prefix + f.upper()] for f in fields if self._given.get(prefix + f.upper())}
        for field in fields:
            self._read.setdefault(prefix + field.upper(), OwnValue(prefix + field.upper(), "", False))
        try:
            found: _T = TypeAdapter(kind).validate_python(values)
        except ValidationError as exc:
            line = one_line(problems(exc), lambda field: prefix + (field.upper() or "*"))
            self._problems.append(line)
            raise SettingsError(line) from None
        for field in fields:
            self._note(prefix + field.upper(), getattr(found, field), given=field in values)
        return found

    def _note(self, name: str, value: Any, *, given: bool) -> None:
        secret = isinstance(value, SecretStr)
        if isinstance(value, SecretStr):
            self._secrets[name] = value
        text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        shown = "(set)" if secret else "(not set)" if value is None else text or "(empty)"
        self._read[name] = OwnValue(name, shown, given)

    def secret(self, name: str) -> str:
        """The value of a secret setting that its plugin has read; empty when there is none."""
        value = self._secrets.get(name)
        return value.get_secret_value() if value is not None else ""

    def secrets(self) -> list[str]:
        """Every secret value, for scrubbing."""
        return [value.get_secret_value() for value in self._secrets.values()]

    def values(self) -> list[OwnValue]:
        """Every setting that a plugin has read, by name."""
        return sorted(self._read.values())

    def refuse_bad(self) -> None:
        """Raise SettingsError when a plugin found a bad value: the operator's mistake, not the plugin's."""
        if self._problems:
            raise SettingsError("; ".join(self._problems))

    def refuse_unknown(self, absent: Iterable[str]) -> None:
        """Raise SettingsError for names that no plugin read; the ``absent`` plugins could not."""
        spared = tuple([prefix_of(name) for name in absent])
        unknown = [n for n in self._given if n not in self._read and not n.startswith(spared)]
        if unknown:
            raise SettingsError(unknown_line(unknown))


def _fields(name: str, kind: type[Any]) -> list[str]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a legal plugin name")
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise TypeError("the settings of a plugin are declared as a dataclass")
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise ValueError(f"{field!r} cannot be a setting: write it in small letters")
    return fields


def prefix_of(name: str) -> str:
    """How the variables of a plugin begin."""
    return f"SCAILOOKUP_{name.upper().replace('-', '_')}_"


def installed() -> list[str]:
    """The names of the plugins there are."""
    return [point.name for point in entry_points(group=GROUP)]


def unknown_line(names: Iterable[str]) -> str:
    """What the operator reads of names that nobody knows."""
    return f"{', '.join(sorted(names))}: no such setting (docs/settings.md lists them)"


def problems(exc: ValidationError) -> list[Any]:
    """What is wrong, without a value."""
    return list(exc.errors(include_url=False, include_input=False, include_context=False))


def one_line(found: list[Any], name: Any = str) -> str:
    """Every problem on one line; never a value, which might be a secret.

    ``name`` gives the name of a field's setting, and of all together for an empty one.
    """
    lines = []
    for problem in found:
        text = problem["msg"].removeprefix("Value error, ").replace("\n", " ")
        where = name(str(problem["loc"][0]) if problem["loc"] else "")
        lines.append(f"{where}: {text[:1].lower() + text[1:]}" if where else text)
    return "; ".join(lines)
