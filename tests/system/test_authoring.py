"""The road of somebody who writes a plugin: the tutorial to the letter, and what `new-plugin` writes.

Both in one virtual environment with the built wheel.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from bao import free_port

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "plugins" / "write.md"
BUILD = ("pip", "install", "--quiet", "--disable-pip-version-check")
_STEP = re.compile(r"^(?:`(?P<file>[\w./-]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


class Place:
    """A directory, and the environment that commands run in there."""

    def __init__(self, directory: Path, bin_: Path) -> None:
        gone = ("SCAI", "VAULT", "PYTHON", "PYTEST", "VIRTUAL_ENV", "COV")
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(gone)} | {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the other way round: no isolation
            "SCAILOOKUP_ADMIN": "off",
        }
        self.directory = directory

    def run(self, command: str, status: int = 0) -> str:
        """Run a command of the shell; what it printed."""
        done = subprocess.run(
            command, shell=True, cwd=self.directory, env=self.environ, capture_output=True, text=True
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def bin_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and what tests of plugins need."""
    top = tmp_path_factory.mktemp("author")
    source = top / "source"
    for name in ("scailookup", "plugins"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", top / "env"], check=True)
    made = top / "env" / "bin"
    place = Place(top, made)
    place.run(f"{' '.join(BUILD)} 'setuptools>=77' pytest hypothesis")
    place.run("pip wheel --quiet --no-deps --wheel-dir dist ./source")
    place.run(f"{' '.join(BUILD)} dist/*.whl")
    return made


class Follower:
    """Somebody who does what a page says, in order, and looks at what comes out."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._ports = {"9000": str(free_port()), "8001": str(free_port())}
        place.environ["SCAIFLOW_API_PORT"] = self._ports["8001"]
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def follow(self, page: str) -> None:
        """Write each file, run each command."""
        for step in _STEP.finditer(page):
            text = self._here(step["text"])
            if step["file"]:
                path = self._place.directory / step["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            elif step["language"] == "console":
                for command, shown in re.findall(r"^\$ (.*)\n((?:[^$\n].*\n)*)", text, re.M):
                    self._command(command, shown.splitlines())

    def _here(self, text: str) -> str:
        """The page's two ports are anybody's; here they are free ones."""
        for theirs, ours in self._ports.items():
            text = re.sub(rf"(?<=127\.0\.0\.1:){theirs}|(?<=http\.server ){theirs}", ours, text)
        return text

    def _command(self, command: str, shown: list[str]) -> None:
        if "http.server" in command or command.endswith("scailookup serve"):
            self._start(command)
            return
        if command.startswith("curl -s "):
            said = self._get(command.removeprefix("curl -s ").strip("'"))
        else:
            said = self._place.run(command)
        plain = " ".join(said.split())
        for line in shown:
            pattern = ".*".join(map(re.escape, " ".join(line.split()).split("…")))
            assert re.search(pattern, plain), f"{command}\n{said}"

    def _start(self, command: str) -> None:
        """What runs until it is stopped; the same once more is a new start."""
        kind = command.rpartition("scailookup ")[2]
        self._end(kind)
        self._running[kind] = subprocess.Popen(
            ["/bin/sh", "-c", re.sub(r"([\w.-]+ (serve|-m http\.server))", r"exec \1", command)],
            cwd=self._place.directory,
            env=self._place.environ,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _get(self, url: str) -> str:
        """What a server answers, once it listens."""
        while True:
            try:
                with urllib.request.urlopen(url) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as exc:
                return exc.read().decode()
            except urllib.error.URLError:
                assert all(process.poll() is None for process in self._running.values())
                time.sleep(0.05)

    def _end(self, kind: str) -> None:
        process = self._running.pop(kind, None)
        if process is not None:
            process.terminate()
            process.wait()

    def end(self) -> None:
        """Stop what still runs."""
        for kind in list(self._running):
            self._end(kind)


@pytest.fixture
def place(tmp_path: Path, bin_: Path) -> Iterator[Place]:
    """An empty directory with the environment; plugins installed from it are gone afterwards."""
    made = Place(tmp_path, bin_)
    yield made
    made.run("pip uninstall --quiet --yes scailookup-weather scailookup-sea-weather")


def test_the_tutorial_to_the_letter(place: Place) -> None:
    """Every file written, every command run, every line shown comes out."""
    follower = Follower(place)
    try:
        follower.follow(TUTORIAL.read_text(encoding="utf-8"))
    finally:
        follower.end()


def test_what_new_plugin_writes_installs_serves_and_passes(place: Place) -> None:
    """It is found at once, its tests pass, and it serves its own sample as its README says."""
    place.run("scailookup new-plugin sea-weather")
    place.directory /= "scailookup-sea-weather"
    place.run("pip install --quiet -e '.[test]'")
    found = json.loads(place.run("scailookup plugins --json"))
    assert ("sea-weather", None) in {(plugin["name"], plugin["reason"]) for plugin in found}
    assert "3 passed" in place.run("pytest -q")
    follower = Follower(place)
    readme = (place.directory / "README.md").read_text(encoding="utf-8")
    try:
        follower.follow("```console" + readme.rpartition("```console")[2].replace("curl ", "curl -s "))
    finally:
        follower.end()
