"""Contract section 5: what browsers load is open, typed, cached by ETag, and nothing else is there."""

from __future__ import annotations

import pytest

from .support import Site, Sites, detail

FILES = ["/console/pickers.js", "/console/picker-lookup.js", "/console/pickers.d.ts"]


@pytest.mark.parametrize("path", FILES)
def test_files_are_open(site: Site, path: str) -> None:
    """Anybody may load them; what they ask for is not open."""
    answer = site.get(path, None)

    assert (200, "nosniff") == (answer.status, answer.header("X-Content-Type-Options"))
    assert answer.header("ETag")


def test_modules_are_javascript(site: Site) -> None:
    """A browser takes a module only with the right type."""
    assert (site.get(FILES[0], None).header("Content-Type") or "").startswith("text/javascript")


@pytest.mark.parametrize("path", FILES)
def test_head_is_get_without_the_body(site: Site, path: str) -> None:
    """HEAD answers the same headers, the length among them."""
    got, head = site.get(path, None), site.get(path, None, method="HEAD")

    assert (200, b"") == (head.status, head.body)
    assert got.header("Content-Length") == head.header("Content-Length")
    assert got.header("ETag") == head.header("ETag")


@pytest.mark.parametrize("path", FILES)
def test_who_has_it_is_sent_nothing(site: Site, path: str) -> None:
    """304 for the ETag that was given."""
    etag = site.get(path, None).header("ETag") or ""

    answer = site.get(path, None, [("If-None-Match", etag)])

    assert (304, b"", etag) == (answer.status, answer.body, answer.header("ETag"))


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/nothing.js",
        "/console/../console/pickers.js",
        "/console/..%2fstatic.py",
        "/console/%2e%2e/static.py",
        "/console//pickers.js",
        "/console/package.json",
        "/console/pickers.js/",
    ],
)
def test_there_is_no_other_path(site: Site, path: str) -> None:
    """Whatever is not of the list is no route."""
    detail(site.get(path, None), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_are_only_read(site: Site, method: str) -> None:
    """Another method is refused in the contract's shape."""
    answer = site.get(FILES[0], None, method=method)

    detail(answer, 405, "method_not_allowed")
    assert "GET, HEAD" == answer.header("Allow")


def test_pickers_may_be_loaded_by_allowed_origins(sites: Sites) -> None:
    """A page of an allowed origin is named; another's is not."""
    site = sites(SCAILOOKUP_CORS_ORIGINS="https://canvas.example")
    good, bad = (
        site.get(FILES[0], None, [("Origin", f"https://{name}.example")]) for name in ("canvas", "evil")
    )

    assert ("https://canvas.example", None) == tuple(
        a.header("Access-Control-Allow-Origin") for a in (good, bad)
    )
