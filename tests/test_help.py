"""Every command's help fits a screen, and help is quick."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from scailookup.cli import commands

LINES, COLUMNS = 24, 80
COMMANDS = [None, *sorted(commands.commands)]
# Started, they cost more than all the rest of a help.
HEAVY = {"hvac", "jwt", "pycurl", "pydantic", "requests", "structlog", "tornado"}


def text(name: str | None) -> str:
    """The help of a command, of the whole for None, as a terminal of the usual size shows it."""
    command = commands if name is None else commands.commands[name]
    whole = click.Context(commands, info_name="scailookup", **commands.context_settings)
    return command.get_help(whole if name is None else click.Context(command, whole, info_name=name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name: str | None) -> None:
    """With the prompt that follows it."""
    lines = text(name).splitlines()
    assert (True, True) == (len(lines) < LINES, max(map(len, lines)) <= COLUMNS), text(name)


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_help_tells_the_exit_statuses(name: str) -> None:
    """A script need not try them out."""
    assert "Status 0" in text(name)


def test_the_list_of_commands_is_not_cut() -> None:
    """Each command has a line that ends."""
    listed = text(None).partition("Commands:\n")[2].splitlines()
    assert (len(commands.commands), []) == (len(listed), [line for line in listed if not line.endswith(".")])


def test_help_loads_nothing_heavy() -> None:
    """Only what prints it."""
    program = (
        "import sys\nfrom scailookup.cli import commands\n"
        "commands(['call', '--help'], standalone_mode=False)\n"
        "print(sorted(name for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set() == HEAVY & set(done.stderr.replace("'", "").strip("[]\n").split(", "))
