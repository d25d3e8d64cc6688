"""Faulty plugins of strangers, all at once, around one real service: it serves, and each is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import API_MODELS, MODEL, MODELS, Site, detail, rows, run_cli

MARK = "planted-isolation-secret"
HEAD = "from scailookup import Lookup, Route, Upstream, auth, hookimpl\n"


def declaring(body: str) -> str:
    """A plugin whose first hook is this body."""
    return f"{HEAD}@hookimpl\ndef scailookup_upstreams(settings):\n    {body}\n"


def serving(name: str, lookup: str = 'Lookup("things", "/things")') -> str:
    """A plugin with one upstream that serves, as far as that is possible."""
    return declaring(f'return [Upstream("{name}", settings.grid_url, auth.Anonymous(), ({lookup},))]')


def handling(body: str) -> str:
    """A plugin with an upstream ``late``, of which only the handlers are at fault."""
    return f"{serving('late')}\n@hookimpl\ndef scailookup_handlers(services):\n    {body}\n"


FAULTS = {  # entry point -> module and what its reason must say
    "import-raises": ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    "import-exits": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "import-sleeps": ("import threading\nthreading.Event().wait()", "the import took longer than"),
    "syntax": ("def", "SyntaxError"),
    "panics": ("class Panic(BaseException): pass\nraise Panic('lost')", "Panic: lost"),
    "hook-raises": (declaring("raise RuntimeError('no config')"), "RuntimeError: no config"),
    "hook-exits": (declaring("raise SystemExit('bye')"), "SystemExit: bye"),
    "tells": (declaring("raise RuntimeError(settings.grid_key.get_secret_value())"), "[redacted]"),
    "generator": (declaring("yield"), "answered a generator, not a list"),
    "coroutine": (declaring("return []").replace("def ", "async def "), "answered a coroutine, not a list"),
    "none": (declaring("return None"), "answered None, not a list"),
    "nonsense": (declaring("return ['weather']"), "answered a str in its list, not a Upstream"),
    "takes-name": (serving("scaigrid"), "the upstream scaigrid is taken by plugin scaigrid"),
    "scaiqueue": (serving("mine"), "the name scaiqueue is taken by scailookup"),
    "newer": ("scailookup_api_version = '7.0'\n" + serving("newer"), "asks for plugin API 7.0"),
    "mistyped": (
        serving("mistyped").replace("_upstreams(", "_upstream("),
        "unknown hook 'scailookup_upstream'",
    ),
    "unmarked": (serving("unmarked").replace("@hookimpl", ""), "is not marked with @hookimpl"),
    "summary": (serving("summary", 'Lookup("a", "/a", summary=object())'), "no text"),
    "{field}": ("raise ValueError('odd name')", "ValueError: odd name"),
    "handlers-raise": (handling("raise RuntimeError('late')"), "RuntimeError: late"),
    "open-door": (
        f"from tornado.web import RequestHandler\n{HEAD}@hookimpl\ndef scailookup_handlers(services):\n"
        "    return [Route('/open-door/x', RequestHandler)]\n",
        "no subclass of scailookup.web.Handler",
    ),
}
ROWS = (
    HEAD
    + """
import os, threading

def row(raw):
    if raw["id"] == "raises":
        raise RuntimeError
    if raw["id"] == "exits":
        raise SystemExit(1)
    return {"id": raw["id"], "x": object()} if raw["id"] == "nonsense" else raw

@hookimpl
def scailookup_upstreams(settings):
    return [Upstream("rows", settings.grid_url, auth.Anonymous(), (Lookup("things", "/things", row=row),))]

@hookimpl
def scailookup_called(call):
    if call.upstream == "rows":
        threading.Event().wait()
    raise SystemExit(1)
"""
)


def install(directory: Path, number: int, name: str, text: str) -> None:
    """Lay a plugin down as pip would: a module, and the facts about its distribution."""
    module = f"strange_{number}"
    (directory / f"{module}.py").write_text(text)
    facts = directory / f"stranger_{number}-1.{number}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger-{number}\nVersion: 1.{number}\n")
    (facts / "entry_points.txt").write_text(f"[scailookup]\n{name} = {module}\n")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every faulty plugin, and one that serves and misbehaves later."""
    directory = tmp_path_factory.mktemp("installed")
    for number, (name, (text, _)) in enumerate(FAULTS.items()):
        install(directory, number, name, text)
    install(directory, len(FAULTS), "rows", ROWS)
    return directory


