"""nginx of deploy/docker/compose.yaml: the site that the guide makes for it, and its nginx.conf."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bao import free_port
from harness import certificate

from .edge import ROOT

DOCKER = ROOT / "deploy/docker"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """site.conf, made by the commands of docs/deploying.md."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "deploy/nginx", tree / "nginx")
    (tree / "docker").mkdir()
    page = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?m)^\$ (sed (?:.*\\\n)+.*>site\.conf)$", page)
    subprocess.run(["bash", "-euc", command], cwd=tree / "docker", check=True)
    return (tree / "docker/site.conf").read_text()


def test_nginx_looks_for_the_nodes_again_and_again(site: str) -> None:
    """A node that is made anew has another address: every line of it is resolved while nginx runs."""
    upstream = re.search(r"(?ms)^upstream scailookup \{\n(.*?)^\}", site)
    assert upstream
    lines = re.findall(r"(?m)^ +server (\S+) (\S+) ", upstream[1])
    assert lines == [("node-a:8001", "resolve"), ("node-b:8001", "resolve")] * 2
    assert "zone scailookup_nodes 64k; resolver 127.0.0.11 valid=2s ipv6=off;\n" in upstream[1]


def test_http2_is_asked_for_as_the_newer_nginx_wants_it(site: str) -> None:
    """In a line of its own, for both addresses."""
    assert ["listen 443 ssl; http2 on;", "listen [::]:443 ssl;"] == re.findall(
        r"(?m)^ +(listen .*443.*)$", site
    )


def test_nginx_takes_it(site: str, tmp_path: Path) -> None:
    """nginx.conf and the site are sound; what only nginx 1.27.3 knows is left out for older ones."""
    pem = certificate(tmp_path / "edge.pem")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    for old in (" resolver 127.0.0.11 valid=2s ipv6=off;", " resolve", " http2 on;"):
        site = site.replace(old, "")
    site = re.sub(r"node-\w", "127.0.0.1", site).replace("/dev/stdout", str(tmp_path / "access.log"))
    site = re.sub(r"(?m)^ +listen \[::\].*$", "", site)
    site = re.sub(r"listen \d+", lambda _: f"listen 127.0.0.1:{free_port()}", site)
    site = re.sub(r"/etc/ssl/scailookup/\w+\.pem", str(pem), site)
    around = (DOCKER / "nginx.conf").read_text()
    mounts = dict(
        re.findall(r"(?m)^      - (\S+):(/etc/nginx/\S+):ro$", (DOCKER / "compose.yaml").read_text())
    )
    assert {
        "./nginx.conf": "/etc/nginx/nginx.conf",
        "../nginx": "/etc/nginx/scailookup",
    }.items() <= mounts.items()
    around = around.replace("/etc/nginx/", f"{tmp_path}/").replace("/run/", f"{tmp_path}/")
    if os.geteuid() == 0:
        around = around.replace("user nginx;", "user root;")
    (tmp_path / "nginx.conf").write_text(around)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / Path(mounts["./site.conf"]).name).write_text(site)
    shutil.copytree(ROOT / "deploy/nginx", tmp_path / "scailookup")
    done = subprocess.run(
        [nginx, "-t", "-p", f"{tmp_path}/", "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
