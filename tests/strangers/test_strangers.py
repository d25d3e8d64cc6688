"""Plugins against real servers that know nothing of us: RabbitMQ's management and Jupyter Server."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import scailookup_jupyter
import scailookup_rabbitmq
from bao import free_port

from scailookup.testing import Serving, conforms, serve, settings

SECRETS = {"rabbitmq/login": "guest:guest", "jupyter/api#token": "tok-1"}
# The wrapper in the path changes the user and the directory.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once something answers there."""
    while True:
        try:
            urllib.request.urlopen(url).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None
            time.sleep(0.1)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with two virtual hosts and three queues; its url."""
    top = tmp_path_factory.mktemp("rabbitmq")
    port, epmd = free_port(), free_port()
    top.joinpath("plugins").write_text("[rabbitmq_management].")
    top.joinpath("conf.conf").write_text(f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(top),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": "strangers@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(free_port()),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(top / "data"),
        "RABBITMQ_LOG_BASE": str(top / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(top / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(top / "conf.conf"),
    }
    process = subprocess.Popen(
        [RABBITMQ], env=environ, cwd=top, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/api/overview", process)
        for path in ("vhosts/shop", "queues/shop/orders", "queues/%2F/orders", "queues/%2F/a%2Fb"):
            put(f"{url}/api/{path}")
        yield url
    finally:
        process.terminate()
        process.wait()
        # The port mapper that the broker started outlives it.
        for pid in mappers(epmd):
            os.kill(pid, signal.SIGTERM)


def mappers(port: int) -> list[int]:
    """The port mappers of Erlang that were started for this port."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"ERL_EPMD_PORT={port}".encode() in process.joinpath("environ").read_bytes().split(b"\0")
            named = process.joinpath("comm").read_text().strip() == "epmd"
        except OSError:
            continue
        if ours and named:
            found.append(int(process.name))
    return found


def put(url: str) -> None:
    """Make one thing in the broker."""
    basic = base64.b64encode(SECRETS["rabbitmq/login"].encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, b"{}", headers, method="PUT")).close()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two notebooks; its url."""
    top = tmp_path_factory.mktemp("jupyter")
    top.joinpath("deep").mkdir()
    for name in ("b.ipynb", "deep/a b.ipynb"):
        top.joinpath(name).write_text('{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}')
    port = free_port()
    options = [
        *("--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *("--ServerApp.port_retries=0", "--IdentityProvider.token=tok-1", f"--ServerApp.root_dir={top}"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", *options],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home"))},
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/api", process)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def service(rabbitmq: str, jupyter: str) -> Iterator[Serving]:
    """The service around both plugins."""
    with serve(
        scailookup_rabbitmq,
        scailookup_jupyter,
        secrets=SECRETS,
        SCAILOOKUP_RABBITMQ_BASE_URL=rabbitmq,
        SCAILOOKUP_JUPYTER_BASE_URL=jupyter,
    ) as running:
        yield running


def rows(service: Serving, path: str) -> list[dict[str, str]]:
    """The rows of a good answer."""
    answer = service.get(path)
    assert answer.status == 200, answer.body
    found: list[dict[str, str]] = answer.json()["data"]
    return found


def test_virtual_hosts(service: Serving) -> None:
    """A slash is a name like any other."""
    assert {row["id"] for row in rows(service, "/rabbitmq/vhosts")} == {"/", "shop"}


def test_queues_have_ids_of_two_fields(service: Serving) -> None:
    """Two queues of one name are two rows."""
    found = rows(service, "/rabbitmq/queues")
    assert {row["id"] for row in found} == {"%2F/a%2Fb", "%2F/orders", "shop/orders"}


def test_queues_of_a_virtual_host_that_is_a_slash(service: Serving) -> None:
    """It goes out as %2F."""
    found = rows(service, "/rabbitmq/vhosts/%2F/queues")
    assert {row["name"] for row in found} == {"a/b", "orders"}


def test_files_of_a_directory(service: Serving) -> None:
    """A path is a value, and a blank in a name is no matter."""
    assert [row["id"] for row in rows(service, "/jupyter/files?kind=notebook")] == ["b.ipynb"]
    assert [row["id"] for row in rows(service, "/jupyter/files/deep")] == ["deep/a b.ipynb"]


def test_lists_that_are_empty(service: Serving) -> None:
    """A server without sessions has none, and that is no failure."""
    assert rows(service, "/jupyter/sessions") == []


def test_a_map_of_kernels(jupyter: str) -> None:
    """The real server's map is keyed by name; without a kernel it is empty."""
    request = urllib.request.Request(f"{jupyter}/api/kernelspecs", headers={"Authorization": "token tok-1"})
    with urllib.request.urlopen(request) as answer:
        assert isinstance(json.load(answer)["kernelspecs"], dict)


def test_wrong_credentials(rabbitmq: str, jupyter: str) -> None:
    """401 of the one and 403 of the other are both the operator's to mend."""
    with serve(
        scailookup_rabbitmq,
        scailookup_jupyter,
        secrets={"rabbitmq/login": "guest:no", "jupyter/api#token": "no"},
        SCAILOOKUP_RABBITMQ_BASE_URL=rabbitmq,
        SCAILOOKUP_JUPYTER_BASE_URL=jupyter,
    ) as service:
        errors = [service.get(path).json()["detail"] for path in ("/rabbitmq/vhosts", "/jupyter/sessions")]
    assert [error["error"] for error in errors] == ["rabbitmq_auth", "jupyter_auth"]
    assert all("store the credential" in error["fix"] for error in errors)


def test_both_conform() -> None:
    """Every rule holds, by answers of the real servers cut short."""
    [upstream] = scailookup_rabbitmq.scailookup_upstreams(settings())
    queues = {"page_count": 1, "items": [{"name": "orders", "vhost": "/", "type": "classic"}]}
    conforms(
        upstream,
        {
            "vhosts": [{"name": "/", "description": "Default virtual host"}],
            "queues": queues,
            "vhosts/%2F/queues": queues,
        },
    )
    [upstream] = scailookup_jupyter.scailookup_upstreams(settings())
    files = {"type": "directory", "content": [{"name": "a", "path": "deep/a", "type": "file"}]}
    spec = {"name": "python3", "spec": {"display_name": "Python 3", "language": "python"}}
    conforms(
        upstream,
        {
            "kernelspecs": {"default": "python3", "kernelspecs": {"python3": spec}},
            "sessions": [{"id": "x", "name": "a", "kernel": {"name": "python3", "execution_state": "idle"}}],
            "files": files,
            "files/deep": files,
        },
    )
