"""The ``scailookup`` command. Every subcommand imports what it needs when it runs: help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from scailookup.commandline import (
    base_url,
    complete_lookup,
    complete_param,
    finish,
    host_name,
    read_token,
    refuse,
    run,
    set_up_log,
    settings_or_bare,
    settings_or_refuse,
    token_option,
    token_text,
)
from scailookup.errors import SettingsError
from scailookup.version import __version__

if TYPE_CHECKING:
    from scailookup.settings import Settings

__all__ = ["commands", "main"]

PORT_TAKEN = 1


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The ``scailookup`` command: do what ``args`` say (those of the process), and leave."""
    run(commands, args)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scailookup")
@click.pass_context
def commands(context: click.Context) -> None:
    """Read-only lookups into ScaiQueue, ScaiBunker, ScaiGrid and what plugins add.

    Settings come from the environment and two files: docs/settings.md. Shell
    completion: docs/commands.md. Each command has its own --help.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@commands.command(short_help="Serve until SIGTERM; SIGHUP reads the settings again.")
@click.option("--host", callback=host_name, help="Address to listen on (SCAIFLOW_API_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for a free one (SCAIFLOW_API_PORT).")
@click.option("--workers", type=click.IntRange(1, 512), help="Processes (SCAILOOKUP_WORKERS).")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until SIGTERM; SIGHUP reads the settings again.

    The options win over the settings in brackets. The log goes to stderr.

    \b
    Status 0  ended by a signal        2  the settings cannot work
           1  a port is taken          3  workers end as soon as they begin
    """
    given = {"SCAIFLOW_API_HOST": host, "SCAIFLOW_API_PORT": port, "SCAILOOKUP_WORKERS": workers}
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    settings = settings_or_refuse(overrides)
    set_up_log(settings)
    _listen(lambda: _serve(settings, overrides))


@commands.command(short_help="Serve a platform of our own, with tokens to try it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with addresses and tokens.")
@click.option("--host", callback=host_name, help="Address of the service (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the service (8001, else a free one).")
def demo(as_json: bool, host: str | None, port: int | None) -> None:
    """Serve a local platform of our own and the service before it, with tokens.

    It prints where everything is, and lines to copy. Nothing has to be configured.

    \b
    Status 0  ended by a signal        2  a setting cannot work
           1  a port is taken
    """
    from scailookup import log
    from scailookup.demo.run import run as run_demo

    level = os.environ.get("SCAILOOKUP_LOG_LEVEL", "info" if as_json else "warning")
    log.configure(level if level in log.LEVELS else "info", os.environ.get("SCAILOOKUP_LOG_FORMAT"))
    _listen(lambda: run_demo(as_json=as_json, host=host, port=port, environ=dict(os.environ), out=sys.stdout))


@commands.command(short_help="Ask for one lookup and print its rows.")
@click.argument("lookup", shell_complete=complete_lookup)
@token_option
@click.option(
    "--url",
    metavar="URL",
    callback=base_url,
    help="Ask the service there; else the settings do, in this process.",
)
@click.option("-q", "part", metavar="TEXT", help="Rows with TEXT in slug, name or id.")
@click.option("--limit", metavar="N", help="At most N rows.")
@click.option(
    "-p", "--param", "params", metavar="NAME=VALUE", multiple=True, shell_complete=complete_param,
    help="A filter or parameter of the lookup; may be repeated.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the answer's JSON, errors too.")
