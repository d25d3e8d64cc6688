"""What the commands share: refusals in one line, tokens, and what completion offers."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import click
import pytest
from harness import GUARD, environment

from scailookup.cli import main
from scailookup.commandline import complete_lookup, complete_param, one_line, read_token

TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln"
NOTHING = click.Context(click.Command("call"))
LOOKUP = click.Argument(["lookup"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["serve", "--workers", "0"], "invalid value for '--workers': 0 is not in the range"),
        (["serve", "--port", "x"], "invalid value for '--port': 'x' is not"),
        (["serve", "--port", "65536"], "invalid value for '--port'"),
        (["serve", "--host", " "], "invalid value for '--host': must be a host name"),
        (["serve", "--nothing"], "no such option"),
        (["nothing"], "no such command"),
        (["call"], "missing argument 'LOOKUP'"),
        (["call", "a/b", "-p", "modality"], "-p takes NAME=VALUE"),
        (["call", "a/b?q=c"], "the lookup is a path"),
        (
            ["call", "a/b", "--url", "https://u:secret@example"],
            "invalid value for '--url': a base URL",
        ),
        (["call", "a/b", "--token-file", "/nowhere"], "cannot read /nowhere: No such file"),
        (["call", "a/b", TOKEN], "got unexpected extra argument"),
        (["call", "a/b", "c\x1b[2J\nd"], "got unexpected extra argument"),
    ],
)
def test_a_refused_command_line_is_one_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and one line, as bad settings have; nothing secret and no escape is in it."""
    with pytest.raises(SystemExit) as end:
        main(args)
    out, err = capsys.readouterr()
    assert (2, "", 1) == (end.value.code, out, err.count("\n")), err
    assert f"scailookup: {said}" == err[: len(f"scailookup: {said}")]
    assert not any(text in err for text in (TOKEN, "secret", "\x1b"))


def test_a_name_in_capitals_keeps_its_first_letter() -> None:
    """A sentence begins small after the colon; LOOKUP is what the help calls it."""
    said = ("LOOKUP needs a token", "No such option.", "-p takes NAME=VALUE")
    assert ["LOOKUP needs a token", "no such option", "-p takes NAME=VALUE"] == [
        one_line(click.UsageError(text)) for text in said
    ]


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was asked: status 2, and stdout stays empty."""
    with pytest.raises(SystemExit) as end:
        main([])
    out, err = capsys.readouterr()
    assert (2, "", True) == (end.value.code, out, "Commands:" in err)


def test_a_token_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White space around it is dropped; the file wins over the environment."""
    monkeypatch.setenv("SCAIKEY_TOKEN", "another")
    (tmp_path / "token").write_text(f"\n {TOKEN}\n")
    assert TOKEN == read_token(str(tmp_path / "token"))


def test_a_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file is named; none is none."""
    monkeypatch.setenv("SCAIKEY_TOKEN", TOKEN)
    assert TOKEN == read_token(None)
    monkeypatch.setenv("SCAIKEY_TOKEN", "")
    assert read_token(None) is None


def test_a_token_on_stdin_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 are refused like those of a file."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(click.UsageError, match="cannot read stdin: it is not UTF-8"):
        read_token("-")


@pytest.mark.parametrize("text", ["", " \n", "one\ntwo", "t\x00n", "schlüssel", "x" * 16_385])
def test_what_is_no_token_is_refused_unshown(tmp_path: Path, text: str) -> None:
    """An empty file, several lines, what no header may hold: said without the text."""
    (tmp_path / "token").write_text(text)
    with pytest.raises(click.UsageError) as caught:
        read_token(str(tmp_path / "token"))
    assert f"{tmp_path}/token holds no access token: one line of printable characters is needed" == str(
        caught.value
    )


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("scaig", ["scaigrid/models"]),
        ("scaiq", ["scaiqueue/scopes", "scaiqueue/scopes/{scope_id}/queues"]),
        ("scaiqueue/scopes/scp_1", ["scaiqueue/scopes/scp_1/queues"]),
        ("scaiqueue/scopes/scp_1/q", ["scaiqueue/scopes/scp_1/queues"]),
        ("scaiqueue/scopes//q", []),
        ("scaigrid/models/", []),
        ("weather", []),
    ],
)
def test_lookups_are_completed(typed: str, offers: list[str]) -> None:
    """Each that the typed may become; a value that is typed stays as it is."""
    assert offers == [item.value for item in complete_lookup(NOTHING, LOOKUP, typed)]


def test_parameters_are_completed() -> None:
    """Those of the lookup that stands before them."""
    context = click.Context(click.Command("call"))
    context.params = {"lookup": "scaibunker/bunkers"}
    assert ["lifecycle=", "status="] == [item.value for item in complete_param(context, LOOKUP, "")]
    assert ["status="] == [item.value for item in complete_param(context, LOOKUP, "s")]


def type_into_bash(keys: str, until: str, tmp_path: Path) -> str:
    """Type ``keys`` to an interactive bash that has our completion; what it shows, up to ``until``."""
    setup = tmp_path / "bashrc"
    setup.write_text('PS1="ready> "\neval "$(_SCAILOOKUP_COMPLETE=bash_source scailookup)"\n')
    # A plugin that prints while it is imported, and fails; a setting that would stop every start.
    (tmp_path / "noisy.py").write_text(
        'import sys\nprint("plain,noise")\nprint("noise", file=sys.stderr)\nsys.exit(1)\n'
    )
    (tmp_path / "noisy-1.dist-info").mkdir()
    (tmp_path / "noisy-1.dist-info/METADATA").write_text("Name: noisy\nVersion: 1\n")
    (tmp_path / "noisy-1.dist-info/entry_points.txt").write_text("[scailookup]\nnoisy = noisy\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"PATH": path, "TERM": "dumb", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    env = environment({"SCAILOOKUP_FOO": "1", **more})
    ours, theirs = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(setup), "-i"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    try:
        for text, awaited in (("", "ready> "), (keys, until)):
            os.write(ours, text.encode())
            while awaited not in shown:
                assert select.select([ours], [], [], GUARD)[0], shown
                shown += os.read(ours, 4096).decode(errors="replace")
    finally:
        bash.kill()
        bash.wait()
        os.close(ours)
    return shown


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("scailookup ca\t", "scailookup call "),
        ("scailookup call scaig\t", "scailookup call scaigrid/models "),
        ("scailookup call scaiqueue/scopes/scp_1/\t", "scailookup call scaiqueue/scopes/scp_1/queues "),
        ("scailookup call scaigrid/models -p \tchat", "scailookup call scaigrid/models -p modality=chat"),
    ],
)
def test_a_real_bash_completes(keys: str, line: str, tmp_path: Path) -> None:
    """Commands, lookups and their parameters, on Tab, without a word of anything else."""
    assert f"ready> {line}" == type_into_bash(keys, line, tmp_path).splitlines()[-1]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell: str) -> None:
    """The same mechanism prints it."""
    done = subprocess.run(
        [Path(sys.executable).parent / "scailookup"],
        env=environment({"_SCAILOOKUP_COMPLETE": f"{shell}_source"}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (True, "") == (f"{shell}_complete" in done.stdout, done.stderr)
