"""Nodes before one real Redis: what one has the others have, and one call is enough for all."""

from __future__ import annotations

import asyncio
import resource
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.support import AUDIENCE, MODELS, Answer, Issuer, Reply, Server, Upstream, write_secrets

from system.edge import Edge
from system.redis_server import RedisServer, wait_until

KEY = "the-key-that-seals-what-lies-in-redis"
API = "/api/v1/scaigrid/models"
CREDENTIALS = "/v1/tenants/me/scaigrid_credentials"
TENANTS = [f"tnt_{number}" for number in range(20)]
BROKEN = Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500)
DENIED = Reply({"error": {"code": "FORBIDDEN", "message": "no"}}, 403)
HERD = 1000


class Cluster:
    """An issuer, an upstream, a Redis, and nodes that know each other through it alone.

    Lists are fetched with the tenants' keys; each test has a tenant of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.redis, self.issuer, self.grid = RedisServer(), Issuer(), Upstream()
        self.secrets = folder / "secrets.toml"
        write_secrets(self.secrets, {name: {"scaigrid_api_key": f"sgk_first_{name}"} for name in TENANTS})
        self.servers: list[Server] = []
        self.one, self.other = self.node(), self.node()
        self._tenants = iter(TENANTS)

    def node(self, *args: str, **settings: str) -> Server:
        """One more node."""
        server = Server(
            {
                "SCAIGRID_BASE_URL": self.grid.base,
                "SCAIKEY_BASE_URL": self.issuer.base,
                "SCAIKEY_AUDIENCE": AUDIENCE,
                "SCAIFLOW_DEPLOY_AUTH": "api_key",
                "SCAILOOKUP_SECRETS_FILE": str(self.secrets),
                "SCAILOOKUP_CACHE_URL": self.redis.url,
                "SCAILOOKUP_CACHE_KEY": KEY,
                # What ends in these tests is ended by news, not by its age.
                "SCAILOOKUP_FRESH": "3600",
                "SCAILOOKUP_SECRET_FRESH": "3600",
                **settings,
            },
            *args,
        )
        self.servers.append(server)
        return server

    def tenant(self) -> Tenant:
        """A tenant that nobody asked for yet."""
        return Tenant(self, next(self._tenants))

    def stop(self) -> None:
        """End everything."""
        for server in self.servers:
            server.stop()
        self.issuer.stop()
        self.grid.stop()
        self.redis.stop()


class Tenant:
    """One tenant's view: its token, and the calls made with its key."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name, self._grid = name, cluster.grid
        self.token = cluster.issuer.token(tenant_id=name, role="tenant_admin")

    def ask(self, node: Server) -> Answer:
        """The tenant's models."""
        return node.get(API, self.token)

    def keys(self) -> list[str]:
        """The keys of this tenant that reached the upstream, one for each call."""
        sent = [value for seen in self._grid.calls(MODELS) for value in seen.all("Authorization")]
        return [value for value in sent if value.endswith(f"_{self.name}")]

    def rotate(self, node: Server, key: str) -> int:
        """Set a new key through a node."""
        body = f'{{"api_key":"{key}"}}'.encode()
        return node.get(CREDENTIALS, self.token, method="POST", body=body).status


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """The cluster, with an upstream that answers one model."""
    _cluster.grid.on(MODELS, {"data": [{"slug": "m/one"}]})
    return _cluster