def call(
    lookup: str,
    token_file: str | None,
    url: str | None,
    part: str | None,
    limit: str | None,
    params: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ask for LOOKUP, such as scaigrid/models, and print its rows.

    \b
    scailookup call scaigrid/models --token-file token.txt -p modality=chat
    scailookup call scaiqueue/scopes/ID/queues --url https://lookups.example

    \b
    Status 0  rows were printed        3  the question was refused (400, 404)
           1  a part behind failed     4  not with this token or key (401, 403)
           2  cannot be asked so       5  no scailookup answers at URL
    """
    from scailookup.calling import Asked, run_call, unprotected

    if "?" in lookup or "#" in lookup:
        raise click.UsageError("the lookup is a path; give its parameters by -p NAME=VALUE")
    asked = Asked(lookup, _query(part, limit, params), read_token(token_file))
    settings = settings_or_refuse({}) if url is None else None
    if settings is not None:
        set_up_log(settings, quiet=True)
    elif url is not None and asked.token is not None and unprotected(url):
        click.echo("warning: the token crosses the network unprotected (http)", err=True)
    finish(
        lambda: run_call(asked, url=url, settings=settings, as_json=as_json, out=sys.stdout, err=sys.stderr)
    )


def _query(part: str | None, limit: str | None, params: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The parameters in one list; the service judges them."""
    given = [("q", part), ("limit", limit)]
    pairs = [(name, value) for name, value in given if value is not None]
    for param in params:
        name, equals, value = param.partition("=")
        if not equals:
            raise click.UsageError(f"-p takes NAME=VALUE, not {param!r}")
        pairs.append((name, value))
    return tuple(pairs)


@commands.command(short_help="List every plugin with its lookups.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool) -> None:
    """List every plugin with its lookups, and why one failed.

    Nothing has to be configured.

    \b
    Status 0  all are well or disabled    1  one failed    2  bad settings
    """
    from scailookup.report import list_plugins

    settings = settings_or_bare()
    set_up_log(settings, quiet=True)  # the event of a failure goes to stderr, not among the JSON
    try:
        status = list_plugins(settings, as_json=as_json, out=sys.stdout)
    except SettingsError as exc:
        refuse(str(exc))
    sys.exit(status)


@commands.command(short_help="Say what is configured, and whether all of it answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Say what is configured and whether ScaiKey, stores, shared cache and upstreams answer.

    Nobody's credential is spent on it; `scailookup call` asks for real.

    \b
    Status 0  all is well    1  something is not    2  the settings cannot work
    """
    from scailookup.report import check as run_check

    settings = settings_or_refuse({})
    set_up_log(settings, quiet=True)
    finish(lambda: run_check(settings, as_json=as_json, out=sys.stdout, err=sys.stderr))


@commands.command(short_help="All that check says, and one lookup explained step by step.")
@click.argument("lookup", required=False, shell_complete=complete_lookup)
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(lookup: str | None, token_file: str | None, as_json: bool) -> None:
    """Say all that `check` says, and explain one LOOKUP for the bearer of a token.

    LOOKUP is its path with its values, by default scaigrid/models. Nothing has
    to run.

    \b
    Status 0  all is well             2  it cannot be asked so
           1  something is not        3  nothing failed, there are warnings
    """
    from scailookup.doctor import doctor as run_doctor
    from scailookup.log import scrubber

    settings = settings_or_refuse({})
    set_up_log(settings, quiet=True)
    token = token_text(token_file)
    if lookup is not None and token is None and not settings.auth_disabled:
        raise click.UsageError("LOOKUP needs --token-file: it is explained for the bearer of a token")
    scrubber.add(token or "")
    finish(
        lambda: run_doctor(
            settings, token=token, lookup=lookup, as_json=as_json, out=sys.stdout, err=sys.stderr
        )
    )


@commands.command("new-plugin", short_help="Write a plugin to start from.")
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False), default=".", help="Where (this directory).")
def new_plugin(name: str, into: str) -> None:
    """Write a plugin to start from: a distribution with one lookup, its sample and its tests.

    \b
    Status 0  it is written    2  the name cannot be had, or the directory exists
    """
    from pathlib import Path

    from scailookup.scaffold import ScaffoldError, write

    try:
        root = write(name, Path(into))
    except ScaffoldError as exc:
        refuse(str(exc))
    click.echo(f"{root} is written. Next: cd {root} && pip install -e '.[test]' && pytest")


@commands.command(short_help="Print the OpenAPI document of the installed lookups.")
def openapi() -> None:
    """Print the OpenAPI document of the lookups that are installed.

    Nothing has to run or be configured. Status 0.
    """
    from scailookup.report import print_openapi

    settings = settings_or_bare()
    set_up_log(settings, quiet=True)
    print_openapi(settings, out=sys.stdout)


async def _serve(settings: Settings, overrides: dict[str, str]) -> int:
    from scailookup.settings import load

    def again() -> Settings:
        return load(overrides=overrides)

    if settings.workers == 1:
        from scailookup.processes.alone import serve_alone

        return await serve_alone(settings, again)
    from scailookup.processes.supervisor import supervise

    return await supervise(settings, again)


def _listen(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run what listens; a port that cannot be had is said in one line."""
    try:
        finish(work)
    except OSError as exc:
        click.echo(f"scailookup: cannot listen: {exc.strerror or exc}", err=True)
        sys.exit(PORT_TAKEN)
