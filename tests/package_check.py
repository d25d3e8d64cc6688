"""Builds sdist and wheel, installs them and the tree itself elsewhere, and runs the demo from the wheel.

Run by `tox -e package`. A source tree on the path would hide a file that the packages
lack, so every command runs in an empty directory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BUILT_IN = {"credentials", "scaibunker", "scaigrid", "scaiqueue"}
# Distributions of their own, which no wheel of the service holds.
OTHERS = ("scailookup_openai", "scailookup_scaicore")
LOOKUPS = ("scaiqueue/scopes", "scaibunker/bunkers", "scaigrid/models")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without the environment's SCAI settings; its standard output."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean(), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def clean() -> dict[str, str]:
    """This environment without settings and without a path to the sources."""
    gone = ("SCAI", "VAULT", "PYTHONPATH", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if not k.startswith(gone)} | {
        "SCAILOOKUP_ADMIN": "127.0.0.1:0"
    }


def installed(directory: Path, name: str, *what: str | Path) -> Path:
    """A new virtual environment with `what` in it; its bin directory."""
    run(sys.executable, "-m", "venv", directory / name, cwd=directory)
    bin_ = directory / name / "bin"
    run(bin_ / "pip", "install", "--quiet", "--disable-pip-version-check", *what, cwd=directory)
    return bin_


def plugins(bin_: Path, cwd: Path) -> set[str]:
    """The names of the plugins that the installed command finds well."""
    found = json.loads(run(bin_ / "scailookup", "plugins", "--json", cwd=cwd))
    return {plugin["name"] for plugin in found if plugin["reason"] is None}


def answers(url: str, token: str) -> list[int]:
    """How many rows each lookup of a running demo has."""
    counts = []
    for lookup in LOOKUPS:
        request = urllib.request.Request(
            f"{url}/api/v1/{lookup}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request) as answer:
            counts.append(len(json.load(answer)["data"]))
    return counts


def page(url: str) -> None:
    """Ask a running demo for the page, and for all that it and its modules name."""
    asked, waiting = set(), {"console"}
    while waiting:
        path = waiting.pop()
        asked.add(path)
        with urllib.request.urlopen(f"{url}/{path}") as answer:
            text = answer.read().decode()
        names = re.findall(r'(?:href|src)="(console/[^"]+)"', text)
        names += [f"console/{name}" for name in re.findall(r'from "\./([\w.-]+)"', text)]
        waiting |= set(names) - asked
    assert len(asked) > 20, asked


def demo(bin_: Path, cwd: Path) -> None:
    """Run the demo, ask each lookup, end it."""
    process = subprocess.Popen(
        [bin_ / "scailookup", "demo", "--json", "--port", "0"], cwd=cwd, env=clean(), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        counts = answers(facts["url"], facts["tokens"]["viewer"])
        assert all(counts), counts
        page(facts["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait()
    assert status == 0, status


def main() -> None:
    """The whole check; an assertion or a failing command ends it."""
    with tempfile.TemporaryDirectory(prefix="scailookup-package-") as name:
        directory = Path(name)
        run(sys.executable, "-m", "build", "--outdir", directory / "dist", REPOSITORY, cwd=directory)
        wheel = next((directory / "dist").glob("*.whl"))
        sdist = next((directory / "dist").glob("*.tar.gz"))
        strangers = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(OTHERS)]
        assert not strangers, strangers
        from_wheel = installed(directory, "wheel", wheel)
        demo(from_wheel, directory)
        found = {
            "wheel": plugins(from_wheel, directory),
            "sdist": plugins(installed(directory, "sdist", sdist), directory),
            "editable": plugins(installed(directory, "editable", "-e", REPOSITORY), directory),
        }
        assert all(names == BUILT_IN for names in found.values()), found
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
