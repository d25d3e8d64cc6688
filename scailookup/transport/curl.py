"""One upstream's connections: pycurl on the event loop, with every comfort off that leaks.

No redirects, no proxy but the operator's, no cookies, no credentials in URLs, paths
sent as they are, https verified, the decoded body counted while it arrives.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import certifi
import pycurl

from scailookup.declare import Tls
from scailookup.errors import CallFailed
from scailookup.model import Reply, Request

__all__ = ["CurlClient", "trust_store"]

_SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_IDLE_HANDLES = 256

_TLS = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
    pycurl.E_SSL_ENGINE_NOTFOUND,
    pycurl.E_USE_SSL_FAILED,
}
_NO_CONNECTION = {
    pycurl.E_COULDNT_CONNECT,
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_RESOLVE_PROXY,
}
_UNREADABLE = {
    pycurl.E_BAD_CONTENT_ENCODING,
    pycurl.E_UNSUPPORTED_PROTOCOL,
    pycurl.E_FTP_WEIRD_SERVER_REPLY,
    100,  # CURLE_TOO_LARGE: a header beyond libcurl's own bound
}
_WORDS = {
    "timeout": "no complete answer within the time allowed",
    "unreachable": "no connection, or it broke before the answer was complete",
    "tls": "the TLS handshake failed or the certificate is not trusted",
    "bad_shape": "the answer is not readable HTTP",
    "too_large": "the answer is larger than allowed",
}


def trust_store() -> str:
    """The CA bundle: SSL_CERT_FILE or OpenSSL's own, else Debian's, else certifi's."""
    cafile = ssl.get_default_verify_paths().cafile
    if cafile:
        return cafile
    return _SYSTEM_BUNDLE if os.path.exists(_SYSTEM_BUNDLE) else certifi.where()


def _tls_options(tls: Tls, cafile: str) -> dict[int, Any]:
    """An upstream's own certificates: its authority besides the usual ones, and the client's."""
    options: dict[int, Any] = {}
    if tls.ca is not None:
        options[pycurl.CAINFO_BLOB] = b"\n".join([Path(name).read_bytes() for name in (cafile, tls.ca)])
    if tls.cert is not None:
        options[pycurl.SSLCERT] = str(tls.cert)
        options[pycurl.SSLKEY] = str(tls.key or tls.cert)
    return options


