"""An upstream and a handler's route, as a plugin declares them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scailookup.auth import Auth
from scailookup.checks import NAME, check_base_url, check_headers, check_seconds
from scailookup.declare.lookups import Lookup
from scailookup.model import JSON_ONLY, Headers

__all__ = ["Route", "Tls", "Upstream"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of an upstream, as paths of PEM files.

    ``ca`` is trusted besides the usual authorities. ``cert`` is the client certificate
    and its chain, ``key`` its private key without a passphrase (by default it stands in
    the same file). They are read when the declaration is made, so a wrong one is found
    at the start.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("tls: a key needs its certificate")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca is not None:
            self._try(self.ca, lambda: context.load_verify_locations(self.ca))
        if self.cert is not None:
            cert, key = str(self.cert), str(self.key or self.cert)
            # A passphrase would be asked for on the terminal.
            self._try(cert, lambda: context.load_cert_chain(cert, key, password=""))

    @staticmethod
    def _try(path: str | Path, load: Any) -> None:
        try:
            load()
        except ssl.SSLError:
            raise ValueError(f"tls: {path} does not hold what it should, in PEM form") from None
        except OSError as exc:
            raise ValueError(f"tls: cannot read {path}: {exc.strerror}") from None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service that lookups are made into. ``auth`` has no default on purpose.

    ``headers`` are fixed and sent with every call; an ``Accept`` among them takes the
    place of ours, and a lookup's own headers the place of these. ``deadline`` is
    seconds for each lookup that says none of its own. An empty ``base_url`` is for an
    upstream whose lookups all gather from ``sources``.
    """

    name: str
    base_url: str
    auth: Auth
    lookups: tuple[Lookup, ...] = ()
    summary: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)
    tls: Tls | None = field(default=None, kw_only=True)
    _headers: Mapping[str, Headers] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a legal upstream name")
        if not isinstance(self.auth, Auth):
            raise TypeError(f"upstream {self.name}: auth must be one of scailookup.auth's kinds")
        if self.base_url or not self.lookups or not all(look.sources for look in self.lookups):
            check_base_url(self.base_url)
        check_headers(self.headers)
        check_seconds("deadline", self.deadline)
        names = [look.name for look in self.lookups]
        if len(set(names)) != len(names):
            raise ValueError(f"upstream {self.name} declares a lookup twice")
        for name, value in (
            ("base_url", self.base_url.rstrip("/")),
            ("lookups", tuple(self.lookups)),
            ("headers", MappingProxyType(dict(self.headers))),
            ("_headers", {look.name: merged(self.headers, look.headers) for look in self.lookups}),
        ):
            object.__setattr__(self, name, value)

    @property
    def deadlines(self) -> list[float]:
        """The deadlines of its own that it and its lookups declare, in seconds."""
        found = [self.deadline, *(lookup.deadline for lookup in self.lookups)]
        return [seconds for seconds in found if seconds is not None]

    def headers_of(self, lookup: Lookup) -> Headers:
        """What a call of ``lookup`` sends besides what every call does; ``Accept`` comes first."""
        found = self._headers.get(lookup.name)
        return merged(self.headers, lookup.headers) if found is None else found


def merged(*layers: Mapping[str, str]) -> Headers:
    """Fixed headers, the later layer winning by name in any case, with an ``Accept`` at their head."""
    found = {name.lower(): (name, value) for name, value in JSON_ONLY}
    for layer in layers:
        found |= {name.lower(): (name, value) for name, value in layer.items()}
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Route:
    """A handler of a plugin, mounted under both prefixes at the literal ``path``."""

    path: str
    handler: type[Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(/[a-z0-9][a-z0-9_.-]*)+", self.path):
            raise ValueError(f"{self.path!r} is not a legal route")
        for name in self.options:
            if isinstance(getattr(self.handler, name, None), property):
                raise ValueError(f"the option {name!r} is a property of every handler: choose another name")
