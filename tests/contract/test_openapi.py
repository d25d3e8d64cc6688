"""Contract section 5: the OpenAPI document, and that it is true."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from .support import PREFIXES, Site, detail

LOOKUPS = {
    "/scaiqueue/scopes",
    "/scaiqueue/scopes/{scope_id}/queues",
    "/scaibunker/bunkers",
    "/scaigrid/models",
}


def document(site: Site) -> dict[str, Any]:
    """The document that the service answers."""
    return site.get("/v1/openapi.json", None).json


def checker(site: Site, schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of ``schema``, whose references lead into the document."""
    return Draft202012Validator({**schema, "components": document(site)["components"]})


@pytest.mark.parametrize("prefix", PREFIXES)
def test_it_is_open_and_sound(site: Site, prefix: str) -> None:
    """Anybody is given a valid OpenAPI 3.1 document, below either prefix."""
    answer = site.get(prefix + "/openapi.json", None)

    validate(answer.json)
    assert (200, "application/json", "3.1.0") == (
        answer.status,
        answer.header("Content-Type"),
        answer.json["openapi"],
    )


def test_it_has_every_lookup_of_the_catalogue(site: Site) -> None:
    """What the catalogue lists stands in the document, with the same parameters and permission."""
    paths = document(site)["paths"]
    parameters = document(site)["components"]["parameters"]
    listed = {}
    for upstream in site.get("/v1/lookups").json["data"]:
        for lookup in upstream["lookups"]:
            listed[lookup["path"]] = ([p["name"] for p in lookup["parameters"]], lookup["permission"])

    found = {}
    for path in listed:
        operation = paths[path]["get"]
        names = [p["name"] if "name" in p else p["$ref"].rpartition("/")[2] for p in operation["parameters"]]
        found[path] = (names, operation["security"][0]["scaikey"][0])
    assert (LOOKUPS, listed) == (set(listed), found)
    assert {"q", "limit"} == set(parameters)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_path_and_method_is_a_route(site: Site, prefix: str) -> None:
    """Each operation is served, and each method that is not described is refused."""
    for path, item in document(site)["paths"].items():
        where = path if "servers" in item else prefix + path.replace("{scope_id}", "scp_1")
        allowed = site.get(where, method="DELETE").header("Allow")
        described = {method.upper() for method in item if method != "servers"}
        assert described == set((allowed or "").split(", ")) - {"HEAD"}, path


@pytest.mark.parametrize("path", sorted(LOOKUPS))
def test_answers_are_of_the_schema(site: Site, path: str) -> None:
    """A real answer of each lookup, and the example shown, fit what the document says."""
    content = document(site)["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    answer = site.get("/v1" + path.replace("{scope_id}", "scp_1"))

    check = checker(site, content["schema"])
    check.validate(answer.json)
    check.validate(content["example"])
    assert 200 == answer.status
    assert answer.json["data"]


@pytest.mark.parametrize("status", ["400", "401", "403", "502"])
def test_errors_are_of_the_schema(site: Site, status: str) -> None:
    """A real error of each status, and the example shown, fit what the document says."""
    site.grid.on("/v1/me", {"permissions": []})
    site.grid.on("/v1/models", {"nothing": "here"})
    answer = {
        "400": lambda: site.get("/v1/scaigrid/models?limit=0"),
        "401": lambda: site.get("/v1/scaigrid/models", None),
        "403": lambda: site.get("/v1/scaigrid/models", site.issuer.token(roles=["tenant_user"])),
        "502": lambda: site.get("/v1/scaigrid/models"),
    }[status]()
    response = document(site)["components"]["responses"][f"Error{status}"]

    check = checker(site, document(site)["components"]["schemas"]["Error"])
    check.validate(answer.json)
    check.validate(response["content"]["application/json"]["example"])
    assert int(status) == answer.status


def test_it_says_which_lookup_fills_a_field(site: Site) -> None:
    """The scope of the queues is chosen from the scopes, by id, shown by name."""
    paths = document(site)["paths"]
    scope_id = paths["/scaiqueue/scopes/{scope_id}/queues"]["get"]["parameters"][0]
    source = scope_id["x-ms-dynamic-values"]

    assert {
        "operationId": paths["/scaiqueue/scopes"]["get"]["operationId"],
        "value-collection": "data",
        "value-path": "id",
        "value-title": "display_name",
    } == source
    row = site.get("/v1/scaiqueue/scopes").json[source["value-collection"]][0]
    assert {source["value-path"], source["value-title"]} <= set(row)


def test_it_asks_nobody(site: Site) -> None:
    """The document is our own knowledge."""
    document(site)

    assert [] == site.grid.calls()


def test_there_is_none_on_the_admin_listener(site: Site) -> None:
    """The admin listener has no document."""
    detail(site.get("/v1/openapi.json", None, admin=True), 404, "not_found")


def test_the_command_prints_the_same(site: Site) -> None:
    """`scailookup openapi` needs no settings, no network and no service."""
    done = subprocess.run(
        [sys.executable, "-m", "scailookup", "openapi"],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "SCAILOOKUP_LOG_LEVEL": "error"},
    )

    assert document(site) == json.loads(done.stdout)
