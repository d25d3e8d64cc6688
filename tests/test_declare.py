"""Declarations: frozen values, checked when made."""

from __future__ import annotations

import dataclasses

import pytest

from scailookup import Filter, Lookup, Route, Upstream, auth
from scailookup.declare import check_base_url, check_upstream_path

ANYBODY = auth.Anonymous()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("models", ()),
        ("scopes/{scope_id}/queues", ("scope_id",)),
        ("{a}/{b}", ("a", "b")),
        ("a-b_c9", ()),
    ],
)
def test_lookup_names(name, fields):
    """A lookup's name is its route; its fields are the path values."""
    assert fields == Lookup(name, "/x").fields


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "A",
        "9a",
        "a b",
        "..",
        "{}",
        "{A}",
        "{a",
        "a}",
        "x{a}",
        "a/{b}/{b}",
        "\u00e9",
        "a\n",
    ],
)
def test_refused_lookup_names(name):
    """What is no route, or uses a field twice, is refused."""
    with pytest.raises(ValueError, match="lookup"):
        Lookup(name, "/x")


def test_an_unfed_field():
    """The upstream's path may use the route's fields only."""
    with pytest.raises(ValueError, match=r"nothing feeds \{b\}"):
        Lookup("a/{x}", "/a/{x}/{b}")


@pytest.mark.parametrize("name", ["", "q", "limit", "A", "a b", "a-b", "9"])
def test_refused_filters(name):
    """A filter has a plain name that is not taken."""
    with pytest.raises(ValueError, match="cannot be a filter"):
        Lookup("a", "/a", filters=(Filter(name),))


@pytest.mark.parametrize("permission", ["", "a b", "\u00e9", "x" * 129])
def test_refused_permissions(permission):
    """A permission is one printable word."""
    with pytest.raises(ValueError, match="not a permission"):
        Lookup("a", "/a", permission=permission)


def test_the_default_permission():
    """Without a word a lookup needs scaicore:view."""
    assert "scaicore:view" == Lookup("a", "/a").permission


def test_the_default_row():
    """Without a normalizer a row is a copy of the record."""
    raw = {"id": 1}
    row = Lookup("a", "/a").row(raw)
    assert (raw, False) == (row, row is raw)


@pytest.mark.parametrize("name", ["", "A", "a/b", "9a", "a b", "x" * 65, "_a"])
def test_refused_upstream_names(name):
    """An upstream's name is a route segment and part of its error names."""
    with pytest.raises(ValueError, match="legal upstream name"):
        Upstream(name, "https://x", ANYBODY)


@pytest.mark.parametrize("how", [None, "Bearer x", auth.Bearer, {}])
def test_auth_must_be_said(how):
    """Anything but a kind of auth is refused."""
    with pytest.raises(TypeError, match="auth must be"):
        Upstream("a", "https://x", how)


def test_auth_has_no_default():
    """Anonymous has to be said."""
    with pytest.raises(TypeError):
        Upstream("a", "https://x")


def test_a_lookup_twice():
    """Two lookups of one name are refused."""
    with pytest.raises(ValueError, match="declares a lookup twice"):
        Upstream("a", "https://x", ANYBODY, (Lookup("b", "/b"), Lookup("b", "/c")))


@pytest.mark.parametrize("path", ["/a", "/a/b_c.d-e", "/tenants/me/scaigrid_credentials"])
def test_routes(path):
    """A route is a literal path."""
    assert path == Route(path, object).path


@pytest.mark.parametrize("path", ["", "a", "/", "/a/", "//a", "/a/../b", "/.a", "/A", "/{a}", "/a b", "/a\n"])
def test_refused_routes(path):
    """What is no literal path is refused."""
    with pytest.raises(ValueError, match="not a legal route"):
        Route(path, object)


def test_an_option_must_not_hide_a_property():
    """An option of the name of a handler's property could never be set."""

    class Handler:
        @property
        def caller(self):
            return None

    with pytest.raises(ValueError, match="'caller'"):
        Route("/a", Handler, {"caller": 1})


@pytest.mark.parametrize(
    "value", [Lookup("a", "/a"), Upstream("a", "https://x", ANYBODY), Filter("a"), Route("/a", object)]
)
def test_frozen(value):
    """A declaration cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "b")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://a",
            "http://a.example:80",
            "https://a.example/v1/x",
            "https://127.0.0.1:1",
            "https://[::1]:8443",
        ),
        *("https://a_b.example", "https://A.example/", "https://a.example/p%20q"),
    ],
)
def test_base_urls(url):
    """http or https, a host, perhaps a port and a path."""
    assert None is check_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.example", "//a.example", "ftp://a", "https://", "https:///x", "https://:80", "javascript:x"),
        *(
            "https://u@a",
            "https://u:p@a",
            "https://:p@a",
            "https://a?x",
            "https://a?",
            "https://a#",
            "https://a#x",
        ),
        *(
            "https://a:99999",
            "https://a:x",
            "https://a b",
            "https://a/b c",
            "https://\u00e4.example",
            "https://a%41",
        ),
        *(
            "https://a/../b",
            "https://a/%2e%2e/b",
            "https://a//b",
            "https://[::1",
            "https://[x]",
            "https://a\x00",
        ),
        *(
            " https://a",
            "https://a ",
            "https://a\n",
            "https://a\nb",
            "https://a\tb",
            "\x00https://a",
            "https://a/\n",
        ),
    ],
)
def test_refused_base_urls(url):
    """Anything more, less or odd is refused."""
    with pytest.raises(ValueError):
        check_base_url(url)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b?c=d&e=../x", "/a/{id}/b", "/a...b", "/a/.b", "/a/..."])
def test_upstream_paths(path):
    """A plain absolute path, perhaps with a query."""
    assert None is check_upstream_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "a", "//a", "/a//b", "/..", "/a/../b", "/a/.", "/./a", "/%2e%2E/a", "/a/.%2e", "/a#b", "/a b"),
        *("/a\n", "/a\x7f", "/\u00e4", "https://evil.example/"),
    ],
)
def test_refused_upstream_paths(path):
    """Dot segments, empty ones, fragments and unprintable characters are refused."""
    with pytest.raises(ValueError, match="path"):
        check_upstream_path(path)
