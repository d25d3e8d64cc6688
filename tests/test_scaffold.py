"""`scailookup new-plugin`: what it writes, and what it refuses."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from scailookup.cli import commands
from scailookup.scaffold import RESERVED, ScaffoldError, write


def files(root: Path) -> dict[str, str]:
    """Every file below a directory by its name."""
    return {str(p.relative_to(root)): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


def test_what_is_written(tmp_path: Path) -> None:
    """A distribution with packaging, module, sample, tests and a page to read."""
    root = write("sea-weather", tmp_path)
    assert root == tmp_path / "scailookup-sea-weather"
    assert set(files(root)) == {
        "README.md",
        "pyproject.toml",
        "sample/items.json",
        "scailookup_sea_weather.py",
        "setup.cfg",
        "test_scailookup_sea_weather.py",
        "tox.ini",
    }


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    """Each is replaced."""
    assert not [
        name
        for name, text in files(write("sea-weather", tmp_path)).items()
        if re.search(r"@[A-Za-z]+@", text)
    ]


def test_the_entry_point_leads_to_the_module(tmp_path: Path) -> None:
    """It has the name of the plugin."""
    parser = configparser.ConfigParser()
    parser.read_string(files(write("sea", tmp_path))["setup.cfg"])
    assert parser["options.entry_points"]["scailookup"].strip() == "sea = scailookup_sea"


@pytest.mark.parametrize("name", ["", "Sea", "9sea", "-sea", "sea.weather", "sea/weather", "..", "s" * 65])
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    """A name that no route could have writes nothing."""
    with pytest.raises(ScaffoldError, match="is not a plugin's name"):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scaigrid", "credentials", *sorted(RESERVED)])
def test_taken_names_are_refused(name: str, tmp_path: Path) -> None:
    """A plugin of that name, or a route of the service's own, is there already."""
    with pytest.raises(ScaffoldError, match=f"the name {name} is taken by scailookup"):
        write(name, tmp_path)


def test_a_module_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules of one name cannot both be imported."""
    (tmp_path / "scailookup_weather.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ScaffoldError, match="there is a module scailookup_weather already"):
        write("weather", tmp_path / "elsewhere")


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    """Nothing in it is touched."""
    kept = tmp_path / "scailookup-sea" / "setup.cfg"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(ScaffoldError, match="exists already"):
        write("sea", tmp_path)
    assert files(kept.parent) == {"setup.cfg": "mine"}


def test_the_command_says_what_comes_next(tmp_path: Path) -> None:
    """Status 0 and the line to go on with."""
    done = CliRunner().invoke(commands, ["new-plugin", "sea", "--into", str(tmp_path)])
    assert done.exit_code == 0
    assert "pip install -e '.[test]' && pytest" in done.output


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    """Status 2, the reason on stderr, no traceback."""
    done = CliRunner().invoke(commands, ["new-plugin", "scaigrid", "--into", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.splitlines() == ["scailookup: the name scaigrid is taken by scailookup"]


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    """One line, whatever the system says."""
    with pytest.raises(ScaffoldError, match="cannot write"):
        write("sea", tmp_path / "nowhere")
