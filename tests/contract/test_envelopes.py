"""Contract section 1: which bodies are a list, which are an error, and which are neither."""

from __future__ import annotations

from typing import Any

import pytest

from .support import API_MODELS, LOOKUPS, MODELS, Reply, Site, failure, models, slugs

LIST = models(["a", "b"])
OTHER = models(["wrong"])
FORMS: dict[str, Any] = {
    "data": {"data": LIST},
    "data with status ok": {"status": "ok", "data": LIST, "meta": {"request_id": "r"}},
    "data.items": {"data": {"items": LIST}},
    "data.items with status ok": {"status": "ok", "data": {"items": LIST}},
    "openai": {"object": "list", "data": LIST},
    "bare array": LIST,
    "items": {"items": LIST},
    "models": {"models": LIST},
    "results": {"results": LIST},
    "data before models": {"models": OTHER, "data": LIST},
    "data before items": {"items": OTHER, "data": LIST},
    "data before results": {"results": OTHER, "data": LIST},
    "data.items before models": {"models": OTHER, "data": {"items": LIST}},
}
EMPTY: dict[str, Any] = {
    "data": {"data": []},
    "null data": {"data": None},
    "null openai": {"object": "list", "data": None},
    "null data.items": {"data": {"items": None}},
    "null items": {"items": None},
    "null models": {"models": None},
    "null results": {"results": None},
    "bare": [],
}
BAD: dict[str, Any] = {
    "empty body": b"",
    "blank body": b"  \n",
    "no json": b"models: a, b",
    "cut json": b'{"data":[{"slug":"a"}',
    "two bodies": b'{"data":[]}{"data":[]}',
    "login page": "<!doctype html><html><body>Log in</body></html>",
    "no utf-8": b'{"data":[{"slug":"\xff\xfe"}]}',
    "nested arrays": b"[" * 100_000,
    "nested rows": b'{"data":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
    "empty object": {},
    "text": "text".join('""').encode(),
    "number": 7,
    "true": True,
    "unknown name": {"foo": []},
    "data is text": {"data": "a,b"},
    "data is a number": {"data": 0},
    "data is true": {"data": True},
    "data is an object of nothing": {"data": {}},
    "data is an object of something": {"data": {"foo": []}},
    "items is an object": {"items": {"a": 1}},
    "no readable row": {"data": [1, "two", None, {}]},
    "no row with an id": {"data": [{"display_name": "a"}]},
    "bare, no readable row": [1, 2],
}


@pytest.mark.parametrize("form", FORMS)
def test_form(site: Site, form: str) -> None:
    """Every envelope the platform and its neighbours use is read."""
    site.grid.on(MODELS, FORMS[form])

    assert ["a", "b"] == slugs(site.get(API_MODELS))


@pytest.mark.parametrize("form", EMPTY)
def test_empty_form(site: Site, form: str) -> None:
    """A null where the list should be means empty, as an empty list does."""
    site.grid.on(MODELS, EMPTY[form])

    assert {"data": []} == site.get(API_MODELS).json


@pytest.mark.parametrize("form", BAD)
def test_bad_shape(site: Site, form: str) -> None:
    """Anything else is bad_shape with the upstream's status, never an empty list."""
    body = BAD[form]
    site.grid.on(MODELS, body if isinstance(body, bytes) else Reply(body))

    failure(site.get(API_MODELS), "scaigrid_api", 200, "bad_shape")


@pytest.mark.parametrize("path", LOOKUPS)
def test_bad_shape_of_every_lookup(site: Site, path: str) -> None:
    """The error of a bad shape carries the name of the upstream that gave it."""
    site.grid.on(LOOKUPS[path], {"unexpected": 1})

    failure(site.get("/v1" + path), f"{path.split('/')[1]}_api", 200, "bad_shape")


@pytest.mark.parametrize("path", LOOKUPS)
def test_forms_are_read_everywhere(site: Site, path: str) -> None:
    """The nested form of the platform is read by every lookup."""
    row = {"id": "x", "slug": "x", "status": "running"}
    site.grid.on(LOOKUPS[path], {"status": "ok", "data": {"items": [row]}})

    answer = site.get("/v1" + path)

    assert (200, 1) == (answer.status, len(answer.json["data"]))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "MODEL_UNAVAILABLE", "message": "gone"}}, "MODEL_UNAVAILABLE"),
        ({"status": "error", "error": {"code": "BACKEND_ERROR", "message": "gone"}}, "BACKEND_ERROR"),
        ({"data": [{"slug": "a"}], "error": {"code": "PARTIAL", "message": "gone"}}, "PARTIAL"),
        ({"status": "error", "data": [{"slug": "a"}]}, "http_200"),
        ({"status": "error"}, "http_200"),
        ({"error": {"message": "gone"}}, "http_200"),
        ({"error": "gone"}, "http_200"),
    ],
)
def test_error_with_status_200(site: Site, body: Any, code: str) -> None:
    """A 200 that says error is an upstream error."""
    site.grid.on(MODELS, body)

    failure(site.get(API_MODELS), "scaigrid_api", 200, code)


def test_row_status_is_no_envelope_status(site: Site) -> None:
    """A row whose own status is error is a row, not an error of the list."""
    site.grid.on(MODELS, {"data": [{"slug": "a", "status": "error"}]})

    assert ["a"] == slugs(site.get(API_MODELS))


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/vnd.api+json"])
def test_content_type_does_not_matter(site: Site, kind: str) -> None:
    """A JSON list is read whatever its content type says."""
    site.grid.on(MODELS, Reply({"data": LIST}, headers={"Content-Type": kind}))

    assert ["a", "b"] == slugs(site.get(API_MODELS))


def test_no_content(site: Site) -> None:
    """A 204 is no list."""
    site.grid.on(MODELS, Reply(b"", 204))

    failure(site.get(API_MODELS), "scaigrid_api", 204, "bad_shape")
