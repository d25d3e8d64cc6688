"""The plugin against scripted replies, and against a real registry where `docker-registry` is installed."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import scailookup_registry

from scailookup.errors import UpstreamError
from scailookup.testing import conforms, look_up, reply, serve, settings

[REGISTRY] = scailookup_registry.scailookup_upstreams(settings())
SECRETS = {"registry/login": "ci:registry-password"}
NOT_FOUND = reply({"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known"}]}, 404)
CATALOGUE = "/v2/_catalog?n=100"


def tags(name: str, *found: str) -> dict[str, object]:
    """The registry's answer for one repository."""
    return {"name": name, "tags": list(found) or None}


def test_it_conforms() -> None:
    """Every rule holds."""
    conforms(
        REGISTRY,
        {
            "repositories": {"repositories": ["app/api", "app/web"]},
            "repositories/app%2Fweb/tags": tags("app/web", "1.0", "latest"),
            "images": {
                CATALOGUE: {"repositories": ["app/web"]},
                "/v2/app/web/tags/list": tags("app/web", "1.0", "latest"),
            },
        },
    )


def test_pages_go_on_by_the_link_header() -> None:
    """Both pages are one list."""
    looked = look_up(
        REGISTRY,
        "repositories",
        replies={
            CATALOGUE: reply({"repositories": ["a"]}, link='</v2/_catalog?last=a&n=100>; rel="next"'),
            "/v2/_catalog?last=a&n=100": {"repositories": ["b"]},
        },
        secrets=SECRETS,
    )
    assert looked.rows == [{"id": "a"}, {"id": "b"}]


def test_a_repository_that_went_meanwhile() -> None:
    """It has no images, and nothing else is lost."""
    looked = look_up(
        REGISTRY,
        "images",
        replies={
            CATALOGUE: {"repositories": ["a", "b", "empty"]},
            "/v2/a/tags/list": NOT_FOUND,
            "/v2/b/tags/list": tags("b", "1"),
            "/v2/empty/tags/list": tags("empty"),
        },
        secrets=SECRETS,
    )
    assert looked.rows == [{"id": "b:1", "repository": "b", "tag": "1"}]
    assert looked.meta == {}


def test_a_repository_that_cannot_be_read_is_named() -> None:
    """The rest stands."""
    looked = look_up(
        REGISTRY,
        "images",
        replies={
            CATALOGUE: {"repositories": ["a", "b"]},
            "/v2/a/tags/list": reply({}, 500),
            "/v2/b/tags/list": tags("b", "1"),
        },
        secrets=SECRETS,
    )
    assert [row["id"] for row in looked.rows] == ["b:1"]
    assert looked.meta == {"unread": ["a"]}


def test_without_a_catalogue_there_are_no_images() -> None:
    """Its failure is the answer's."""
    with pytest.raises(UpstreamError) as caught:
        look_up(REGISTRY, "images", replies={CATALOGUE: reply({}, 500)}, secrets=SECRETS)
    assert caught.value.detail()["status"] == 500


class Registry:
    """A running registry with some images in it."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        # The bcrypt form of the password of SECRETS.
        directory.joinpath("accounts").write_text(
            "ci:$2b$05$Lh/cQ02pEct36ujeUmY.l.a/3EJ43do1022n9a1hIm9lbkbrUO/wW\n"
        )
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            "auth": {"htpasswd": {"realm": "test", "path": str(directory / "accounts")}},
            "http": {"addr": address},
        }
        path = directory / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.url = f"http://{address}"
        self.process = subprocess.Popen(["docker-registry", "serve", str(path)], stderr=subprocess.DEVNULL)
        while not self._listens(address):
            assert self.process.poll() is None
            time.sleep(0.05)

    @staticmethod
    def _listens(address: str) -> bool:
        host, _, port = address.partition(":")
        with socket.socket() as tried:
            return tried.connect_ex((host, int(port))) == 0

    def push(self, repository: str, *tagged: str) -> None:
        """An image of nothing but an empty configuration, under each of these tags."""
        digest = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
        location = self._call("POST", f"/v2/{repository}/blobs/uploads/")
        self._call("PUT", f"{location}&digest={digest}", b"{}", "application/octet-stream")
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        layer = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": digest}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": []}
        for tag in tagged:
            self._call("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), kind)

    def _call(self, method: str, target: str, body: bytes = b"", kind: str = "application/json") -> str:
        """A call that must succeed; where it says to go on."""
        parts = urlsplit(target)
        basic = base64.b64encode(SECRETS["registry/login"].encode()).decode()
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)
        try:
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request(
                method, target, body, {"Authorization": f"Basic {basic}", "Content-Type": kind}
            )
            answer = connection.getresponse()
            assert answer.status < 300, (answer.status, answer.read())
            return answer.getheader("Location") or ""
        finally:
            connection.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry with 102 repositories, which is two pages of its catalogue."""
    if shutil.which("docker-registry") is None:
        pytest.skip("needs the program docker-registry (Debian has it)")
    running = Registry(tmp_path_factory.mktemp("registry"))
    try:
        running.push("team/app/web", "1.0", "latest")
        for number in range(101):
            running.push(f"bulk/{number:03}", "1")
        yield running
    finally:
        running.process.terminate()
        running.process.wait()


def test_a_real_registry(registry: Registry) -> None:
    """All pages of the catalogue, and the tags of a name with slashes."""
    with serve(scailookup_registry, secrets=SECRETS, SCAILOOKUP_REGISTRY_BASE_URL=registry.url) as service:
        repositories = service.get("/registry/repositories").json()
        found = service.get("/registry/repositories/team%2Fapp%2Fweb/tags").json()
        unknown = service.get("/registry/repositories/no%2Fsuch/tags")
    assert [row["id"] for row in repositories["data"]] == [f"bulk/{n:03}" for n in range(101)] + [
        "team/app/web"
    ]
    assert "meta" not in repositories
    assert {row["id"] for row in found["data"]} == {"1.0", "latest"}
    assert unknown.status == 502
    assert unknown.json()["detail"]["code"] == "NAME_UNKNOWN"


def test_all_images_of_a_real_registry(registry: Registry) -> None:
    """A call per repository, within the bound that is set; beyond it the answer says so."""
    names = {"SCAILOOKUP_REGISTRY_BASE_URL": registry.url}
    with serve(scailookup_registry, secrets=SECRETS, SCAILOOKUP_MAX_PAGES="200", **names) as service:
        images = service.get("/registry/images").json()
    assert len(images["data"]) == 103
    assert {"id": "team/app/web:1.0", "repository": "team/app/web", "tag": "1.0"} in images["data"]
    with serve(scailookup_registry, secrets=SECRETS, SCAILOOKUP_MAX_PAGES="5", **names) as service:
        assert service.get("/registry/images").json()["meta"] == {"truncated": True}


def test_a_wrong_password_at_a_real_registry(registry: Registry) -> None:
    """The error says whose it is."""
    with serve(
        scailookup_registry,
        secrets={"registry/login": "ci:wrong"},
        SCAILOOKUP_REGISTRY_BASE_URL=registry.url,
    ) as service:
        answer = service.get("/registry/repositories")
    assert (answer.status, answer.json()["detail"]["error"]) == (502, "registry_auth")