class _Headers(Mapping[str, str]):
    """A reply's headers by lower-case name, read when somebody asks: most replies nobody does."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._read: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._read is None:
            self._read = {}
            # What came last is the answer; a 1xx may have come before.
            for line in self._raw.decode("latin-1").rpartition("\nHTTP/")[2].split("\n")[1:]:
                name, colon, value = line.partition(":")
                name, value = name.strip().lower(), value.strip()
                if colon:
                    before = self._read.get(name)
                    self._read[name] = value if before is None else f"{before}, {value}"
        return self._read

    def __getitem__(self, name: str) -> str:
        # Most questions are for headers that did not come.
        if self._read is None and name.encode("latin-1") not in self._raw.lower():
            raise KeyError(name)
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class _Transfer:
    """A curl handle and what its transfer has received so far. The options that never change are set once."""

    def __init__(self, options: Mapping[int, Any], limit: int) -> None:
        self.handle = pycurl.Curl()
        self._limit = limit
        self.headers = bytearray()
        self.connect_ms = 0
        self.begin()
        for option, value in options.items():
            self.handle.setopt(option, value)
        self.handle.setopt(pycurl.PREREQFUNCTION, self._on_request)
        self.handle.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self.handle.setopt(pycurl.HEADERFUNCTION, self.headers.extend)

    def begin(self) -> None:
        """Forget the transfer before."""
        self.sent = self.too_large = False
        self.left = self._limit
        self.body: list[bytes] = []
        self.headers.clear()

    def _on_request(self, *_addresses: Any) -> int:
        """Called before each request that libcurl sends: it would quietly send a second one."""
        again, self.sent = self.sent, True
        return int(pycurl.PREREQFUNC_ABORT if again else pycurl.PREREQFUNC_OK)

    def _on_body(self, chunk: bytes) -> int | None:
        self.left -= len(chunk)
        if self.left < 0:
            self.too_large = True
            self.body.clear()
            return 0  # tells libcurl to stop; None would accept the chunk
        self.body.append(chunk)
        return None


class CurlClient:
    """A pool of connections to one upstream. Make it after any fork, close it on its loop.

    Libcurl cannot unset some options on a handle and curl handles shared across a
    fork mix up answers: one client belongs to one upstream and one process.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        max_body: int,
        proxy: str | None = None,
        cafile: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._max_body = max_body
        self._multi: pycurl.AsyncCurlMulti | None = None
        self._idle: list[_Transfer] = []
        self._options = {
            pycurl.ACCEPT_ENCODING: "",  # all that this libcurl can decode
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PATH_AS_IS: 1,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            # An empty proxy is the only way to say "none, whatever the environment has".
            pycurl.PROXY: proxy or "",
            pycurl.NOPROXY: "" if proxy else "*",
            pycurl.NOSIGNAL: 1,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
            pycurl.PIPEWAIT: 1,
            pycurl.CAINFO: cafile or trust_store(),
            pycurl.SSL_VERIFYPEER: 1,
            pycurl.SSL_VERIFYHOST: 2,
        }
        if tls is not None:
            self._options |= _tls_options(tls, cafile or trust_store())

    async def __call__(self, request: Request, *, deadline: float) -> Reply:
        """Send ``request`` and read the whole answer before ``deadline`` (loop time).

        Raises CallFailed with our code: timeout, unreachable, tls, too_large, bad_shape.
        """
        left = deadline - monotonic()
        if left <= 0.001:
            raise CallFailed("timeout", _WORDS["timeout"])
        if self._multi is None:
            self._multi = pycurl.AsyncCurlMulti()
        plain = request.method == "GET" and request.body is None
        transfer = self._idle.pop() if plain and self._idle else _Transfer(self._options, self._max_body)
        self._prepare(transfer, request, left)
        try:
            await self._multi.perform(transfer.handle)
        except pycurl.error as exc:
            raise _failure(exc.args[0], transfer, request.reads or request.method == "GET") from None
        status = transfer.handle.getinfo(pycurl.RESPONSE_CODE)
        reply = Reply(status, _Headers(bytes(transfer.headers)), b"".join(transfer.body))
        # Only a handle that ended well is used again: a broken or cancelled one may still be attached.
        if plain and len(self._idle) < _IDLE_HANDLES:
            transfer.begin()
            self._idle.append(transfer)
        return reply

    def _prepare(self, transfer: _Transfer, request: Request, left: float) -> None:
        """Set what differs from one request to the next."""
        handle = transfer.handle
        lines = [f"{name}: {value}".encode("latin-1") for name, value in request.headers]
        handle.setopt(pycurl.URL, request.url.encode("ascii"))
        handle.setopt(pycurl.TIMEOUT_MS, max(1, int(left * 1000)))
        connect_ms = max(1, int(min(left, self._connect_timeout) * 1000))
        if connect_ms != transfer.connect_ms:
            transfer.connect_ms = connect_ms
            handle.setopt(pycurl.CONNECTTIMEOUT_MS, connect_ms)
        if request.method != "GET":
            handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        if request.body is not None:
            lines.append(b"Expect:")
            handle.setopt(pycurl.POSTFIELDS, request.body)
        handle.setopt(pycurl.HTTPHEADER, lines)

    async def close(self) -> None:
        """End every transfer and connection."""
        for transfer in self._idle:
            transfer.handle.close()
        self._idle.clear()
        if self._multi is not None:
            await self._multi.aclose()
            self._multi = None


def _failure(number: int, transfer: _Transfer, reads: bool) -> CallFailed:
    """What curl's error ``number`` means for the caller, and whether the call may be made again."""
    status = transfer.handle.getinfo(pycurl.RESPONSE_CODE) or None
    sent = transfer.handle.getinfo(pycurl.REQUEST_SIZE) > 0
    if transfer.too_large:
        return CallFailed("too_large", _WORDS["too_large"], status=status)
    if number == pycurl.E_OPERATION_TIMEDOUT:
        # Nothing sent: it was the connect that took too long.
        return CallFailed("timeout", _WORDS["timeout"], status=status, repeatable=not sent)
    if number in _NO_CONNECTION:
        return CallFailed("unreachable", _WORDS["unreachable"], repeatable=True)
    if number in _TLS:
        return CallFailed("tls", _WORDS["tls"])
    if number in _UNREADABLE:
        return CallFailed("bad_shape", _WORDS["bad_shape"], status=status)
    # The connection broke; before any byte of the answer what only reads may be sent again.
    again = not transfer.headers and (reads or not sent)
    return CallFailed("unreachable", _WORDS["unreachable"], status=status, repeatable=again)
