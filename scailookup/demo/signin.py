"""Signing in at the demo's ScaiKey: authorize and token of OpenID Connect's code flow with PKCE.

Anybody may be any of the demo's users, as with the tokens that the demo prints. Only
pages of this machine are sent back to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tornado.web import HTTPError, RequestHandler

from scailookup.demo import data
from scailookup.demo.issuer import AUTHORIZE_PATH, TOKEN_PATH, Issuer
from scailookup.settings import is_loopback

__all__ = ["routes"]

_CODE_LIFE = 60.0
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Demo ScaiKey</title>
<meta name="viewport" content="width=device-width"><h1>Who are you?</h1><ul>{users}</ul></html>"""


@dataclass(frozen=True)
class _Grant:
    """What a code stands for, until it is used once or too old."""

    user: str
    redirect_uri: str
    challenge: str
    nonce: str
    until: float


class _Codes:
    """The codes that were given and not used yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._grants: dict[str, _Grant] = {}

    def give(self, **grant: str) -> str:
        now = self._clock()
        self._grants = {code: one for code, one in self._grants.items() if one.until > now}
        code = secrets.token_urlsafe(24)
        self._grants[code] = _Grant(until=now + _CODE_LIFE, **grant)
        return code

    def take(self, code: str) -> _Grant | None:
        grant = self._grants.pop(code, None)
        return grant if grant is not None and grant.until > self._clock() else None


class AuthorizeHandler(RequestHandler):
    """GET: ask who it is, then send the browser back with a code."""

    def initialize(self, issuer: Issuer, codes: _Codes) -> None:
        self._issuer = issuer
        self._codes = codes

    def get(self) -> None:
        """A list of the users, or 302 once ``login_hint`` names one of them."""
        asked = {name: self.get_query_argument(name, "") for name in self.request.query_arguments}
        redirect_uri = asked.get("redirect_uri", "")
        if asked.get("client_id") != self._issuer.audience or not _ours(redirect_uri):
            raise HTTPError(400, "the client or its redirect_uri is not known")
        wanted = ("code", "S256", True)
        if wanted != (
            asked.get("response_type"),
            asked.get("code_challenge_method"),
            "code_challenge" in asked,
        ):
            raise HTTPError(400, "only response_type=code with an S256 code_challenge")
        user = asked.get("login_hint", "")
        if user not in data.USERS:
            self.finish(_PAGE.format(users="".join(_choice(name, asked) for name in data.USERS)))
            return
        code = self._codes.give(
            user=user,
            redirect_uri=redirect_uri,
            challenge=asked["code_challenge"],
            nonce=asked.get("nonce", ""),
        )
        self.redirect(f"{redirect_uri}?{urlencode({'code': code, 'state': asked.get('state', '')})}")


class TokenHandler(RequestHandler):
    """POST: a code, and the proof of who asked for it, against tokens."""

    def initialize(self, issuer: Issuer, codes: _Codes) -> None:
        self._issuer = issuer
        self._codes = codes

    def set_default_headers(self) -> None:
        """A public client asks from its own page."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cache-Control", "no-store")

    def post(self) -> None:
        """The tokens; 400 ``invalid_grant`` for a code that is not good, or not the asker's."""
        grant = self._codes.take(self.get_body_argument("code", ""))
        asked = (self.get_body_argument("client_id", ""), self.get_body_argument("redirect_uri", ""))
        if (
            grant is None
            or asked != (self._issuer.audience, grant.redirect_uri)
            or self.get_body_argument("grant_type", "") != "authorization_code"
            or not hmac.compare_digest(
                _challenge(self.get_body_argument("code_verifier", "")), grant.challenge
            )
        ):
            self.set_status(400)
            self.finish({"error": "invalid_grant", "error_description": "the code is not good"})
            return
        user = data.USERS[grant.user]
        token = self._issuer.issue(user.subject, user.tenant, roles=user.roles)
        identity = self._issuer.issue(user.subject, user.tenant, nonce=grant.nonce, scope=None)
        self.finish(
            {"access_token": token, "id_token": identity, "token_type": "Bearer", "expires_in": 86400}
        )


def routes(
    issuer: Issuer, clock: Callable[[], float] = time.monotonic
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The two routes."""
    options = {"issuer": issuer, "codes": _Codes(clock)}
    return [(AUTHORIZE_PATH, AuthorizeHandler, options), (TOKEN_PATH, TokenHandler, options)]


def _ours(redirect_uri: str) -> bool:
    parts = urlsplit(redirect_uri)
    return (
        parts.scheme == "http"
        and is_loopback(parts.hostname or "")
        and not parts.query
        and not parts.fragment
    )


def _choice(name: str, asked: dict[str, str]) -> str:
    query = html.escape(urlencode(asked | {"login_hint": name}))
    return f'<li><a href="?{query}">{html.escape(name)}</a></li>'


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
