"""Real parts on loopback for black-box tests: a scripted upstream, an identity provider, the product itself.

Everything is synchronous to the test: servers live in threads, the product in a process. Nothing is patched.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import gzip
import ipaddress
import itertools
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms

GUARD = 120.0
AUDIENCE = "app_scaiflow"
PLATFORM_DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"
ROOT_DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys/jwks.json"


class _Headers:
    """Header access by name, for requests and answers alike."""

    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the only value of a header, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True)
class Seen(_Headers):
    """One request as it came in, nothing decoded."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """The raw path without the query (a proxy's absolute form is cut down to it)."""
        target = "/" + self.target.split("/", 3)[3] if self.target.startswith("http") else self.target
        return target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded query."""
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)


@dataclass(frozen=True)
class Reply:
    """What an upstream answers: bytes as they stand, a str as HTML, anything else as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    delay: float = 0.0
    reset: bool = False  # close the connection before any byte
    cut: bool = False  # promise the whole body, send half of it
    gzip: bool = False

    def payload(self) -> bytes:
        """Return the body as bytes, compressed where asked for."""
        body = self.body
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return gzip.compress(body) if self.gzip else body

    def wire(self, head_only: bool) -> bytes:
        """Return the answer as it goes over the wire."""
        pairs = list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)
        body = self.payload()
        kind = "text/html" if isinstance(self.body, str) else "application/json"
        if "content-type" not in {name.lower() for name, _ in pairs}:
            pairs.append(("Content-Type", kind))
        pairs += [("Content-Encoding", "gzip")] if self.gzip else []
        pairs.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        sent = b"" if head_only else body[: len(body) // 2] if self.cut else body
        return f"HTTP/1.1 {self.status} Scripted\r\n{head}\r\n".encode("latin-1") + sent


Script = Callable[[Seen], Any]
UNSCRIPTED = Reply({"error": {"code": "NOT_SCRIPTED", "message": "not scripted"}}, 404)


class Upstream:
    """A scripted loopback server that keeps every request it got."""

    def __init__(self, tls: bool | Path = False, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._script: dict[str, list[Any]] = {}
        self._stopping = threading.Event()
        self.requests: list[Seen] = []
        self._server = _LoopbackServer(("127.0.0.1", port), _handler(self))
        if tls:
            context = _self_signed() if tls is True else _context(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def on(self, path: str, *replies: Any) -> None:
        """Answer a raw path with replies in turn (the last stays); a callable is asked, JSON is wrapped."""
        with self._lock:
            self._script[path] = list(replies)

    def calls(self, path: str | None = None) -> list[Seen]:
        """Return the requests so far, of one raw path where given."""
        with self._lock:
            return [seen for seen in self.requests if path in (None, seen.path)]

    def forget(self) -> None:
        """Drop the script and the record."""
        with self._lock:
            self._script.clear()
            self.requests.clear()

    def stop(self) -> None:
        """Close the listener and every connection, and let delayed answers go."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()

    def answer(self, seen: Seen) -> Reply:
        """Record a request and choose its reply."""
        with self._lock:
            self.requests.append(seen)
            replies = self._script.get(seen.path, [UNSCRIPTED])
            chosen = replies.pop(0) if len(replies) > 1 else replies[0]
        chosen = chosen(seen) if callable(chosen) else chosen
        reply = chosen if isinstance(chosen, Reply) else Reply(chosen)
        self._stopping.wait(reply.delay) if reply.delay else None
        return reply


class _LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep the connection in sight, and serve it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End every connection, kept ones too."""
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of many tests: say nothing."""


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target = self.requestline.split(" ")[1]  # self.path folds a leading "//"
            reply = upstream.answer(Seen(self.command, target, tuple(self.headers.items()), body))
            if reply.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.wfile.write(reply.wire(self.command == "HEAD"))
            self.close_connection = self.close_connection or reply.reset or reply.cut

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_CONNECT = _serve

        def log_message(self, *args: Any) -> None:
            """Keep quiet."""

    return Handler


def certificate(path: Path, days: int = 1) -> Path:
    """Write a key and a certificate of 127.0.0.1 signed by it into one file; below 0 days it is over."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    day = datetime.timedelta(days=1)
    builder = builder.not_valid_before(now - 400 * day).not_valid_after(now + days * day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


def _self_signed() -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as directory:
        return _context(certificate(Path(directory) / "server.pem"))


def _context(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@functools.lru_cache
def rsa_key(which: str) -> rsa.RSAPrivateKey:
    """Return one RSA key per name, made once a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.lru_cache
def ec_key(which: str) -> ec.EllipticCurvePrivateKey:
    """Return one P-256 key per name."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: Any) -> bytes:
    """Return the public half as PEM, the bytes of the HS256 confusion attack."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki)


def encode(header: Mapping[str, Any], payload: Any, key: Any) -> str:
    """Sign anything as a compact JWS by the header's `alg`, however unwise."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    message = b".".join(parts)
    signature = get_default_algorithms()[header["alg"]].sign(message, key)
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Issuer:
    """A ScaiKey: discovery at either path, a JWKS that rotates, fails or lags, and tokens of any quality."""

    _serial = itertools.count(1)

    def __init__(self) -> None:
        self.http = Upstream()
        self.base = self.http.base
        self.platform = self.root = True  # which discovery paths answer
        self.failing: Reply | None = None  # what the JWKS answers instead
        self.delay = 0.0
        self.keys: dict[str, Any] = {"rsa-1": rsa_key("rsa-1"), "ec-1": ec_key("ec-1")}
        self.http.on(PLATFORM_DISCOVERY, lambda _: self._discovery(self.platform))
        self.http.on(ROOT_DISCOVERY, lambda _: self._discovery(self.root))
        self.http.on(JWKS, lambda _: self.failing or Reply(self.jwks(), delay=self.delay))

    @property
    def fetches(self) -> int:
        """How often the JWKS was asked for."""
        return len(self.http.calls(JWKS))

    def jwks(self) -> dict[str, Any]:
        """Return the published key set."""
        return {"keys": [_jwk(kid, key) for kid, key in self.keys.items()]}

    def rotate(self, kid: str) -> str:
        """Publish one more RSA key and return its kid."""
        self.keys[kid] = rsa_key(kid)
        return kid

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a tenant viewer, changed; a claim set to None is left out."""
        now, serial = int(time.time()), next(self._serial)
        claims = {"iss": self.base, "aud": AUDIENCE, "sub": f"usr_{serial}", "tenant_id": "tnt_acme"}
        claims |= {"iat": now, "exp": now + 3600, "jti": f"jti_{serial}", "roles": ["tenant_viewer"]}
        claims |= changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, *, kid: str = "rsa-1", key: Any = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """Sign a token: `header` changes header fields (None drops one), `key` signs instead of the kid's."""
        key = key or self.keys[kid]
        alg = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        fields = {"alg": alg, "typ": "JWT", "kid": kid} | dict(header or {})
        return encode({k: v for k, v in fields.items() if v is not None}, self.claims(**claims), key)

    def stop(self) -> None:
        """Close the listener."""
        self.http.stop()

    def _discovery(self, on: bool) -> Reply:
        document = {"issuer": self.base, "jwks_uri": self.base + JWKS}
        return Reply(document) if on else Reply({"error": "not_found"}, 404)


def _jwk(kid: str, key: Any) -> dict[str, Any]:
    kind, alg = (RSAAlgorithm, "RS256") if isinstance(key, rsa.RSAPrivateKey) else (ECAlgorithm, "ES256")
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": alg}


@dataclass(frozen=True)
class Answer(_Headers):
    """One answer of the product."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


def fetch(
    port: int,
    target: str,
    method: str = "GET",
    headers: Pairs = (),
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request over a bare socket, the target untouched, and read its answer."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if body or method in {"POST", "PUT", "PATCH"}:
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in pairs]
    plain = socket.create_connection(("127.0.0.1", port), timeout=GUARD)
    with tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        with HTTPResponse(sock, method=method) as response:
            response.begin()
            return Answer(response.status, tuple(response.getheaders()), response.read())


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without anything that could configure the product, plus settings."""
    foreign = ("SCAI", "OTEL", "VAULT", "BAO", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    return kept | {"SCAILOOKUP_ADMIN": "127.0.0.1:0"} | dict(settings)


class NeverListened(Exception):
    """The process ended before it served."""

    def __init__(self, status: int, lines: list[str]) -> None:
        super().__init__(f"exit status {status}\n" + "\n".join(lines))
        self.status, self.lines = status, lines


class Server:
    """`scailookup serve` as a process, every line of its stderr kept."""

    def __init__(self, settings: Mapping[str, str], *args: str) -> None:
        command = [sys.executable, "-m", "scailookup", *(args or ("serve", "--port", "0"))]
        self._changed, self._ended = threading.Condition(), False
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            command, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.listening = self.event("listening")
        except BaseException:
            self.stop()
            raise
        self.port = int(self.listening["port"])
        admin = urlsplit(self.listening.get("admin_url") or "")
        self.admin_port = admin.port

    def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """Wait for a logged event with these fields."""
        with self._changed:
            self._changed.wait_for(lambda: self._found(name, fields) or self._ended, GUARD)
            found = self._found(name, fields)
        if found is None and self._ended:
            raise NeverListened(self.process.wait(GUARD), self.lines)
        assert found is not None, f"no event {name} {fields} in {GUARD} s"
        return found

    def get(
        self,
        path: str,
        token: str | None = None,
        headers: Pairs = (),
        method: str = "GET",
        body: bytes = b"",
        admin: bool = False,
    ) -> Answer:
        """Ask for a raw path; `token` goes out as a bearer."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        pairs += [("Authorization", f"Bearer {token}")] if token else []
        return fetch((self.admin_port or 0) if admin else self.port, path, method, pairs, body)

    def stop(self) -> int:
        """End the process with SIGTERM (by its id) and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(10)
        return status

    def _found(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        wanted = {"event": name, **fields}.items()
        return next((event for event in self.events if wanted <= _plain(event).items()), None)

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self.events += _parsed(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not isinstance(value, (list, dict))}


def _parsed(line: str) -> list[dict[str, Any]]:
    try:
        event = json.loads(line)
    except ValueError:
        return []
    return [event] if isinstance(event, dict) else []


def start_status(settings: Mapping[str, str], *args: str) -> tuple[int, list[str]]:
    """Start the server and return its exit status and stderr; one that serves is stopped at once."""
    try:
        server = Server(settings, *args)
    except NeverListened as ended:
        return ended.status, ended.lines
    return server.stop(), server.lines


def run_cli(
    *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str, str]:
    """Run one command to its end and return status, stdout, stderr."""
    command = [sys.executable, "-m", "scailookup", *args]
    done = subprocess.run(
        command, env=environment(env or {}), cwd=cwd, capture_output=True, text=True, timeout=GUARD
    )
    return done.returncode, done.stdout, done.stderr
