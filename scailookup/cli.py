"""The ``scailookup`` command. Every subcommand imports what it needs when it runs: help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TextIO

import click

from scailookup.errors import SettingsError
from scailookup.version import __version__

if TYPE_CHECKING:
    from scailookup.settings import Settings

__all__ = ["main"]

BAD_SETTINGS = 2
PORT_TAKEN = 1
# Characters read of a token: more than the service takes.
_LONGEST_TOKEN = 32 * 1024


def _named(_context: click.Context, _parameter: click.Parameter, host: str | None) -> str | None:
    """An empty host would mean every address there is; nobody means that by nothing."""
    if host is not None and not host.strip():
        raise click.BadParameter("must be a host name or an address")
    return host


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scailookup")
def main() -> None:
    """Read-only lookups into ScaiQueue, ScaiBunker, ScaiGrid and what plugins add.

    Settings come from the environment and two files; docs/settings.md lists them.
    """


@main.command()
@click.option("--host", callback=_named, help="Address to listen on (SCAIFLOW_API_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for a free one (SCAIFLOW_API_PORT).")
@click.option("--workers", type=click.IntRange(1, 512), help="Processes (SCAILOOKUP_WORKERS).")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until SIGTERM; SIGHUP reads the settings again.

    Status 2: the settings cannot work; 1: a port is taken; 3: workers end as soon as they begin.
    """
    given = {"SCAIFLOW_API_HOST": host, "SCAIFLOW_API_PORT": port, "SCAILOOKUP_WORKERS": workers}
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    settings = _settings(overrides)
    _logging(settings)
    _run(lambda: _serve(settings, overrides))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with addresses and tokens.")
@click.option("--host", callback=_named, help="Address of the service (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the service (8001, else a free one).")
def demo(as_json: bool, host: str | None, port: int | None) -> None:
    """Serve against a local platform of our own, with tokens to try it."""
    from scailookup import log
    from scailookup.demo.run import run

    level = os.environ.get("SCAILOOKUP_LOG_LEVEL", "info" if as_json else "warning")
    log.configure(level if level in log.LEVELS else "info", os.environ.get("SCAILOOKUP_LOG_FORMAT"))
    _run(lambda: run(as_json=as_json, host=host, port=port, environ=dict(os.environ), out=sys.stdout))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool) -> None:
    """List every plugin with its lookups, and why a failed one failed (status 1)."""
    from scailookup.report import list_plugins

    settings = _settings_or_bare()
    _logging(settings, quiet=True)  # the event of a failure goes to stderr, not among the JSON
    try:
        status = list_plugins(settings, as_json=as_json, out=sys.stdout)
    except SettingsError as exc:
        _refuse(exc)
        return
    sys.exit(status)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Say what is configured and whether ScaiKey, stores, shared cache and upstreams answer.

    Status 0: all is well; 1: something is not; 2: the settings cannot work.
    """
    from scailookup.report import check as run_check

    settings = _settings({})
    _logging(settings, quiet=True)
    _run(lambda: run_check(settings, as_json=as_json, out=sys.stdout))


@main.command()
@click.argument("lookup", required=False)
@click.option("--token-file", type=click.File(), help="File with an access token, - for standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(lookup: str | None, token_file: TextIO | None, as_json: bool) -> None:
    """Say all that `check` says, and explain one LOOKUP step by step for the bearer of a token.

    LOOKUP is its path with its values, by default scaigrid/models. Nothing has to run.

    Status 0: all is well; 1: something is not; 2: the settings or the command line cannot work;
    3: nothing failed, there are warnings.
    """
    from scailookup.doctor import doctor as run_doctor
    from scailookup.log import scrubber

    settings = _settings({})
    _logging(settings, quiet=True)
    token = token_file.read(_LONGEST_TOKEN).strip() if token_file is not None else None
    if lookup is not None and token is None and not settings.auth_disabled:
        raise click.UsageError("LOOKUP needs --token-file: it is explained for the bearer of a token")
    scrubber.add(token or "")
    _run(lambda: run_doctor(settings, token=token, lookup=lookup, as_json=as_json, out=sys.stdout))


@main.command("new-plugin")
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False), default=".", help="Where (this directory).")
def new_plugin(name: str, into: str) -> None:
    """Write a plugin to start from: a distribution with one lookup, its sample and its tests.

    Status 2: the name cannot be had, or the directory exists.
    """
    from pathlib import Path

    from scailookup.scaffold import ScaffoldError, write

    try:
        root = write(name, Path(into))
    except ScaffoldError as exc:
        click.echo(f"scailookup: {exc}", err=True)
        sys.exit(BAD_SETTINGS)
    click.echo(f"{root} is written. Next: cd {root} && pip install -e '.[test]' && pytest")


@main.command()
def openapi() -> None:
    """Print the OpenAPI document of the lookups that are installed; nothing has to run or be configured."""
    from scailookup.report import print_openapi

    settings = _settings_or_bare()
    _logging(settings, quiet=True)
    print_openapi(settings, out=sys.stdout)


def _settings(overrides: dict[str, str]) -> Settings:
    from scailookup.settings import load

    try:
        return load(overrides=overrides)
    except SettingsError as exc:
        _refuse(exc)
        raise AssertionError("not reached") from exc


def _settings_or_bare() -> Settings:
    """The settings, or the least that works: plugins can be listed before anything is configured."""
    from scailookup.settings import load

    try:
        return load()
    except SettingsError:
        kept = {n: os.environ[n] for n in ("SCAILOOKUP_DISABLED_PLUGINS",) if n in os.environ}
        return load({"SCAIFLOW_AUTH_DISABLED": "true", **kept}, system_file=None)


def _refuse(exc: SettingsError) -> None:
    click.echo(f"scailookup: {exc}", err=True)
    sys.exit(BAD_SETTINGS)


def _logging(settings: Settings, *, quiet: bool = False) -> None:
    from scailookup import log

    log.scrubber.add(*settings.secrets())
    log.configure("error" if quiet else settings.log_level, settings.log_format)


async def _serve(settings: Settings, overrides: dict[str, str]) -> int:
    from scailookup.settings import load

    def again() -> Settings:
        return load(overrides=overrides)

    if settings.workers == 1:
        from scailookup.processes.alone import serve_alone

        return await serve_alone(settings, again)
    from scailookup.processes.supervisor import supervise

    return await supervise(settings, again)


def _run(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run to the end and leave with its status; the two refusals of the contract in one line each."""
    import asyncio

    try:
        status = asyncio.run(work())
    except SettingsError as exc:
        _refuse(exc)
        return
    except OSError as exc:
        click.echo(f"scailookup: cannot listen: {exc.strerror or exc}", err=True)
        sys.exit(PORT_TAKEN)
    sys.exit(status)
