"""CurlClient against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes import Says, Wire, ok, wire

from scailookup.declare import Tls
from scailookup.errors import CallFailed
from scailookup.model import Reply, Request
from scailookup.transport import CurlClient

MAX = 10_000
HANG = Says(then="hang")


@contextlib.asynccontextmanager
async def client(**more) -> AsyncIterator[CurlClient]:
    """A client that is closed with the block."""
    made = CurlClient(**{"connect_timeout": 5.0, "max_body": MAX, **more})
    try:
        yield made
    finally:
        await made.close()


async def get(curl: CurlClient, server: Wire, path: str = "/", seconds: float = 30.0, **more) -> Reply:
    """One request to ``server``."""
    request = Request(f"{more.pop('base', f'http://127.0.0.1:{server.port}')}{path}", **more)
    return await curl(request, deadline=asyncio.get_running_loop().time() + seconds)


async def failure(curl: CurlClient, server: Wire, path: str = "/", **more) -> CallFailed:
    """How one request to ``server`` fails."""
    with pytest.raises(CallFailed) as caught:
        await get(curl, server, path, **more)
    return caught.value


@pytest.mark.gen_test
async def test_a_reply():
    """Status, headers in lower case and body come back."""
    async with wire(ok(b"[1]", "X-One: a", "x-one: b", status="201 Made")) as server, client() as curl:
        reply = await get(curl, server)
    assert (201, b"[1]", "a, b", "3") == (
        *(reply.status, reply.body),
        *(reply.headers["x-one"], reply.headers["content-length"]),
    )


@pytest.mark.gen_test
async def test_an_interim_answer_is_not_the_answer():
    """Headers of a 1xx do not mix with those of the answer."""
    early = Says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(b"[]").data)
    async with wire(early) as server, client() as curl:
        reply = await get(curl, server)
    assert (200, False) == (reply.status, "link" in reply.headers)


@pytest.mark.gen_test
async def test_a_version_in_a_header_hides_no_header():
    """A proxy's Via says HTTP/1.1 too."""
    head = b"HTTP/1.1 200 OK\r\nLink: </2>; rel=next\r\nVia: HTTP/1.1 edge\r\nContent-Length: 2\r\n\r\n[]"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with wire(Says(head), Says(early + head)) as server, client() as curl:
        for _ in range(2):
            reply = await get(curl, server)
            assert ("</2>; rel=next", "HTTP/1.1 edge") == (reply.headers["link"], reply.headers["via"])


@pytest.mark.gen_test
async def test_headers_that_leave():
    """What leaves is the request's headers, Host and Accept-Encoding; nothing else."""
    headers = (("Accept", "application/json"), ("User-Agent", "scailookup/1"), ("X-Api-Key", "k"))
    async with wire() as server, client() as curl:
        await get(curl, server, headers=headers)
    first, *rest = server.lines()
    names = sorted(line.partition(":")[0].lower() for line in rest)
    assert ("GET / HTTP/1.1", ["accept", "accept-encoding", "host", "user-agent", "x-api-key"]) == (
        first,
        names,
    )


@pytest.mark.gen_test
async def test_nothing_of_a_request_stays_on_the_handle():
    """A handle used again sends none of the headers, method or body before it."""
    async with wire() as server, client() as curl:
        await get(curl, server, method="PUT", body=b"", headers=(("Authorization", "Bearer a"),))
        await get(curl, server, "/2", headers=(("Accept", "x"),))
    first, *rest = server.lines(1)
    assert ("GET /2 HTTP/1.1", False, False) == (
        first,
        *(
            any(line.lower().startswith(name) for line in rest)
            for name in ("authorization", "content-length")
        ),
    )


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/a/../b", "/a/%2E%2E/b", "/./a", "/a%2Fb", "//a", "/%7Ea?b=%20&c"])
async def test_the_path_goes_as_it_is(path):
    """No dot segment is folded and no escape rewritten."""
    async with wire() as server, client() as curl:
        await get(curl, server, path)
    assert f"GET {path} HTTP/1.1" == server.lines()[0]


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_no_proxy_of_the_environment(monkeypatch, name):
    """A proxy that the environment names sees nothing."""
    async with wire() as proxy, wire() as server, client() as curl:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        await get(curl, server)
    assert (0, 1) == (proxy.connections, server.connections)


