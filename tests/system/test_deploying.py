"""The commands of docs/deploying.md, run in order in a directory that stands for the machine's root.

What only root or systemd can do is done by stand-ins: packages, users and owners are taken for
given, and ``systemctl`` starts what the unit file says. Everything else is the real thing.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from bao import free_port
from contract.support import API_MODELS, AUDIENCE, Issuer, Upstream, environment

from .edge import ROOT
from .load import until

NOTHING = "#!/bin/sh\n"
# `python3 -m venv DIRECTORY`, and its pip, which installs once.
VENV = """#!/bin/sh
mkdir -p "$3/bin"
cp "{root}/venv/"* "$3/bin/"
"""
PIP = """#!/bin/sh
mkdir "$(dirname "$0")/../installed"
"""
# The product reads its own file below /etc; here that lies elsewhere.
SCAILOOKUP = """#!/bin/sh
set -a; . "{root}/etc/scailookup/scailookup.env"; set +a
exec "{python}" -m scailookup "$@"
"""
NGINX = """#!/bin/sh
exec "{nginx}" -c "{root}/etc/nginx/nginx.conf" -p "{root}/" -e stderr "$@"
"""
# Starts and stops by the unit files: `restart` ends the process of the name and begins another.
SYSTEMCTL = """#!{python}
import os, pathlib, re, signal, subprocess, sys, time
root, words = pathlib.Path("{root}"), [word for word in sys.argv[1:] if not word.startswith("-")]
def lives(pid):
    stat = pathlib.Path("/proc", str(pid), "stat")
    return stat.exists() and ") Z " not in stat.read_text()
