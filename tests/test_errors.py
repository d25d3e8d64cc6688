"""The errors: what a caller sees of each, and the tree that names them all."""

from __future__ import annotations

import inspect
import re

import pytest

from scailookup import errors

KINDS = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, Exception)]


def upstream_error(kind, **more):
    return kind("scaiqueue", "no", "do", code="NOPE", upstream_status=more.pop("status", 500), **more)


# Status and name of every public error (contract section 4).
PUBLIC = [
    (errors.InvalidParameter("q", "no", "do"), 400, "invalid_parameter"),
    (errors.Unauthenticated("no"), 401, "unauthenticated"),
    (errors.Forbidden("need scaicore:view", "do"), 403, "forbidden"),
    (errors.NotFound(), 404, "not_found"),
    (errors.MethodNotAllowed(("GET",)), 405, "method_not_allowed"),
    (errors.MissingCredentials("no", "do"), 412, "missing_credentials"),
    (upstream_error(errors.UpstreamAuth), 502, "scaiqueue_auth"),
    (upstream_error(errors.UpstreamApi), 502, "scaiqueue_api"),
    (errors.SecretsUnavailable("no"), 503, "secrets_unavailable"),
    (errors.IdentityUnavailable("no"), 503, "identity_unavailable"),
    (errors.Overloaded("no"), 503, "overloaded"),
    (errors.PluginFailed("no", "do"), 503, "plugin_failed"),
    (errors.Internal(), 500, "internal"),
]


@pytest.mark.parametrize(("error", "status", "name"), PUBLIC)
def test_status_and_name(error, status, name):
    """Each error has the status and the name of the contract."""
    assert (status, name) == (error.status, error.error)


@pytest.mark.parametrize(("error", "status", "name"), PUBLIC)
def test_every_detail_says_what_to_do(error, status, name):
    """The detail starts with error, message and fix, none of them empty."""
    detail = error.detail()
    assert (["error", "message", "fix"], True) == (list(detail)[:3], all(list(detail.values())[:3]))


def test_the_table_above_is_complete():
    """Every concrete public error stands in the table."""
    public = {kind for kind in KINDS if issubclass(kind, errors.ScailookupError)}
    abstract = {errors.ScailookupError, errors.UpstreamError, errors.Unavailable}
    assert public - abstract == {type(error) for error, *_ in PUBLIC}


def test_all_is_complete():
    """``__all__`` names every exception of the module and nothing else, in order."""
    kinds = {kind.__name__ for kind in KINDS}
    assert sorted(kinds) == errors.__all__


@pytest.mark.parametrize("name", errors.__all__)
def test_the_tree_names_it(name):
    """The docstring's tree holds every exception."""
    assert name in errors.__doc__.split()


@pytest.mark.parametrize(("error", "status", "name"), PUBLIC)
def test_the_tree_tells_its_status(error, status, name):
    """Each public error stands in the tree below the status that it has, or beside it."""
    above = errors.__doc__.partition(f"── {type(error).__name__} ")
    said = re.findall(r"[├└]── \w+ +(\d{3})\b", above[0] + above[1] + above[2].partition("\n")[0])
    assert str(status) == said[-1]


def test_a_refused_parameter_is_named():
    """The detail of a 400 names the parameter."""
    assert "limit" == errors.InvalidParameter("limit", "no", "do").detail()["parameter"]


@pytest.mark.parametrize(
    ("presented", "challenge"),
    [
        (True, 'Bearer realm="scailookup", error="invalid_token"'),
        (False, 'Bearer realm="scailookup"'),
    ],
)
def test_challenge(presented, challenge):
    """A 401 has a challenge of our own; it blames the token only when there was one."""
    error = errors.Unauthenticated("no", presented=presented)
    assert {"WWW-Authenticate": challenge} == error.headers


def test_allow():
    """A 405 lists what is allowed."""
    assert {"Allow": "GET, HEAD"} == errors.MethodNotAllowed(("GET", "HEAD")).headers


def test_upstream_message():
    """The message of an upstream failure is code and upstream's message."""
    assert "NOPE: no" == upstream_error(errors.UpstreamApi).message


@pytest.mark.parametrize("status", [None, 401, 500])
def test_upstream_status_and_code_are_the_upstreams(status):
    """status and code stand in the detail; status is null when the upstream gave none."""
    detail = upstream_error(errors.UpstreamApi, status=status).detail()
    assert (status, "NOPE") == (detail["status"], detail["code"])


def test_retry_after_of_an_upstream_is_passed_on():
    """It stands in the header and in the detail."""
    error = upstream_error(errors.UpstreamApi, retry_after=7)
    assert ({"Retry-After": "7"}, 7) == (error.headers, error.detail()["retry_after"])


def test_no_retry_after_without_one():
    """An upstream that gave none adds neither header nor member."""
    error = upstream_error(errors.UpstreamApi)
    assert ({}, False) == (error.headers, "retry_after" in error.detail())


@pytest.mark.parametrize("kind", [errors.SecretsUnavailable, errors.IdentityUnavailable, errors.Overloaded])
def test_retry_after_of_a_503(kind):
    """A 503 of ours says when to come back, as header and member."""
    error = kind("no", retry_after=9)
    assert ({"Retry-After": "9"}, 9) == (error.headers, error.detail()["retry_after"])


def test_internal_shows_nothing():
    """A fault of ours has no member of its own."""
    assert ["error", "message", "fix"] == list(errors.Internal().detail())


def test_call_failed_is_not_public():
    """What only the core sees cannot be sent to a caller by mistake."""
    assert not issubclass(errors.CallFailed, errors.ScailookupError)
