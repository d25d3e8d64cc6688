"""The kinds of auth: values that are checked when made and name a secret without holding it."""

from __future__ import annotations

import dataclasses

import pytest

from scailookup import auth
from scailookup.auth import SecretRef

KINDS = [
    auth.Platform("x:y"),
    auth.Bearer("w/a"),
    auth.Header("X-Key", secret="w/a"),
    auth.Basic("w/a"),
    auth.Anonymous(),
    auth.ForwardCaller(),
]


@pytest.mark.parametrize(
    ("text", "path", "field", "per_tenant"),
    [
        ("weather/api#key", "weather/api", "key", False),
        ("weather/api", "weather/api", None, False),
        ("weather/api#", "weather/api", None, False),
        ("weather", "weather", None, False),
        ("tenants/{tenant}/key", "tenants/{tenant}/key", None, True),
        ("a-b_c/d.e#f g", "a-b_c/d.e", "f g", False),
    ],
)
def test_secret_ref(text, path, field, per_tenant):
    """path#field is read into its parts."""
    ref = SecretRef.parse(text)
    assert (path, field, per_tenant) == (ref.path, ref.field, ref.per_tenant)


REFUSED = [
    "",
    "#f",
    "/a",
    "a/",
    "a//b",
    "a/../b",
    "..",
    "./a",
    "a b",
    "a\n",
    "\u00e9",
    "{other}/a",
    "a/{tenant",
    "?a",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_refs(text):
    """What could leave its place in the store is no reference."""
    with pytest.raises(ValueError, match="secret"):
        SecretRef.parse(text)


@pytest.mark.parametrize(
    "make",
    [auth.Bearer, auth.Basic, lambda ref: auth.Header("X-Key", secret=ref)],
    ids=["Bearer", "Basic", "Header"],
)
def test_every_kind_checks_its_ref(make):
    """A bad reference fails when the value is made, not at the first request."""
    with pytest.raises(ValueError, match="not a secret reference"):
        make("a/../b")


@pytest.mark.parametrize("name", ["X-Api-Key", "Authorization", "x_key", "Ocp-Apim-Subscription-Key"])
def test_header_names(name):
    """Any header name that is one may carry the secret."""
    assert name == auth.Header(name, secret="w/a").name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "X Key",
            "X:Key",
            "X-Key\r\n",
            "X-K\u00e9y",
            "Host",
            "host",
            "User-Agent",
            "ACCEPT",
            "X-Request-ID",
        ),
        *("Content-Length", "Transfer-Encoding", "Connection", "traceparent", "Expect", "Accept-Encoding"),
    ],
)
def test_refused_header_names(name):
    """What is no name, or is set by scailookup itself, is refused."""
    with pytest.raises(ValueError, match="header"):
        auth.Header(name, secret="w/a")


@pytest.mark.parametrize("prefix", ["a\r\nb", "\x00", "\u2192 "])
def test_refused_prefixes(prefix):
    """A prefix that cannot be sent is refused when declared."""
    with pytest.raises(ValueError, match="prefix"):
        auth.Header("X-Key", secret="w/a", prefix=prefix)


@pytest.mark.parametrize("user", ["a:b", "a\n"])
def test_refused_users(user):
    """A colon would end the user."""
    with pytest.raises(ValueError, match="user"):
        auth.Basic("w/a", user=user)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_frozen(kind):
    """A declaration cannot be changed afterwards."""
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        kind.secret = "other"


def test_the_union_is_complete():
    """Every kind is one of Auth."""
    assert all(isinstance(kind, auth.Auth) for kind in KINDS)


def test_platform_must_say_what_it_needs():
    """The permission a refusal names has no default."""
    with pytest.raises(TypeError):
        auth.Platform()
