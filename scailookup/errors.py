"""Every failure a caller can see, and the few that only the core sees.

::

    ScailookupError                  what the web room turns into {"detail": {...}}
    ├── InvalidParameter        400  a query, path value or body was refused
    ├── Unauthenticated         401  no token, or a bad one
    ├── Forbidden               403  the permission is missing
    ├── NotFound                404
    ├── MethodNotAllowed        405
    ├── MissingCredentials      412  nothing to sign the upstream call with
    ├── UpstreamError           502  the upstream call failed
    │   ├── UpstreamAuth             … because the upstream answered 401 or 403
    │   └── UpstreamApi              … for any other reason
    ├── Unavailable             503
    │   ├── SecretsUnavailable       the secret store failed and nothing is held
    │   ├── IdentityUnavailable      no signing keys, or /v1/me failed
    │   ├── Overloaded               the queue is longer than the deadline
    │   └── PluginFailed             the plugin behind this route did not load
    └── Internal                500  a fault of ours; shows nothing but the request id

    CallFailed                       one upstream call failed; the lookup gives it a fix
    SettingsError                    the start is refused, exit status 2
    PluginError                      a plugin broke a rule of the declarations

Texts in these exceptions are shown to callers: never put a secret, a foreign
body or a traceback into one.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CallFailed",
    "Forbidden",
    "IdentityUnavailable",
    "Internal",
    "InvalidParameter",
    "MethodNotAllowed",
    "MissingCredentials",
    "NotFound",
    "Overloaded",
    "PluginError",
    "PluginFailed",
    "ScailookupError",
    "SecretsUnavailable",
    "SettingsError",
    "Unauthenticated",
    "Unavailable",
    "UpstreamApi",
    "UpstreamAuth",
    "UpstreamError",
]


class ScailookupError(Exception):
    """A failure with an HTTP status, a stable name, and a way out.

    ``fix`` says what to do and who must do it. ``extra`` are further members of
    the detail object. ``credential`` is the credential step once it is known.
    """

    status = 500
    error = "internal"

    def __init__(
        self,
        message: str,
        fix: str,
        *,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.headers = headers or {}
        self.extra = extra
        self.credential: str | None = None

    def again(self) -> ScailookupError:
        """The same failure for one more caller: an exception is annotated on its way out."""
        other = type(self).__new__(type(self))
        other.args = self.args
        other.__dict__.update(self.__dict__)
        other.headers, other.extra = dict(self.headers), dict(self.extra)
        return other

    def detail(self) -> dict[str, Any]:
        """The members of ``detail``, all but the request id."""
        return {"error": self.error, "message": self.message, "fix": self.fix, **self.extra}


class InvalidParameter(ScailookupError):
    """400: ``parameter`` names what was refused."""

    status = 400
    error = "invalid_parameter"

    def __init__(self, parameter: str, message: str, fix: str) -> None:
        super().__init__(message, fix, parameter=parameter)


class Unauthenticated(ScailookupError):
    """401, always with a ``WWW-Authenticate`` of our own; ``check`` is which check of the token failed."""

    status = 401
    error = "unauthenticated"

    def __init__(self, message: str, *, presented: bool = True, check: str = "header") -> None:
        challenge = 'Bearer realm="scailookup"'
        if presented:
            challenge += ', error="invalid_token"'
        super().__init__(
            message,
            "Sign in with ScaiKey and send the access token as `Authorization: Bearer <token>`.",
            headers={"WWW-Authenticate": challenge},
        )
        self.check = check


class Forbidden(ScailookupError):
    """403: ``message`` names the permission or role."""

    status = 403
    error = "forbidden"


class NotFound(ScailookupError):
    """404."""

    status = 404
    error = "not_found"

    def __init__(self) -> None:
        super().__init__(
            "no such route",
            "Check the path: GET /api/v1/lookups lists every lookup there is.",
        )


class MethodNotAllowed(ScailookupError):
    """405, with ``Allow``."""

    status = 405
    error = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        allow = ", ".join(allowed)
        super().__init__(
            "this route does not take that method",
            f"Use one of: {allow}.",
            headers={"Allow": allow},
        )


class MissingCredentials(ScailookupError):
    """412: there is nothing to sign the upstream call with."""

    status = 412
    error = "missing_credentials"


class UpstreamError(ScailookupError):
    """502: ``status`` and ``code`` of the detail are the upstream's."""

    status = 502
    suffix = "api"

    def __init__(
        self,
        upstream: str,
        message: str,
        fix: str,
        *,
        code: str,
        upstream_status: int | None,
        retry_after: int | None = None,
    ) -> None:
        extra: dict[str, Any] = {"status": upstream_status, "code": code}
        headers = {}
        if retry_after is not None:
            extra["retry_after"] = retry_after
            headers["Retry-After"] = str(retry_after)
        super().__init__(f"{code}: {message}", fix, headers=headers, **extra)
        self.error = f"{upstream}_{self.suffix}"
        self.upstream = upstream
        self.code = code
        self.upstream_status = upstream_status
        self.retry_after = retry_after
        self.remembered = False
        self.age = 0.0  # seconds since it happened, when it was met by another process

    def later(self, retry_after: int | None) -> UpstreamError:
        """The same failure told again, with what is left to wait, marked as remembered."""
        other = self.again()
        assert isinstance(other, UpstreamError)
        other.remembered = True
        if retry_after is not None:
            other.retry_after = retry_after
            other.extra = self.extra | {"retry_after": retry_after}
            other.headers = self.headers | {"Retry-After": str(retry_after)}
        return other


