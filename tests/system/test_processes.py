"""Processes and signals: one process and several, whoever ends first."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from harness import GUARD, Answer, Reply, Server, Upstream, environment, fetch, start_status

from .load import Load, outcome, until, workers_of

MODELS = "/v1/models"
API_MODELS = "/v1/scaigrid/models"
MODEL = {"slug": "a/b", "display_name": "B"}


def settings(grid: Upstream, **more: str) -> dict[str, str]:
    """A server for a developer, which asks ``grid`` with every request."""
    names = ("FRESH", "STALE", "STALE_IF_ERROR", "FAILURE_MEMORY", "CIRCUIT")
    return {
        "SCAIFLOW_AUTH_DISABLED": "true",
        "SCAIGRID_BASE_URL": grid.base,
        "SCAIGRID_API_KEY": "sgk_" + "k" * 20,
        **dict.fromkeys((f"SCAILOOKUP_{name}" for name in names), "0"),
        **more,
    }


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def figure(server: Server, name: str) -> float:
    """The sum of a family's samples."""
    text = server.get("/metrics", admin=True).body.decode()
    lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(scope="module")
def grid() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(autouse=True)
def _script(grid: Upstream) -> None:
    grid.forget()
    grid.on(MODELS, {"data": [MODEL]})
    grid.on("/other/models", {"data": [{"slug": "new"}]})


@pytest.fixture(scope="module")
def pair(grid: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Two workers, and the file with their settings."""
    file = tmp_path_factory.mktemp("pair") / "scailookup.env"
    file.write_text("")
    server = Server(settings(grid, SCAILOOKUP_WORKERS="2", SCAIFLOW_ENV_FILE=str(file)))
    yield server, file
    server.stop()


@pytest.fixture(scope="module")
def single(grid: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """One process, and the file with its settings."""
    file = tmp_path_factory.mktemp("single") / "scailookup.env"
    file.write_text("")
    server = Server(settings(grid, SCAIFLOW_ENV_FILE=str(file)))
    yield server, file
    server.stop()


def test_one_worker_is_one_process(single: tuple[Server, Path]) -> None:
    """Nobody supervises where there is nothing to supervise."""
    assert workers_of(single[0].process.pid) == []


def test_several_workers_say_once_where_they_listen(pair: tuple[Server, Path]) -> None:
    """There is one event `listening`, with a free port for each listener."""
    server, _ = pair
    found = [event for event in server.events if event["event"] == "listening"]
    assert len(found) == 1
    assert server.listening["url"] == f"http://127.0.0.1:{server.port}"
    assert server.admin_port
    assert len(workers_of(server.process.pid)) == 2


def test_figures_are_those_of_all_workers(pair: tuple[Server, Path]) -> None:
    """Connections fall on both workers; the admin listener adds up what each has counted."""
    server, _ = pair
    before = figure(server, "scailookup_upstream_calls_total")
    for _ in range(20):
        assert server.get(API_MODELS).status == 200
    assert figure(server, "scailookup_upstream_calls_total") == before + 20
    assert figure(server, "scailookup_workers") == 2


def test_a_killed_worker_comes_back(pair: tuple[Server, Path]) -> None:
    """No connection is refused meanwhile, and no counter goes back."""
    server, _ = pair
    server.get(API_MODELS)
    counted = figure(server, "scailookup_requests_total")
    victim, other = workers_of(server.process.pid)
    with Load(lambda: server.get(API_MODELS), threads=2) as load:
        load.more(10)
        os.kill(victim, signal.SIGKILL)
        server.event("worker_ended", pid=victim, status=-signal.SIGKILL)
        until(lambda: len(workers_of(server.process.pid)) == 2 and figure(server, "scailookup_workers") == 2)
        load.more(10)
        seen = load.mark()
    assert alive(other)
    # Only what the killed one had in hand may be lost.
    assert sum(count for name, count in seen.items() if not name.startswith("200")) <= 2
    assert "no answer: ConnectionRefusedError" not in seen
    assert figure(server, "scailookup_requests_total") >= counted
    assert figure(server, "scailookup_worker_ends_total") == 1


@pytest.mark.parametrize("which", ["single", "pair"])
def test_settings_are_read_again_without_losing_a_request(
    which: str, grid: Upstream, request: pytest.FixtureRequest
) -> None:
    """SIGHUP: new settings answer, every request before and after is answered, connections stay."""
    server, file = request.getfixturevalue(which)
    kept = HTTPConnection("127.0.0.1", server.port, timeout=GUARD)
    kept.request("GET", API_MODELS)
    assert b"a/b" in kept.getresponse().read()
    file.write_text("SCAILOOKUP_MODELS_PATH=/other/models\n")
    with Load(lambda: server.get(API_MODELS), threads=2) as load:
        load.more(5)
        server.process.send_signal(signal.SIGHUP)
        server.event("reloaded")
        load.more(5)
        assert set(load.mark()) == {"200"}
    kept.request("GET", API_MODELS)
    assert b"new" in kept.getresponse().read()
    kept.close()


@pytest.mark.parametrize("which", ["single", "pair"])
def test_bad_settings_are_refused_and_the_old_kept(which: str, request: pytest.FixtureRequest) -> None:
    """SIGHUP with a mistake in the file: one event says what is wrong, and everything stays as it was."""
    server, file = request.getfixturevalue(which)
    before = server.get(API_MODELS).json["data"]
    file.write_text("SCAILOOKUP_MAX_ROWS=many\n")
    server.process.send_signal(signal.SIGHUP)
    assert "SCAILOOKUP_MAX_ROWS" in server.event("reload_refused")["reason"]
    assert server.get(API_MODELS).json["data"] == before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_in_flight_is_finished(workers: str, grid: Upstream) -> None:
    """SIGTERM: new connections are refused, the answer under way comes whole and is its connection's last."""
    release = threading.Event()

    def held(_: object) -> Reply:
        release.wait(GUARD)
        return Reply({"data": [MODEL]})

    grid.on(MODELS, held)
    server = Server(settings(grid, SCAILOOKUP_WORKERS=workers))
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(keep_alive(server.port, API_MODELS)))
    asking.start()
    until(lambda: grid.calls(MODELS))
    server.process.send_signal(signal.SIGTERM)
    until(lambda: refused(server.port))
    assert server.get("/readyz", admin=True).status == 503
    release.set()
    asking.join(GUARD)
    assert server.stop() == 0
    assert answers[0].status == 200
    assert answers[0].header("Connection") == "close"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_sigterm_ends_at_once(workers: str, grid: Upstream) -> None:
    """Whoever cannot wait says so twice; the status is 0 all the same, and nobody is left behind."""
    release = threading.Event()
    grid.on(MODELS, lambda _: release.wait(GUARD))
    server = Server(settings(grid, SCAILOOKUP_WORKERS=workers, SCAILOOKUP_DEADLINE="600"))
    family = workers_of(server.process.pid)
    asking = threading.Thread(target=outcome, args=(lambda: server.get(API_MODELS),))
    asking.start()
    until(lambda: grid.calls(MODELS))
    server.process.send_signal(signal.SIGTERM)
    until(lambda: refused(server.port))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GUARD) == 0
    release.set()
    asking.join(GUARD)
    until(lambda: not any(alive(pid) for pid in family))