@pytest.mark.gen_test
async def test_the_operators_proxy(monkeypatch):
    """A proxy that the settings name is used, even for loopback and against no_proxy."""
    monkeypatch.setenv("no_proxy", "*")
    async with wire() as proxy, wire() as server, client(proxy=f"http://127.0.0.1:{proxy.port}") as curl:
        await get(curl, server)
    assert (1, 0) == (proxy.connections, server.connections)


@pytest.mark.gen_test
async def test_a_redirect_is_not_followed():
    """A redirect comes back as it is, and the other host hears nothing."""
    async with wire() as other:
        moved = ok(b"", f"Location: http://127.0.0.1:{other.port}/", status="302 Found")
        async with wire(moved) as server, client() as curl:
            reply = await get(curl, server)
    assert (302, 0) == (reply.status, other.connections)


@pytest.mark.gen_test
async def test_no_cookie_is_kept():
    """A cookie that was set does not come back."""
    async with wire(ok(b"{}", "Set-Cookie: a=b")) as server, client() as curl:
        await get(curl, server)
        await get(curl, server)
    assert not [line for line in server.lines(1) if line.lower().startswith("cookie")]


@pytest.mark.gen_test
async def test_connections_are_kept():
    """The connection is used again for the second of two requests."""
    async with wire() as server, client() as curl:
        await get(curl, server)
        await get(curl, server)
    assert (1, 2) == (server.connections, len(server.requests))


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "code"), [(MAX, None), (MAX + 1, "too_large"), (MAX * 50, "too_large")])
async def test_too_large(size, code):
    """A body may have exactly as many bytes as allowed."""
    async with wire(ok(b"x" * size)) as server, client() as curl:
        found = await failure(curl, server) if code else None
        size = size if code else len((await get(curl, server)).body)
    assert (code, size) == (found and found.code, size)


@pytest.mark.gen_test
async def test_a_gzip_bomb():
    """What counts is the decoded body."""
    bomb = ok(gzip.compress(b"0" * 20_000_000), "Content-Encoding: gzip")
    async with wire(bomb) as server, client() as curl:
        failed = await failure(curl, server)
    assert ("too_large", 200, False) == (failed.code, failed.status, failed.repeatable)


@pytest.mark.gen_test
async def test_gzip_is_decoded():
    """A compressed body comes back as it was."""
    async with wire(ok(gzip.compress(b"[1]"), "Content-Encoding: gzip")) as server, client() as curl:
        assert b"[1]" == (await get(curl, server)).body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("says", "code", "again"),
    [
        (Says(then="reset"), "unreachable", True),
        (Says(then="close"), "unreachable", True),
        (Says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "close"), "unreachable", False),
        (Says(b"HTTP/1.1 200 OK\r\nConte", "reset"), "unreachable", False),
        (Says(b"SSH-2.0-OpenSSH_9.6\r\n", "close"), "bad_shape", False),
        (Says(ok(b"no gzip", "Content-Encoding: gzip").data, "close"), "bad_shape", False),
    ],
)
async def test_broken_answers(says, code, again):
    """Only a connection that broke before any byte of the answer may be tried again."""
    async with wire(says) as server, client() as curl:
        failed = await failure(curl, server)
    assert (code, again) == (failed.code, failed.repeatable)


@pytest.mark.gen_test
async def test_a_post_that_was_sent_is_never_repeatable():
    """Of a POST nobody knows whether it was done."""
    async with wire(Says(then="reset")) as server, client() as curl:
        assert not (await failure(curl, server, method="POST", body=b"")).repeatable


@pytest.mark.gen_test
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_dying_connection_is_not_repeated_in_secret(then):
    """A kept connection that dies under a request costs that request; libcurl sends no second one."""
    async with wire(ok(), Says(then=then), ok()) as server, client() as curl:
        await get(curl, server)
        failed = await failure(curl, server, "/second")
    assert (2, "unreachable", True) == (len(server.requests), failed.code, failed.repeatable)


@pytest.mark.gen_test
async def test_the_client_lives_on_after_a_failure():
    """The next request finds a connection that works."""
    async with wire(Says(then="reset"), ok(b"[1]")) as server, client() as curl:
        await failure(curl, server)
        assert b"[1]" == (await get(curl, server)).body


@pytest.mark.gen_test
async def test_nobody_listens():
    """A refused connection is unreachable and may be tried again."""
    async with wire() as server:
        pass
    async with client() as curl:
        failed = await failure(curl, server)
    assert ("unreachable", True, None) == (failed.code, failed.repeatable, failed.status)