def run(name):
    file = root / "run" / (name + ".pid")
    if file.exists() and file.read_text():  # `nginx -t` leaves it empty
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        while lives(pid):
            time.sleep(0.02)
    if words[0] == "stop":
        return
    if name == "nginx":
        subprocess.check_call([root / "bin/nginx"])  # puts itself behind, and writes the file
        return
    if name == "redis-server":
        quiet = {{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
        made = subprocess.Popen([name, root / "etc/redis/redis.conf"], **quiet)
        file.write_text(str(made.pid))
        while subprocess.call(["redis-cli", "-p", "{redis}", "ping"], **quiet):
            time.sleep(0.02)
        return
    unit, instance = name.split("@")
    text = (root / "etc/systemd/system" / (unit + "@.service")).read_text().replace("%i", instance)
    command = re.search(r"^ExecStart=(.*)$", text, re.M)[1].split()
    more = dict(re.findall(r"^Environment=(\\w+)=(.*)$", text, re.M))
    with (root / "run" / (name + ".log")).open("ab") as log:
        made = subprocess.Popen(command, env=dict(os.environ, **more), stdout=log, stderr=log)
    file.write_text(str(made.pid))
if words[0] in ("enable", "restart", "reload-or-restart", "stop"):
    for name in words[1:]:
        run(name)
"""


class Machine:
    """A directory with the parts of a Debian machine that the commands touch."""

    def __init__(self, root: Path, issuer: Issuer, grid: Upstream) -> None:
        self.root, self.issuer = root, issuer
        self.port = free_port()
        ports = {name: free_port() for name in ("8001", "8002", "8011", "8012", "6379")}
        self.redis = ports["6379"]
        self._moves = [
            (r"(?<![\w.])/(etc|opt|run)/", rf"{root}/\1/"),
            (r"/var/log/nginx/", f"{root}/run/"),
            *((rf"\b{old}\b", str(new)) for old, new in ports.items()),
            (r"listen \[::\]:.*\n", "\n"),
            (r"listen 443 ", f"listen 127.0.0.1:{self.port} "),
            (r"listen 80;", f"listen 127.0.0.1:{free_port()};"),
            (r"example\.com:443:", f"example.com:{self.port}:"),
            (r"https://lookups\.example\.com/", f"https://lookups.example.com:{self.port}/"),
            (r"https://scaigrid\.scailabs\.ai", grid.base),
            (r"https://scaikey\.scailabs\.ai", issuer.base),
            (r"app_your_client_id", AUDIENCE),
            (r"(?m)^user .*;", "user root;" if os.geteuid() == 0 else ""),
        ]
        for name in ("modules-enabled", "sites-available", "sites-enabled", "conf.d"):
            (root / "etc/nginx" / name).mkdir(parents=True)
        for name in ("bin", "run", "opt", "venv", "etc/systemd/system", "etc/redis", "tree"):
            (root / name).mkdir(parents=True)
        for name in ("nginx.conf", "mime.types"):
            (root / "etc/nginx" / name).write_text(self.moved((Path("/etc/nginx") / name).read_text()))
        # Debian's own is for the user of Redis alone to read.
        (root / "etc/redis/redis.conf").write_text(
            f"bind 127.0.0.1\nport {self.redis}\ndir {root}/run\nsave 3600 1\n"
        )
        for path in (ROOT / "deploy").rglob("*"):
            copy = root / "tree" / path.relative_to(ROOT)
            if path.is_dir():
                copy.mkdir(parents=True, exist_ok=True)
            elif path.suffix in (".conf", ".service"):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.moved(path.read_text()))
        self._stand_ins()

    def _stand_ins(self) -> None:
        nginx = subprocess.run(
            ["sh", "-c", "command -v nginx || echo /usr/sbin/nginx"], capture_output=True, text=True
        ).stdout.strip()
        filled = {"root": self.root, "python": sys.executable, "nginx": nginx, "redis": self.redis}
        scripts = {f"bin/{name}": NOTHING for name in ("apt-get", "useradd", "chown")}
        scripts |= {"bin/systemctl": SYSTEMCTL, "bin/nginx": NGINX}
        scripts |= {"bin/python3": VENV, "venv/pip": PIP, "venv/scailookup": SCAILOOKUP}
        for name, text in scripts.items():
            file = self.root / name
            file.write_text(text.format(**filled))
            file.chmod(0o755)

    def moved(self, text: str) -> str:
        """``text`` with every path, port and address as it is on this machine."""
        for old, new in self._moves:
            text = re.sub(old, new, text)
        return text

    def run(self, commands: str) -> str:
        """Run a block of commands to its end; the first that fails ends it."""
        env = environment({"PATH": f"{self.root}/bin:{os.environ['PATH']}"})
        del env["SCAILOOKUP_ADMIN"]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.moved(commands)],
            cwd=self.root / "tree",
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}{self._logs()}"
        return done.stdout

    def ask(self, *options: str) -> str:
        """The lookup of models through nginx, as the page asks, with headers."""
        pem = self.root / "etc/ssl/scailookup/fullchain.pem"
        resolve = f"lookups.example.com:{self.port}:127.0.0.1"
        command = ["curl", "-si", "--cacert", str(pem), "--resolve", resolve, *options]
        url = f"https://lookups.example.com:{self.port}{API_MODELS}"
        return subprocess.run([*command, url], capture_output=True, text=True).stdout

    def release(self) -> Path:
        """The release in use."""
        return (self.root / "opt/scailookup").resolve()

    def stop(self) -> None:
        """End what ``systemctl`` started."""
        names = [file.stem for file in (self.root / "run").glob("*.pid")]
        subprocess.run([self.root / "bin/systemctl", "stop", *names], check=True)

    def _logs(self) -> str:
        return "".join(file.read_text()[-2000:] for file in (self.root / "run").glob("*.log"))


def blocks() -> list[str]:
    """The commands of the page, block by block."""
    page = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    section = page.partition("\n## A pair behind nginx, on Debian\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """The machine, empty, with a ScaiKey and a ScaiGrid that it can reach."""
    issuer, grid = Issuer(), Upstream()
    grid.on("/v1/models", {"data": [{"slug": "a/model"}]})
    made = Machine(tmp_path, issuer, grid)
    yield made
    made.stop()
    issuer.stop()
    grid.stop()


def test_the_page_leads_to_a_running_pair(machine: Machine) -> None:
    """From the first command to the last: a pair with one cache, a microcache, an update and back."""
    *pair, asking, microcache, update, back = blocks()
    for block in pair:
        machine.run(block)
    assert '"status":"ready"' in machine.run(asking)
    assert '"unauthenticated"' in machine.run(asking)
    token = f"Authorization: Bearer {machine.issuer.token()}"
    assert '"a/model"' in machine.ask("-H", token)
    with redis.Redis(port=machine.redis) as shared:
        until(lambda: shared.keys("scailookup:1:*:entry"))
        assert {"save": ""} == shared.config_get("save")
    assert 0o640 == stat.S_IMODE((machine.root / "etc/scailookup/scailookup.env").stat().st_mode)
    machine.run(microcache)
    assert "nginx; hit" not in machine.ask("-H", token)
    assert "nginx; hit" in machine.ask("-H", token)
    first = machine.release()
    machine.run(update)
    assert first != machine.release()
    assert '"a/model"' in machine.ask("-H", token)
    machine.run(back)
    assert first == machine.release()
    assert '"a/model"' in machine.ask("-H", token)