def test_no_worker_outlives_its_supervisor(grid: Upstream) -> None:
    """The supervisor is killed outright; the workers notice and end."""
    server = Server(settings(grid, SCAILOOKUP_WORKERS="2"))
    family = workers_of(server.process.pid)
    server.process.kill()
    server.process.wait(GUARD)
    until(lambda: not any(alive(pid) for pid in family))
    assert refused(server.port)


def test_a_crash_loop_ends_with_status_3(grid: Upstream) -> None:
    """A worker that ends again and again takes the service down; the other answers what it has begun."""
    server = Server(settings(grid, SCAILOOKUP_WORKERS="2"))
    kept = HTTPConnection("127.0.0.1", server.port, timeout=GUARD)
    kept.request("GET", API_MODELS)
    kept.getresponse().read()
    healthy = server.event("upstream_call")["worker"]
    release = threading.Event()

    def held(_: object) -> Reply:
        release.wait(GUARD)
        return Reply({"data": [MODEL]})

    grid.forget()
    grid.on(MODELS, held)
    kept.request("GET", API_MODELS)
    until(lambda: grid.calls(MODELS))
    victim = 3 - healthy
    killed: set[int] = set()
    while all(event["event"] != "crash_loop" for event in list(server.events)):
        for event in list(server.events):
            if (
                event["event"] == "worker_started"
                and event["worker"] == victim
                and event["pid"] not in killed
            ):
                killed.add(event["pid"])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(event["pid"], signal.SIGKILL)
        time.sleep(0.05)
    until(lambda: refused(server.port))
    release.set()
    assert kept.getresponse().status == 200
    kept.close()
    assert server.process.wait(GUARD) == 3
    assert server.event("crash_loop")["worker"] == victim
    server.stop()


