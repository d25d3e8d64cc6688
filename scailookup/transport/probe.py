"""A connection for looking at: what a name resolves to, and what the other end shows before any request.

Nothing is sent over it. It takes the road that a call takes (no proxy, the same trusted
authorities), and says of a certificate that is refused what the refusal is about.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from urllib.parse import urlsplit

from cryptography import x509

from scailookup.declare import Tls
from scailookup.transport.curl import trust_store

__all__ = ["Certificate", "Connection", "ProbeFailed", "Resolved", "connect_to", "resolve"]

_MOST_ADDRESSES = 8


class ProbeFailed(Exception):
    """It could not be had; the text says why. ``tls``: there was a connection, and no trust.

    ``certificate`` is the one that was refused.
    """

    def __init__(self, text: str, *, tls: bool = False, certificate: Certificate | None = None) -> None:
        super().__init__(text)
        self.tls = tls
        self.certificate = certificate


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who a certificate is of and by, and when it ends."""

    subject: str
    issuer: str
    ends: datetime

    @property
    def days_left(self) -> int:
        """Whole days until its end, negative after it."""
        return (self.ends - datetime.now(UTC)).days


@dataclass(frozen=True, slots=True)
class Resolved:
    """The addresses of a name, in the order to try; None of ``seconds`` where it is an address itself."""

    host: str
    addresses: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that was made: seconds to connect and to agree on TLS, and what was agreed."""

    address: str
    seconds: float
    tls_seconds: float = 0.0
    protocol: str | None = None
    cipher: str | None = None
    certificate: Certificate | None = None


async def resolve(url: str, seconds: float) -> Resolved:
    """What the host of ``url`` resolves to, within ``seconds``; raises ProbeFailed."""
    host, port = _where(url)
    with suppress(ValueError):
        return Resolved(host, (str(ipaddress.ip_address(host)),), None)
    started = monotonic()
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise ProbeFailed(f"the name {host} was not resolved in time") from None
    except (OSError, UnicodeError) as exc:
        raise ProbeFailed(f"the name {host} cannot be resolved: {_words(exc)}") from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    return Resolved(host, addresses[:_MOST_ADDRESSES], monotonic() - started)


async def connect_to(url: str, tls: Tls | None, seconds: float) -> Connection:
    """Connect to where ``url`` leads within ``seconds``, with TLS where it says so; raises ProbeFailed."""
    host, port = _where(url)
    try:
        async with asyncio.timeout(seconds):
            secure = urlsplit(url).scheme == "https"
            context = await asyncio.to_thread(_context, tls) if secure else None
            return await _connected(host, port, context)
    except TimeoutError:
        raise ProbeFailed(f"no connection to {host} port {port} in time") from None
    except ssl.SSLCertVerificationError as exc:
        shown = await _shown(host, port, seconds)
        text = f"the certificate is not trusted: {exc.verify_message}"
        raise ProbeFailed(text, tls=True, certificate=shown) from None
    except ssl.SSLError as exc:
        raise ProbeFailed(f"the TLS handshake failed: {exc.reason or _words(exc)}", tls=True) from None
    except OSError as exc:
        raise ProbeFailed(f"no connection to {host} port {port}: {_words(exc)}") from None


async def _connected(host: str, port: int, context: ssl.SSLContext | None) -> Connection:
    started = monotonic()
    _, writer = await asyncio.open_connection(host, port)
    try:
        address, connected = str(writer.get_extra_info("peername")[0]), monotonic()
        if context is None:
            return Connection(address, connected - started)
        await writer.start_tls(context, server_hostname=host)
        agreed = writer.get_extra_info("ssl_object")
        return Connection(
            address,
            connected - started,
            monotonic() - connected,
            agreed.version(),
            agreed.cipher()[0],
            _certificate(agreed.getpeercert(binary_form=True)),
        )
    finally:
        writer.close()


def _context(tls: Tls | None) -> ssl.SSLContext:
    """What a call of the upstream trusts and shows."""
    context = ssl.create_default_context(cafile=trust_store())
    # As libcurl judges: it takes a trusted intermediate for an end, and what newer Pythons are strict about.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls is not None and tls.ca is not None:
        context.load_verify_locations(tls.ca)
    if tls is not None and tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context


async def _shown(host: str, port: int, seconds: float) -> Certificate | None:
    """The certificate that was just refused, for reading alone: nothing is sent to who shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            return (await _connected(host, port, context)).certificate
    return None


def _certificate(raw: bytes | None) -> Certificate | None:
    try:
        read = x509.load_der_x509_certificate(raw or b"")
        ends = read.not_valid_after_utc
        return Certificate(read.subject.rfc4514_string(), read.issuer.rfc4514_string(), ends)
    except ValueError:
        return None


def _where(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _words(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