@pytest.fixture(scope="module")
def edge(_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """nginx before both nodes, with limits that nobody reaches."""
    nodes = [_cluster.one.port, _cluster.other.port]
    made = Edge(tmp_path_factory.mktemp("edge"), nodes, rates=(5000, 5000))
    yield made
    made.stop()


def status(answer: Answer) -> tuple[int, str]:
    """The status, and what the cache says of it."""
    return answer.status, (answer.header("Cache-Status") or "").partition("ttl=")[0]


def detail_of(answer: Answer) -> str:
    """Where a hit came from."""
    return (answer.header("Cache-Status") or "").rpartition("detail=")[2]


def once_written(cluster: Cluster, kind: str, before: list[bytes]) -> list[bytes]:
    """The records that came since."""
    return wait_until(lambda: sorted(set(cluster.redis.names(kind)) - set(before)), f"a new {kind}")


def test_what_one_node_fetched_the_other_has(cluster: Cluster) -> None:
    """The second node answers from the shared cache: one upstream call, the same bytes, and it says so."""
    tenant, before = cluster.tenant(), cluster.redis.names("entry")
    first = tenant.ask(cluster.one)
    once_written(cluster, "entry", before)
    second = tenant.ask(cluster.other)
    assert (1, first.body, "shared") == (len(tenant.keys()), second.body, detail_of(second))


def test_after_that_it_is_a_hit_of_its_own(cluster: Cluster) -> None:
    """What came from the shared cache is then held like any answer."""
    tenant, before = cluster.tenant(), cluster.redis.names("entry")
    tenant.ask(cluster.one)
    once_written(cluster, "entry", before)
    tenant.ask(cluster.other)
    assert (200, "scailookup; hit; ") == status(tenant.ask(cluster.other))


def test_a_thousand_cold_requests_over_two_nodes_are_one_call(cluster: Cluster) -> None:
    """However many ask both nodes at once for the same cold list, the upstream is asked once."""
    cluster.grid.on(MODELS, Reply({"data": [{"slug": "m/one"}]}, delay=1.0))
    tenant = cluster.tenant()
    answers = asyncio.run(herd([cluster.one.port, cluster.other.port], tenant.token))
    assert ({b"200"}, HERD, 1) == (set(answers), len(answers), len(tenant.keys()))


def test_a_thousand_cold_requests_through_nginx_are_one_call(cluster: Cluster, edge: Edge) -> None:
    """nginx deals a herd out over both nodes: all are answered, and the upstream is asked once."""
    cluster.grid.on(MODELS, Reply({"data": [{"slug": "m/one"}]}, delay=1.0))
    tenant, before = cluster.tenant(), [asked(node) for node in (cluster.one, cluster.other)]
    answers = asyncio.run(herd([edge.port], tenant.token, edge.tls))
    assert ({b"200"}, HERD, 1) == (set(answers), len(answers), len(tenant.keys()))
    shares = [asked(node) - n for node, n in zip((cluster.one, cluster.other), before, strict=True)]
    assert (HERD, True) == (sum(shares), all(shares))


def asked(node: Server) -> int:
    """How many lookups a node has answered."""
    lines = node.get("/metrics", admin=True).body.decode().splitlines()
    counts = [line for line in lines if line.startswith("scailookup_requests_total{") and "models" in line]
    return sum(int(float(line.split()[-1])) for line in counts)


def test_a_thousand_cold_requests_over_two_workers_are_one_call(cluster: Cluster) -> None:
    """Workers of one host share in the same way, and the figures of both say who did what."""
    node = cluster.node("serve", "--port", "0", "--workers", "2")
    cluster.grid.on(MODELS, Reply({"data": [{"slug": "m/one"}]}, delay=1.0))
    tenant = cluster.tenant()
    answers = asyncio.run(herd([node.port], tenant.token))
    assert ({b"200"}, HERD, 1) == (set(answers), len(answers), len(tenant.keys()))
    figures = node.get("/metrics", admin=True).body.decode().splitlines()
    fetches = [
        line.split("_total")[1] for line in figures if line.startswith("scailookup_shared_cache_fetches_")
    ]
    assert ['{outcome="called"} 1.0', '{outcome="collapsed"} 1.0'] == fetches
    assert "scailookup_shared_cache_lost 0.0" in figures


async def herd(ports: list[int], token: str, tls: ssl.SSLContext | None = None) -> list[bytes]:
    """The statuses of many requests at once, dealt out over the ports."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * HERD), hard))
    try:
        return await asyncio.gather(*(one_request(ports[n % len(ports)], token, tls) for n in range(HERD)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def one_request(port: int, token: str, tls: ssl.SSLContext | None) -> bytes:
    """The status of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    lines = (f"GET {API} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Connection: close", "", "")
    writer.write("\r\n".join(lines).encode())
    answer = await reader.read()
    writer.close()
    return answer.split(b" ", 2)[1]


def test_a_failure_is_remembered_by_all(cluster: Cluster) -> None:
    """What failed on one node a moment ago is not asked again by the other."""
    node = cluster.node(SCAILOOKUP_FAILURE_MEMORY="60")
    cluster.grid.on(MODELS, BROKEN)
    tenant, before = cluster.tenant(), cluster.redis.names("failure")
    first = tenant.ask(node)
    once_written(cluster, "failure", before)
    second = tenant.ask(cluster.node(SCAILOOKUP_FAILURE_MEMORY="60"))
    assert (1, 502, 502) == (len(tenant.keys()), first.status, second.status)
    assert [first.json["detail"][name] for name in ("error", "message", "fix", "status", "code")] == [
        second.json["detail"][name] for name in ("error", "message", "fix", "status", "code")
    ]


def test_a_refusal_takes_the_list_from_everybody(cluster: Cluster) -> None:
    """An upstream's 403 on one node removes the answer from the shared cache and from every memory."""
    tenant, before = cluster.tenant(), cluster.redis.names("entry")
    tenant.ask(cluster.one)
    (name,) = once_written(cluster, "entry", before)
    tenant.ask(cluster.other)
    cluster.grid.on(MODELS, DENIED)
    asker = cluster.node(SCAILOOKUP_FRESH="0", SCAILOOKUP_STALE="0")
    assert 502 == tenant.ask(asker).status
    for node in (cluster.one, cluster.other):
        wait_until(lambda node=node: tenant.ask(node).status == 502, "the others know")
    assert not cluster.redis.client.exists(name)


def test_a_new_key_is_used_everywhere_at_once(cluster: Cluster) -> None:
    """A key set through one node is the one that the others use, though they held the old one as fresh."""
    tenant = cluster.tenant()
    tenant.ask(cluster.one)
    tenant.ask(cluster.other)
    assert 204 == tenant.rotate(cluster.one, f"sgk_second_{tenant.name}")
    wait_until(lambda: tenant.ask(cluster.other) and len(tenant.keys()) > 1, "the other asks anew")
    assert f"Bearer sgk_second_{tenant.name}" == tenant.keys()[-1]


@pytest.mark.parametrize("harm", ["changed", "swapped"])
def test_what_was_tampered_with_is_not_served(cluster: Cluster, harm: str) -> None:
    """A record that was changed, or put into another list's place, is thrown away and the upstream asked."""
    tenant, foreign, before = cluster.tenant(), cluster.tenant(), cluster.redis.names("entry")
    tenant.ask(cluster.one)
    (name,) = once_written(cluster, "entry", before)
    cluster.grid.on(MODELS, {"data": [{"slug": "m/foreign"}]})
    foreign.ask(cluster.one)
    (other,) = once_written(cluster, "entry", [*before, name])
    value = cluster.redis.client.get(name)
    bad = cluster.redis.client.get(other) if harm == "swapped" else value[:-1] + bytes([value[-1] ^ 1])
    cluster.redis.client.set(name, bad, keepttl=True)
    cluster.grid.on(MODELS, {"data": [{"slug": "m/mended"}]})
    fresh = cluster.node()
    assert ["m/mended"] == [row["slug"] for row in tenant.ask(fresh).json["data"]]
    assert "warning" == fresh.event("shared_cache_rejected")["level"]


def test_nodes_with_another_key_share_nothing(cluster: Cluster) -> None:
    """A node with another sealing key finds nothing of the others, and works."""
    tenant, before = cluster.tenant(), cluster.redis.names("entry")
    tenant.ask(cluster.one)
    once_written(cluster, "entry", before)
    stranger = cluster.node(SCAILOOKUP_CACHE_KEY="another-key-that-seals-nothing-of-theirs")
    assert (200, 2) == (tenant.ask(stranger).status, len(tenant.keys()))


def test_a_reader_of_redis_learns_nothing(cluster: Cluster) -> None:
    """Neither names nor values hold a tenant, a key, a token or a row."""
    tenant, before = cluster.tenant(), cluster.redis.names("entry")
    cluster.grid.on(MODELS, {"data": [{"slug": "m/marker-row"}]})
    tenant.ask(cluster.one)
    once_written(cluster, "entry", before)
    everything = b"\0".join(
        name + (cluster.redis.client.get(name) or b"") for name in cluster.redis.client.keys("*")
    )
    for secret in (b"marker-row", tenant.name.encode(), b"sgk_", tenant.token.encode(), b"scaigrid", b"/v1/"):
        assert secret not in everything


def test_nothing_lies_in_redis_for_ever(cluster: Cluster) -> None:
    """Every record has an end, an entry's no later than it could be of use."""
    cluster.tenant().ask(cluster.one)
    lives = [cluster.redis.client.pttl(name) for name in cluster.redis.client.keys("*")]
    assert lives
    assert all(0 < life <= 3_900_000 for life in lives)
