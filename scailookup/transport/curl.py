"""One upstream's connections: pycurl on the event loop, with every comfort off that leaks.

No redirects, no proxy but the operator's, no cookies, no credentials in URLs, paths
sent as they are, https verified, the decoded body counted while it arrives.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import certifi
import pycurl

from scailookup.errors import CallFailed
from scailookup.model import Reply, Request

__all__ = ["CurlClient", "trust_store"]

_SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_IDLE_HANDLES = 64

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


class _Exchange:
    """What one transfer has received so far."""

    __slots__ = ("body", "headers", "limit", "received", "started", "too_large")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.received = 0
        self.started = False
        self.too_large = False
        self.body: list[bytes] = []
        self.headers: dict[str, str] = {}

    def on_request(self, *_addresses: Any) -> int:
        """Called before each request that libcurl sends: it would quietly send a second one."""
        again, self.started = self.started, True
        return int(pycurl.PREREQFUNC_ABORT if again else pycurl.PREREQFUNC_OK)

    def on_header(self, line: bytes) -> None:
        text = line.decode("latin-1").strip()
        self.received += len(line)
        if text.startswith("HTTP/"):
            self.headers.clear()  # a 1xx came before
        elif ":" in text:
            name, _, value = text.partition(":")
            name, value = name.strip().lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    def on_body(self, chunk: bytes) -> int | None:
        self.limit -= len(chunk)
        if self.limit < 0:
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
        self, *, connect_timeout: float, max_body: int, proxy: str | None = None, cafile: str | None = None
    ) -> None:
        self._connect_timeout = connect_timeout
        self._max_body = max_body
        self._proxy = proxy
        self._cafile = cafile or trust_store()
        self._multi: pycurl.AsyncCurlMulti | None = None
        self._idle: list[pycurl.Curl] = []

    async def __call__(self, request: Request, *, deadline: float) -> Reply:
        """Send ``request`` and read the whole answer before ``deadline`` (loop time).

        Raises CallFailed with our code: timeout, unreachable, tls, too_large, bad_shape.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0.001:
            raise CallFailed("timeout", _WORDS["timeout"])
        if self._multi is None:
            self._multi = pycurl.AsyncCurlMulti()
        exchange = _Exchange(self._max_body)
        handle = self._idle.pop() if self._idle else pycurl.Curl()
        self._prepare(handle, request, exchange, left)
        try:
            await self._multi.perform(handle)
        except pycurl.error as exc:
            raise self._failure(exc.args[0], handle, exchange, request.method) from None
        reply = Reply(handle.getinfo(pycurl.RESPONSE_CODE), exchange.headers, b"".join(exchange.body))
        # Only a handle that ended well is used again: a broken or cancelled one may still be attached.
        if len(self._idle) < _IDLE_HANDLES:
            handle.reset()
            self._idle.append(handle)
        return reply

    def _prepare(self, handle: Any, request: Request, exchange: _Exchange, left: float) -> None:
        lines = [f"{name}: {value}".encode("latin-1") for name, value in request.headers]
        options = {
            pycurl.URL: request.url.encode("ascii"),
            pycurl.HTTPHEADER: [*lines, b"Expect:"],
            pycurl.ACCEPT_ENCODING: "",  # all that this libcurl can decode
            pycurl.PREREQFUNCTION: exchange.on_request,
            pycurl.HEADERFUNCTION: exchange.on_header,
            pycurl.WRITEFUNCTION: exchange.on_body,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PATH_AS_IS: 1,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            # An empty proxy is the only way to say "none, whatever the environment has".
            pycurl.PROXY: self._proxy or "",
            pycurl.NOPROXY: "" if self._proxy else "*",
            pycurl.NOSIGNAL: 1,
            pycurl.TIMEOUT_MS: max(1, int(left * 1000)),
            pycurl.CONNECTTIMEOUT_MS: max(1, int(min(left, self._connect_timeout) * 1000)),
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
            pycurl.PIPEWAIT: 1,
            pycurl.CAINFO: self._cafile,
            pycurl.SSL_VERIFYPEER: 1,
            pycurl.SSL_VERIFYHOST: 2,
        }
        for option, value in options.items():
            handle.setopt(option, value)
        if request.method != "GET":
            handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        if request.body is not None:
            handle.setopt(pycurl.POSTFIELDS, request.body)

    def _failure(self, number: int, handle: Any, exchange: _Exchange, method: str) -> CallFailed:
        status = handle.getinfo(pycurl.RESPONSE_CODE) or None
        sent = handle.getinfo(pycurl.REQUEST_SIZE) > 0
        if exchange.too_large:
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
        # The connection broke; before any byte of the answer a GET may be sent again.
        again = exchange.received == 0 and (method == "GET" or not sent)
        return CallFailed("unreachable", _WORDS["unreachable"], status=status, repeatable=again)

    async def close(self) -> None:
        """End every transfer and connection."""
        for handle in self._idle:
            handle.close()
        self._idle.clear()
        if self._multi is not None:
            await self._multi.aclose()
            self._multi = None