def test_a_worker_that_hangs_is_replaced(grid: Upstream, tmp_path: Path) -> None:
    """It is killed for its silence, the other one stays, and a reload that met it ends."""
    file = tmp_path / "scailookup.env"
    file.write_text("")
    server = Server(settings(grid, SCAILOOKUP_WORKERS="2", SCAIFLOW_ENV_FILE=str(file)))
    victim, other = workers_of(server.process.pid)
    os.kill(victim, signal.SIGSTOP)
    server.process.send_signal(signal.SIGHUP)
    server.event("worker_silent", pid=victim)
    server.event("worker_ended", pid=victim, status=-signal.SIGKILL)
    server.event("reloaded")
    until(lambda: len(workers_of(server.process.pid)) == 2 and figure(server, "scailookup_workers") == 2)
    assert alive(other)
    assert not alive(victim)
    assert server.stop() == 0


def test_a_worker_without_room_is_tried_again(grid: Upstream) -> None:
    """No descriptor is left when a worker ends: the other serves on, and it comes back once it can."""
    server = Server(settings(grid, SCAILOOKUP_WORKERS="2"))
    victim, other = workers_of(server.process.pid)
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    os.kill(victim, signal.SIGKILL)
    server.event("worker_not_started")
    assert [other] == workers_of(server.process.pid)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
    until(lambda: len(workers_of(server.process.pid)) == 2 and figure(server, "scailookup_workers") == 2)
    assert alive(other)
    assert server.stop() == 0


def test_what_no_worker_can_take_ends_the_start(grid: Upstream, tmp_path: Path) -> None:
    """A plugin that fails in strict mode: status 2, as with one process."""
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[scailookup]\nbroken = no_such_module_anywhere\n")
    status, lines = start_status(
        settings(grid, SCAILOOKUP_WORKERS="2", SCAILOOKUP_STRICT_PLUGINS="true", PYTHONPATH=str(tmp_path))
    )
    assert status == 2
    assert any(line.startswith("scailookup: plugin broken") for line in lines)


def test_a_port_of_another_service_of_ours_is_taken(pair: tuple[Server, Path], grid: Upstream) -> None:
    """Workers share their port among themselves and with nobody else: status 1."""
    port = str(pair[0].port)
    given = settings(grid, SCAILOOKUP_WORKERS="2", SCAIFLOW_API_PORT=port)
    status, lines = start_status(given, "serve")
    assert status == 1, lines


def test_the_service_manager_is_told(grid: Upstream, tmp_path: Path) -> None:
    """READY when it serves, RELOADING and READY around a reload, STOPPING at the end, WATCHDOG in between."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(GUARD)
        manager.bind(str(tmp_path / "notify"))
        server = Server(settings(grid, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="600000000"))
        said = {manager.recv(1000).decode() for _ in range(2)}
        assert said == {"READY=1", "WATCHDOG=1"}
        server.process.send_signal(signal.SIGHUP)
        assert manager.recv(1000).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000) == b"READY=1"
        assert server.stop() == 0
        assert manager.recv(1000) == b"STOPPING=1"


# What systemd does: the socket is descriptor 3, and the variables are for this process alone.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "scailookup", "serve"])
"""


def activated(listening: socket.socket, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start the service with a socket that is there already."""
    return subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(listening.fileno())],
        env=environment(env),
        pass_fds=[listening.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_socket_of_the_service_manager_is_served(grid: Upstream) -> None:
    """Whoever connects before the service runs is answered by it, and its workers share the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        answers: list[Answer] = []
        early = threading.Thread(target=lambda: answers.append(fetch(port, API_MODELS)))
        early.start()
        process = activated(listening, settings(grid, SCAILOOKUP_WORKERS="2"))
        early.join(GUARD)
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=GUARD)
    assert answers[0].status == 200
    assert process.returncode == 0
    assert f'"port":{port}' in text


def test_a_socket_that_is_not_loopback_is_refused_without_authentication(grid: Upstream) -> None:
    """Whoever bound it, nobody is let in unasked from elsewhere: status 2."""
    with socket.create_server(("0.0.0.0", 0)) as listening:
        process = activated(listening, settings(grid))
        _, text = process.communicate(timeout=GUARD)
    assert process.returncode == 2
    assert "SCAIFLOW_AUTH_DISABLED" in text


def keep_alive(port: int, path: str) -> Answer:
    """One request on a connection that would like to stay."""
    connection = HTTPConnection("127.0.0.1", port, timeout=GUARD)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = Answer(response.status, tuple(response.getheaders()), response.read())
    connection.close()
    return answer


def refused(port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=GUARD).close()
    except ConnectionError:
        return True
    return False
