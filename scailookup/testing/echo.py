"""A real upstream on loopback that keeps what it was sent, and says so unless told otherwise."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from scailookup.model import Reply
from scailookup.testing.script import Script, Sent, reply

__all__ = ["Echo"]


class Echo:
    """``with Echo() as upstream:`` an HTTP server at ``upstream.url``; ``requests`` is what it received.

    ``replies`` are as of ``look_up``. To anything else it answers a list of one record:
    ``{"data": [{"id", "method", "target", "headers", "body"}]}``.
    """

    def __init__(self, replies: Mapping[str, Any] | None = None) -> None:
        self._script = Script(replies or {})
        self.requests: list[Sent] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="echo")

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, sent: Sent) -> Reply:
        self.requests.append(sent)
        return self._script.answer(sent) or reply({"data": [_record(sent, len(self.requests))]})


def _record(sent: Sent, number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "method": sent.method,
        "target": sent.target,
        "headers": dict(sent.headers),
        "body": sent.body.decode(errors="replace"),
    }


def _handler(answer: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else the last lines of a connection kept alive wait for an acknowledgement.
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host = headers.get("host", "")
            try:
                found = answer(Sent(self.command, self.path, headers, body, f"http://{host}{self.path}"))
            except Exception as exc:  # scripted: as near to it as a server can come
                found = reply({"error": {"code": type(exc).__name__}}, 500)
            self.send_response(found.status)
            for name, value in ({"content-type": "application/json"} | dict(found.headers)).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = _any

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed: `requests` has it."""

    return Handler
