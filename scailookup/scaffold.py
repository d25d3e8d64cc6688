"""`scailookup new-plugin`: a whole distribution around one lookup, with its sample and its tests."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from scailookup.checks import NAME
from scailookup.settings import GROUP

__all__ = ["ScaffoldError", "write"]

# Routes of the service's own below both prefixes.
RESERVED = frozenset({"explain", "lookups", "tenants", "upstreams"})

_FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
""",
    "setup.cfg": """\
[metadata]
name = @dist@
version = 0.1.0
description = scailookup plugin: @name@

[options]
python_requires = >=3.11
py_modules = @module@
install_requires = scailookup

[options.extras_require]
test = pytest; hypothesis

[options.entry_points]
scailookup = @name@ = @module@
""",
    "tox.ini": """\
[tox]
env_list = py

[testenv]
extras = test
commands = pytest {posargs}
""",
    "@module@.py": '''\
"""scailookup plugin: @name@."""

from dataclasses import dataclass

from scailookup import Lookup, Upstream, auth, hookimpl
from scailookup.settings import Settings, Url
from scailookup.shapes import only, text


@dataclass(frozen=True)
class Own:
    """Settings: SCAILOOKUP_@VAR@_BASE_URL."""

    base_url: Url = "http://127.0.0.1:9000"


def item(raw):
    """One row: id, display_name."""
    return only({"id": text(raw, "id"), "display_name": text(raw, "title", "id")})


@hookimpl
def scailookup_upstreams(settings: Settings) -> list[Upstream]:
    """One upstream with one list."""
    return [
        Upstream(
            name="@name@",
            base_url=settings.of("@name@", Own).base_url,
            auth=auth.Anonymous(),
            lookups=(Lookup("items", "/items.json", row=item, summary="Items."),),
        )
    ]
''',
    "test_@module@.py": '''\
"""The plugin against its sample: by itself, and through the real service."""

import json
from pathlib import Path

import @module@
from scailookup.testing import Echo, conforms, look_up, serve, settings

SAMPLE = json.loads(Path(__file__).with_name("sample").joinpath("items.json").read_text())
[UPSTREAM] = @module@.scailookup_upstreams(settings())


def test_it_conforms():
    """Every rule holds."""
    conforms(UPSTREAM, {"items": SAMPLE})


def test_rows():
    """Ids and names are read."""
    looked = look_up(UPSTREAM, "items", replies={"/items.json": SAMPLE})
    assert looked.rows[0] == {"id": "i1", "display_name": "First"}


def test_it_serves():
    """The service answers with the sample's rows."""
    with Echo({"/items.json": SAMPLE}) as upstream:
        with serve(@module@, SCAILOOKUP_@VAR@_BASE_URL=upstream.url) as service:
            assert len(service.get("/@name@/items").json()["data"]) == 2
''',
    "sample/items.json": """\
{"data": [{"id": "i1", "title": "First"}, {"id": "i2", "title": "Second"}]}
""",
    "README.md": """\
# @dist@

A plugin of scailookup: `/@name@/items`.

```console
$ pip install -e '.[test]'
$ pytest
$ scailookup plugins
```

Against its own sample, in two terminals:

```console
$ python -m http.server 9000 --bind 127.0.0.1 --directory sample
$ SCAIFLOW_AUTH_DISABLED=true scailookup serve
$ curl http://127.0.0.1:8001/api/v1/@name@/items
```

`SCAILOOKUP_@VAR@_BASE_URL` is the address of the real server. Change `item` to its records,
`auth` to its credential, and the sample to one of its answers.
""",
}


class ScaffoldError(Exception):
    """The distribution was not written; the text says why, on one line."""


def write(name: str, into: Path) -> Path:
    """Write the distribution of the plugin ``name`` below ``into``; its directory.

    Raises ScaffoldError when the name cannot be had or the directory exists.
    """
    module = f"scailookup_{name.replace('-', '_')}"
    root = into / f"scailookup-{name}"
    reason = _refusal(name, module)
    if reason:
        raise ScaffoldError(reason)
    words = {"@dist@": root.name, "@module@": module, "@name@": name, "@VAR@": module[11:].upper()}
    try:
        root.mkdir()
        for file, template in _FILES.items():
            path = root / _filled(file, words)
            path.parent.mkdir(exist_ok=True)
            path.write_text(_filled(template, words), encoding="utf-8")
    except FileExistsError:
        raise ScaffoldError(f"{root} exists already; nothing was written") from None
    except OSError as exc:
        raise ScaffoldError(f"cannot write {exc.filename}: {exc.strerror}") from None
    return root


def _refusal(name: str, module: str) -> str:
    if not NAME.fullmatch(name):
        return f"{name!r} is not a plugin's name: a-z first, then a-z, 0-9, _ and -, at most 64"
    if name in RESERVED:
        return f"the name {name} is taken by scailookup itself"
    for point in entry_points(group=GROUP):
        if point.name == name:
            return f"the name {name} is taken by {point.dist.name if point.dist else point.value}"
    # A module of that name would hide the new one, or be hidden by it.
    return f"there is a module {module} already" if find_spec(module) else ""


def _filled(template: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        template = template.replace(word, value)
    return template
