"""The rules of a good upstream, held against its declaration and against samples of what it answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from scailookup.auth import Basic, Bearer, ClientCredentials, Header
from scailookup.declare import Lookup, Upstream
from scailookup.errors import ScailookupError
from scailookup.model import Row
from scailookup.scaffold import RESERVED
from scailookup.settings import Settings
from scailookup.testing.hostile import hostile
from scailookup.testing.looking import Looked, look_up, match
from scailookup.testing.script import Script, Sent

__all__ = ["conforms"]

_FIELD = re.compile(r"\{\+?([a-z][a-z0-9_]*)\}")
_SECRET_FIELD = re.compile(r"[A-Za-z0-9_.-]+")
_TOKEN = {"access_token": "conforms-token", "token_type": "Bearer", "expires_in": 3600}


def conforms(
    upstream: Upstream,
    samples: Mapping[str, Any],
    *,
    tenant: str = "tnt_test",
    settings: Settings | None = None,
) -> None:
    """Hold ``upstream`` against every rule; raises AssertionError that lists all that is broken.

    ``samples`` has an answer of the real upstream for each lookup, by the route below
    the upstream's: ``{"stations": body, "stations/north/alerts": body}``. A tuple is a
    list's pages in order; a mapping of targets is the replies of a lookup that makes
    several calls. The rules are in ``docs/plugins/testing.md``. Needs hypothesis;
    raises RuntimeError where it is not installed.
    """
    tried = _hostile_rows(upstream, samples)  # first: without hypothesis nothing is to look well
    found = [*_names(upstream), *_fed(upstream), *_secrets(upstream, settings)]
    for lookup in upstream.lookups:
        paths = [path for path in samples if _is(upstream, lookup, path)]
        if not paths:
            found.append(f"samples: {lookup.name} has none")
        for path in paths:
            found.extend(_sampled(_Sample(upstream, lookup, path, samples[path], tenant, settings)))
    found.extend(f"samples: there is no lookup {path}" for path in samples if not _known(upstream, path))
    found.extend(tried)
    if found:
        raise AssertionError(f"{upstream.name} does not conform:\n" + "\n".join(f"- {one}" for one in found))


def _known(upstream: Upstream, path: str) -> bool:
    return any(_is(upstream, lookup, path) for lookup in upstream.lookups)


def _is(upstream: Upstream, lookup: Lookup, path: str) -> bool:
    try:
        return match(upstream, path.partition("?")[0])[0] is lookup
    except ValueError:
        return False


def _names(upstream: Upstream) -> Iterator[str]:
    """No route of the service's own, and no two lookups that one path could mean."""
    if upstream.name in RESERVED:
        yield f"names: /{upstream.name} is a route of the service's own"
    shapes = Counter(re.sub(r"\{[^}]*\}", "{}", lookup.name) for lookup in upstream.lookups)
    for shape, count in shapes.items():
        if count > 1:
            yield f"names: {count} lookups have routes of the form {shape}"


def _fed(upstream: Upstream) -> Iterator[str]:
    """Each field of a route is sent upstream, and each field of a body comes from a route."""
    for lookup in upstream.lookups:
        if lookup.gather is not None:
            continue  # its coroutine uses the values as it likes
        inside = set(_placeholders(lookup.body))
        for name in lookup.fields:
            if name not in {*_FIELD.findall(lookup.path), *inside}:
                yield f"fields: {{{name}}} of {lookup.name} is not sent upstream"
        for name in sorted(inside - set(lookup.fields)):
            yield f"fields: nothing feeds {{{name}}} in the body of {lookup.name}"


def _placeholders(body: Any) -> Iterator[str]:
    if isinstance(body, Mapping):
        body = list(body.values())
    if isinstance(body, list | tuple):
        for inner in body:
            yield from _placeholders(inner)
    elif isinstance(body, str):
        found = re.fullmatch(r"\{([a-z][a-z0-9_]*)\}", body)
        if found:
            yield found[1]


def _secrets(upstream: Upstream, settings: Settings | None) -> Iterator[str]:
    """A secret's reference names one field at most, or a setting that the plugin has read."""
    auth = upstream.auth
    if not isinstance(auth, Basic | Bearer | ClientCredentials | Header):
        return
    if auth.ref.setting is not None:
        if settings is not None and not settings.own.secret(auth.ref.setting):
            yield f"secrets: the plugin has not read {auth.ref.setting} as a Secret with a value"
    elif "#" in auth.secret and not _SECRET_FIELD.fullmatch(auth.ref.field or ""):
        yield f"secrets: {auth.secret!r} is not of the form path#field"


@dataclass(frozen=True, slots=True)
class _Sample:
    """A lookup, a path that leads to it, and what the upstream answers then."""

    upstream: Upstream
    lookup: Lookup
    path: str
    answer: Any
    tenant: str
    settings: Settings | None

    @property
    def script(self) -> Mapping[str, Any] | None:
        """The replies by target, where the sample is such."""
        answer = self.answer
        is_script = isinstance(answer, dict) and bool(answer) and all(map(_is_target, answer))
        return answer if is_script else None


class _Beyond(AssertionError):
    """A page was asked for that the sample does not have."""


def _is_target(name: object) -> bool:
    return isinstance(name, str) and name.startswith(("/", "http://", "https://"))


