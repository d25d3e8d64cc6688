"""The documents agree with the code, and lead where they say."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
import types
from configparser import ConfigParser
from pathlib import Path

import pytest

from scailookup import errors, hookspecs
from scailookup.commandline import TOKEN_NAME
from scailookup.model import Call
from scailookup.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PLACEHOLDER = 200  # a README shorter than this has nothing to check yet
PAGES = sorted(DOCS.rglob("*.md")) + [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "plugins").glob("*/README.md")))
    if page.stat().st_size > PLACEHOLDER
]
SETTINGS = {str(field.validation_alias) for field in Settings.model_fields.values()} | {"SCAIFLOW_ENV_FILE"}
OF_COMMANDS = {TOKEN_NAME}  # read by commands that ask, and no setting
ERRORS = {
    kind.error
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.ScailookupError)
    and not issubclass(kind, errors.UpstreamError)
}
# How the own settings of a plugin begin, in the guide and in a plugin's own README.
EXAMPLE = "SCAILOOKUP_WEATHER_"
PLUGIN_PAGES = sorted((DOCS / "plugins").glob("*.md"))
UPSTREAMS = ("scaiqueue", "scaibunker", "scaigrid")
SUFFIXES = (errors.UpstreamAuth.suffix, errors.UpstreamApi.suffix)


def _example(page: Path) -> tuple[str, ...]:
    """How the settings of a plugin's own begin that a page may name."""
    if page in PLUGIN_PAGES:
        return (EXAMPLE,)
    if page.parent.parent in (ROOT / "plugins", DOCS / "examples"):
        return (f"SCAILOOKUP_{page.parent.name.removeprefix('scailookup-').upper()}_",)
    return ()


def read(name: str) -> str:
    """Return one document."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return a document without its fenced blocks, where a bracket is no link and a hash no heading."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_documented(name: str) -> None:
    """A row of a table begins with it."""
    assert re.search(rf"^\| `{re.escape(name)}` \|", read("settings.md"), re.MULTILINE)


def test_every_documented_setting_is_known() -> None:
    """No document promises a setting that the start would refuse."""
    for page in PAGES:
        named = set(re.findall(r"\b(?:SCAI|VAULT)[A-Z]*_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
        theirs = {name for name in named if name.startswith(_example(page))}
        assert set() == named - SETTINGS - OF_COMMANDS - theirs, page.name


@pytest.mark.parametrize("name", sorted(n for n, f in Settings.model_fields.items() if f.default))
def test_every_plain_default_is_documented(name: str) -> None:
    """The default stands in the row of its setting, as one would write it."""
    field = Settings.model_fields[name]
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    row = re.search(rf"^\| `{field.validation_alias}` \|.*$", read("settings.md"), re.MULTILINE)
    assert row is not None
    assert f"`{shown}`" in row[0]


@pytest.mark.parametrize("name", sorted(ERRORS | {f"{u}_{s}" for u in UPSTREAMS for s in SUFFIXES}))
def test_every_error_is_documented_with_a_body(name: str) -> None:
    """The name stands in the overview; every error but some twins of an upstream's has an example."""
    text = read("errors.md")
    assert re.search(rf"^\| \d{{3}} \|.*`{name}`", text, re.MULTILINE)
    shown = {json.loads(block)["detail"]["error"] for block in blocks(text, "json")}
    assert name in shown or name == "scaibunker_api"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_examples_parse(page: Path) -> None:
    """Each is one JSON value."""
    for block in blocks(page.read_text(encoding="utf-8"), "json"):
        json.loads(block)


def test_error_examples_have_the_shape() -> None:
    """Each has all that every error has, and no token."""
    examples = [json.loads(block) for block in blocks(read("errors.md"), "json")]
    assert examples
    for example in examples:
        assert {"detail"} == set(example)
        assert {"error", "message", "fix", "request_id"} <= set(example["detail"])
    assert not re.search(r"eyJ[A-Za-z0-9_-]{5,}\.|sgk_[a-z]+_[0-9a-f]{8}", read("errors.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_examples_parse(page: Path) -> None:
    """TOML and Python are what they say."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(text, "toml"):
        tomllib.loads(block)
    for block in blocks(text, "python"):
        compile(block, page.name, "exec")


# The tutorial's files import one another: tests/system/test_authoring.py runs them where they belong.
@pytest.mark.parametrize(
    "page", [p for p in PLUGIN_PAGES if p.name != "write.md"], ids=lambda page: page.name
)
def test_declarations_of_the_guide_are_sound(page: Path) -> None:
    """Every example runs: a declaration that breaks a rule raises when it is made."""
    for number, block in enumerate(blocks(page.read_text(encoding="utf-8"), "python")):
        module = types.ModuleType(f"example_{page.stem.replace('-', '_')}_{number}")
        sys.modules[module.__name__] = module  # where a dataclass looks its annotations up
        try:
            exec(compile(block, page.name, "exec"), vars(module))
        finally:
            del sys.modules[module.__name__]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    """File and heading are there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_prose_exist(page: Path) -> None:
    """A test or module that a document points to is in the tree."""
    for name in re.findall(
        r"`((?:tests|scailookup|plugins)/[\w/]+\.py)`", prose(page.read_text(encoding="utf-8"))
    ):
        assert (ROOT / name).exists(), name


def test_every_hook_has_a_heading_with_its_exact_signature() -> None:
    """The reference has each hook, as it is declared, and no other."""
    headings = re.findall(r"^## (.+)$", prose(read("plugins/hooks.md")), re.MULTILINE)
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("scailookup_")}
    declared = [f"{name}{inspect.signature(hook)}".replace("'", "") for name, hook in hooks.items()]
    assert declared == headings


def test_every_field_of_a_call_is_in_the_reference() -> None:
    """What an observer is told has a row."""
    rows = re.findall(r"^\| (`.+?) \|", read("plugins/hooks.md"), re.MULTILINE)
    assert set(Call._fields) == set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_the_floors_are_those_that_are_checked() -> None:
    """docs/design.md draws each floor of setup.cfg, in its order, with every room."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    (floors,) = [part["layers"].split("\n")[1:] for part in config.values() if "layers" in part]
    drawn = read("design.md").partition("```text\n")[2].partition("```")[0]
    assert floors == [re.split(r"  +", line)[0] for line in drawn.splitlines() if line[0] != " "]


def test_every_page_of_the_guide_is_in_its_index() -> None:
    """Nobody has to guess that a page is there."""
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", read("plugins/index.md")))
    assert {page.name for page in PLUGIN_PAGES} - {"index.md"} <= linked