@pytest.fixture(scope="module")
def _crowd(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    site = Site(directory, PYTHONPATH=str(path), SCAIGRID_API_KEY=MARK, SCAILOOKUP_TRACE_PLUGINS="1")
    yield site
    site.stop()


@pytest.fixture
def crowd(_crowd: Site) -> Site:
    """The service among all of them."""
    _crowd.forget()
    _crowd.grid.on(MODELS, {"data": [MODEL]})
    return _crowd


def test_the_others_serve(crowd: Site) -> None:
    """With all of them installed, the service is ready and its own lookups answer."""
    assert (200, [MODEL]) == (crowd.get("/readyz", None).status, rows(crowd.get(API_MODELS)))


@pytest.mark.parametrize("place", ["catalogue", "readyz", "log"])
@pytest.mark.parametrize("name", FAULTS)
def test_each_is_named(crowd: Site, name: str, place: str) -> None:
    """Catalogue, readiness and log name distribution, version, entry point and reason."""
    number = list(FAULTS).index(name)
    if place == "catalogue":
        told = crowd.get("/v1/lookups").json["failed"]
    elif place == "readyz":
        told = crowd.get("/readyz", None).json["plugins_failed"]
    else:
        events = [event for event in crowd.server.events if event["event"] == "plugin_failed"]
        told = [event | {"name": event["plugin"]} for event in events]
    found = next(one for one in told if one["distribution"] == f"stranger-{number}")
    assert (name, f"1.{number}", f"strange_{number}") == (
        found["name"],
        found["version"],
        found["entry_point"],
    )
    assert FAULTS[name][1] in found["reason"]


def test_no_secret_is_told(crowd: Site) -> None:
    """A plugin that puts a secret into its failure does not get it shown."""
    shown = [crowd.get("/v1/lookups").body, crowd.get("/readyz", None).body]
    assert MARK not in "\n".join([*crowd.server.lines, *(body.decode() for body in shown)])


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("scaiqueue", "{field}")])
def test_their_routes_say_so(crowd: Site, name: str) -> None:
    """Below the name of a plugin that failed every route is 503."""
    detail(crowd.get(f"/v1/{name}/things"), 503, "plugin_failed")


def test_the_routes_of_what_it_declared(crowd: Site) -> None:
    """So are the routes of an upstream whose plugin failed later on."""
    detail(crowd.get("/api/v1/late/things"), 503, "plugin_failed")


@pytest.mark.parametrize("other", ["/v1/anything", "/v1/scaigrid/other", "/v1/scaiqueue/other"])
def test_no_other_route_is_theirs(crowd: Site, other: str) -> None:
    """Neither an odd name nor a taken one makes other routes say that a plugin failed."""
    detail(crowd.get(other), 404, "not_found")


def test_rows_that_fail(crowd: Site) -> None:
    """Records on which the plugin fails are dropped and counted, whatever it does; the rest stands."""
    crowd.grid.on("/things", [{"id": i} for i in ("one", "raises", "exits", "nonsense")])
    answer = crowd.get("/v1/rows/things")
    assert ([{"id": "one"}], 3) == (rows(answer), answer.json["meta"]["dropped"])


@pytest.mark.parametrize("bad", ["raises", "exits", "nonsense"])
def test_nothing_but_rows_that_fail(crowd: Site, bad: str) -> None:
    """A list of such records alone is an upstream error, not an empty list."""
    crowd.grid.on("/things", [{"id": bad}])
    found = detail(crowd.get("/v1/rows/things"), 502, "rows_api")
    assert "bad_shape" == found["code"]


def test_a_blocked_observer(crowd: Site) -> None:
    """While an observer blocks for ever, lookups answer."""
    crowd.grid.on("/things", [{"id": "one"}])
    assert [200] * 3 == [crowd.get("/v1/rows/things").status for _ in range(3)]


def test_hooks_are_traced(crowd: Site) -> None:
    """SCAILOOKUP_TRACE_PLUGINS logs which hook of which plugin was called and how it ended."""
    crowd.server.event("plugin_hook", plugin="scaigrid", hook="scailookup_upstreams", outcome="ok")
    crowd.server.event("plugin_hook", plugin="import-exits", hook="import", outcome="SystemExit")


def test_the_command_names_them(tmp_path: Path) -> None:
    """`scailookup plugins` names what failed late, too, and ends with status 1."""
    install(tmp_path, 0, "late", handling("raise RuntimeError('late')"))
    status, out, _ = run_cli("plugins", "--json", env={"PYTHONPATH": str(tmp_path)})
    told = next(one for one in json.loads(out) if one["name"] == "late")
    assert (1, "RuntimeError: late") == (status, told["reason"])


def test_the_document_is_alone_on_stdout(tmp_path: Path) -> None:
    """`scailookup openapi` prints JSON, whatever a plugin's failure has to say to the log."""
    install(tmp_path, 0, "late", handling("raise RuntimeError('late')"))
    status, out, _ = run_cli("openapi", env={"PYTHONPATH": str(tmp_path)})
    assert (0, True) == (status, json.loads(out)["openapi"].startswith("3.1"))