def _sampled(sample: _Sample) -> Iterator[str]:
    """What the rows of one sample break."""
    name, lookup = sample.path, sample.lookup
    made: list[tuple[Any, Row | None]] = []
    try:
        noted = replace(lookup, row=_noting(lookup, made), key_of=(), record=None)
        looked, pages = _looked(sample, noted)
    except _Beyond as exc:
        yield f"paging: {name} {exc}"
        return
    except (ScailookupError, AssertionError) as exc:
        yield f"samples: {name} gives no rows: {exc}"
        return
    if looked.meta.get("dropped"):
        lost = next((raw for raw, row in made if row is None), None)
        yield f"rows: {name} drops {looked.meta['dropped']} of its sample's records{_shown(lost)}"
    if not looked.rows:
        yield f"samples: {name} has no row in its sample"
    if pages.left:
        yield f"paging: {name} ends after page {pages.asked} of its sample"
    if looked.meta.get("truncated"):
        yield f"paging: {name} does not end with its sample"
    if lookup.record is not None and _looked(sample, lookup)[0].rows != looked.rows:
        yield f"rows: the record of {name} gives other rows than its `row`"
    yield from _row_rules(lookup, name, looked.rows, [row for _, row in made if row is not None])


class _Pages:
    """The upstream of one sample; ``asked`` is how many of its pages were."""

    def __init__(self, sample: _Sample) -> None:
        self._upstream = sample.upstream
        self._pages = sample.answer if isinstance(sample.answer, tuple) else (sample.answer,)
        self._script = None if sample.script is None else Script(sample.script)
        self.asked = 0

    @property
    def left(self) -> bool:
        """Whether there are pages that nobody asked for."""
        return self._script is None and self.asked < len(self._pages)

    def __call__(self, sent: Sent) -> Any:
        auth = self._upstream.auth
        if isinstance(auth, ClientCredentials) and sent.url == auth.token_url:
            return _TOKEN
        if self._script is not None:
            found = self._script.answer(sent)
            assert found is not None, self._script.lacks(sent)
            return found
        self.asked += 1
        if self.asked > len(self._pages):
            more = f"asks for page {self.asked} ({sent.method} {sent.target})"
            raise _Beyond(f"{more}; its sample has {len(self._pages)}")
        return self._pages[self.asked - 1]


def _looked(sample: _Sample, lookup: Lookup) -> tuple[Looked, _Pages]:
    """The sample through the real core."""
    pages = _Pages(sample)
    looked = look_up(
        replace(sample.upstream, lookups=(lookup,)),
        sample.path,
        replies=pages,
        secrets=_planted(sample.upstream, sample.tenant),
        settings=sample.settings,
        tenant=sample.tenant,
    )
    return looked, pages


def _noting(lookup: Lookup, made: list[tuple[Any, Row | None]]) -> Callable[[Mapping[str, Any]], Row | None]:
    """The lookup's normalizer, what it is given and what it makes of that kept."""

    def row(raw: Mapping[str, Any]) -> Row | None:
        made.append((raw, None))
        found = lookup.row(raw)
        made[-1] = raw, found
        return found

    return row


def _planted(upstream: Upstream, tenant: str) -> dict[str, Any]:
    """A secret where the upstream's auth looks for one."""
    auth = upstream.auth
    if not isinstance(auth, Basic | Bearer | ClientCredentials | Header) or auth.ref.setting:
        return {}
    value = "user:conforms-secret" if isinstance(auth, Basic) else "conforms-secret"
    secret = {"value": value} | ({auth.ref.field: value} if auth.ref.field else {})
    if isinstance(auth, ClientCredentials):
        secret |= {"client_id": "conforms", "client_secret": value}
    return {auth.ref.path.replace("{tenant}", tenant): secret}


def _row_rules(lookup: Lookup, name: str, rows: Iterable[Row], made: list[Row]) -> Iterator[str]:
    """Rows are JSON, each with an id of its own, and have the fields that filters look at."""
    rows = list(rows)
    for row in rows:
        reason = _not_json(row)
        if reason:
            yield f"rows: {name} has a row that is not JSON: {reason}"
            break
    for key, count in Counter(str(row.get(lookup.key)) for row in made if isinstance(row, dict)).items():
        if count > 1:
            yield f"rows: {name} has {count} rows with the {lookup.key} {key!r}"
    for declared in lookup.filters:
        if rows and not any(declared.name in row for row in rows):
            yield f"filters: no row of {name} has the field {declared.name}"


def _not_json(row: Row) -> str:
    try:
        json.dumps(row, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        return f"{exc} in {_shown(row)[2:]}"
    return "" if all(isinstance(name, str) for name in row) else f"a name is no text in {_shown(row)[2:]}"


def _shown(raw: Any) -> str:
    return "" if raw is None else f": {raw!r:.200}"


def _hostile_rows(upstream: Upstream, samples: Mapping[str, Any]) -> list[str]:
    """Normalizers answer every object with a row that is JSON, or with None, and raise nothing."""
    found = []
    for lookup in upstream.lookups:
        answers = [answer for path, answer in samples.items() if _is(upstream, lookup, path)]
        reason = hostile(answers, partial(_broken, lookup))
        if reason:
            found.append(f"rows: {lookup.name} {reason}")
    return found


def _broken(lookup: Lookup, raw: dict[str, Any]) -> str:
    """What the normalizer, or ``keep``, makes wrong of one object."""
    try:
        row = lookup.row(raw)
    except Exception as exc:
        return f"raises {type(exc).__name__}: {exc}"
    if row is None:
        return ""
    if not isinstance(row, dict):
        return f"gives a {type(row).__name__}, not a row"
    reason = _not_json(row)
    if reason:
        return f"gives what is not JSON: {reason}"
    try:
        if lookup.keep is not None:
            lookup.keep(row)
    except Exception as exc:
        return f"cannot say whether to keep it: {type(exc).__name__}: {exc}"
    return ""