@pytest.mark.gen_test
@pytest.mark.parametrize("says", [HANG, Says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "hang")])
async def test_timeout(says):
    """No complete answer before the deadline is a timeout, and what was sent is not sent again."""
    async with wire(says) as server, client() as curl:
        failed = await failure(curl, server, seconds=1.0)
    assert ("timeout", False) == (failed.code, failed.repeatable)


@pytest.mark.gen_test
@pytest.mark.parametrize("seconds", [0.0, -5.0])
async def test_past_the_deadline_nothing_is_sent(seconds):
    """A deadline that is over is a timeout without a connection."""
    async with wire() as server, client() as curl:
        failed = await failure(curl, server, seconds=seconds)
    assert ("timeout", 0) == (failed.code, server.connections)


@pytest.mark.gen_test
async def test_a_connect_that_hangs_may_be_tried_again():
    """The connect has a limit of its own, and nothing was sent then."""
    with socket.socket() as full, contextlib.ExitStack() as queue:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # fill what the kernel keeps for a server that never accepts
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        server = Wire([])
        server.port = full.getsockname()[1]
        async with client(connect_timeout=0.2) as curl:
            failed = await failure(curl, server)
    assert ("timeout", True) == (failed.code, failed.repeatable)


@pytest.mark.gen_test
async def test_a_cancelled_transfer_is_aborted():
    """Who leaves takes the connection along, and the client serves the next."""
    async with wire(HANG, ok(b"[1]")) as server, client() as curl:
        task = asyncio.ensure_future(get(curl, server))
        await server.asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.gone.wait()
        assert (True, b"[1]") == (task.cancelled(), (await get(curl, server)).body)


@pytest.mark.gen_test
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/hostname", "gopher://127.0.0.1:1/x"])
async def test_http_and_https_only(url):
    """No other protocol of libcurl can be reached."""
    async with client() as curl:
        failed = await failure(curl, Wire([]), "", base=url)
    assert "bad_shape" == failed.code


# TLS


def certificate(directory: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for an address: its file, and a server's context."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, private = directory / "cert.pem", directory / "key.pem"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            *(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return pem, context


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("address", "trusted", "code"),
    [("127.0.0.1", True, None), ("127.0.0.1", False, "tls"), ("127.0.0.2", True, "tls")],
)
async def test_https_is_verified(tmp_path, address, trusted, code):
    """A certificate must be trusted and be the host's; without that nothing is sent."""
    pem, context = certificate(tmp_path, address)
    async with wire(tls=context) as server, client(cafile=str(pem) if trusted else None) as curl:
        base = f"https://127.0.0.1:{server.port}"
        found = await failure(curl, server, base=base) if code else await get(curl, server, base=base)
    assert (code, 0 if code else 1) == (getattr(found, "code", None), len(server.requests))


@pytest.mark.gen_test
async def test_an_authority_of_its_own(tmp_path):
    """An upstream's own authority is trusted besides the usual ones, which stay."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    usual, first = certificate(tmp_path / "one", "127.0.0.1")
    own, second = certificate(tmp_path / "two", "127.0.0.1")
    async with (
        wire(tls=first) as known,
        wire(tls=second) as private,
        client(cafile=str(usual)) as without,
        client(cafile=str(usual), tls=Tls(ca=own)) as curl,
    ):
        codes = [(await failure(without, private, base=f"https://127.0.0.1:{private.port}")).code]
        for server in (known, private):
            codes.append((await get(curl, server, base=f"https://127.0.0.1:{server.port}")).status)
    assert ["tls", 200, 200] == codes


@pytest.mark.gen_test
@pytest.mark.parametrize("shown", [True, False])
async def test_a_client_certificate(tmp_path, shown):
    """An upstream that wants a certificate gets the declared one; without it the handshake fails."""
    pem, context = certificate(tmp_path, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # later the refusal comes with the first byte only
    tls = Tls(cert=pem, key=tmp_path / "key.pem") if shown else None
    async with wire(tls=context) as server, client(cafile=str(pem), tls=tls) as curl:
        try:
            outcome = str((await get(curl, server, base=f"https://127.0.0.1:{server.port}")).status)
        except CallFailed as exc:
            outcome = exc.code
    assert ("200" if shown else "tls") == outcome


@pytest.mark.gen_test
@pytest.mark.parametrize(("reads", "again"), [(True, True), (False, False)])
async def test_a_post_that_reads_may_be_sent_again(reads, again):
    """A POST that only asks is repeatable where a GET is."""
    async with wire(Says(then="reset")) as server, client() as curl:
        failed = await failure(curl, server, method="POST", body=b"{}", reads=reads)
    assert again is failed.repeatable