class UpstreamAuth(UpstreamError):
    """The upstream answered 401 or 403."""

    suffix = "auth"


class UpstreamApi(UpstreamError):
    """Every other failure of an upstream."""


class Unavailable(ScailookupError):
    """503. ``retry_after`` (seconds) becomes the header where it is known."""

    status = 503

    def __init__(self, message: str, fix: str, *, retry_after: int | None = None) -> None:
        if retry_after is None:
            super().__init__(message, fix)
        else:
            super().__init__(message, fix, headers={"Retry-After": str(retry_after)}, retry_after=retry_after)


class SecretsUnavailable(Unavailable):
    """The secret store failed; a failing store is never a missing key."""

    error = "secrets_unavailable"
    usual_fix = (
        "Try again shortly; if it stays, the operator must look at the secret store "
        "(`scailookup check` says what is wrong)."
    )

    def __init__(self, message: str, fix: str = "", *, retry_after: int | None = 5) -> None:
        super().__init__(message, fix or self.usual_fix, retry_after=retry_after)


class IdentityUnavailable(Unavailable):
    """ScaiKey's keys, or ScaiGrid's word on permissions, cannot be had."""

    error = "identity_unavailable"

    def __init__(self, message: str, fix: str = "", *, retry_after: int | None = 1) -> None:
        fix = fix or (
            "Try again shortly; if it stays, the operator must check SCAIKEY_BASE_URL or "
            "SCAIKEY_JWKS_URL and that ScaiKey answers (`scailookup check`)."
        )
        super().__init__(message, fix, retry_after=retry_after)


class Overloaded(Unavailable):
    """The wait for a free place would pass the lookup's deadline."""

    error = "overloaded"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(
            message,
            "Try again shortly; if it stays, the operator must add workers or hosts.",
            retry_after=retry_after,
        )


class PluginFailed(Unavailable):
    """The route belongs to a plugin that did not load."""

    error = "plugin_failed"


class Internal(ScailookupError):
    """500: a fault of ours."""

    def __init__(self) -> None:
        super().__init__(
            "internal error",
            "Tell the operator the request id; the log holds the cause under it.",
        )


class CallFailed(Exception):
    """One upstream call failed.

    ``code`` is the upstream's, or ours (timeout, unreachable, tls, bad_shape,
    too_large, redirected); ``status`` is the upstream's, None when it gave none;
    ``text`` is the upstream's message, not yet scrubbed; ``retry_after`` in seconds.
    ``repeatable`` says that the request never reached a working upstream.
    """

    def __init__(
        self,
        code: str,
        text: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        repeatable: bool = False,
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.retry_after = retry_after
        self.repeatable = repeatable


class SettingsError(Exception):
    """The settings cannot work; the text is the one line the operator reads."""


class PluginError(Exception):
    """A plugin's declaration breaks a rule; the text says which."""
