"""A logged-in, blocking conversation with HashiCorp Vault or OpenBao, through hvac.

It runs in threads. One lock guards the login: however many calls are refused at
once, one of them logs in and the others use what it got. Nothing foreign is quoted
in an error, because an answer may hold a token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hvac
import requests
import structlog
from hvac import exceptions as vault

from scailookup.errors import SecretsUnavailable
from scailookup.secrets.logins import Login, login_of
from scailookup.settings import Settings

__all__ = ["Missing", "VaultSession"]

log = structlog.get_logger()

Work = Callable[[Any], Any]

_READ_TIMEOUT = 5.0
# Seconds for which a failed login, or one that did not help, is not tried again.
_FAILED_LOGIN, _USELESS_LOGIN = 1.0, 5.0
# Seconds between looks at a token that has long to live.
_LOOK = 300.0

_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (vault.VaultDown, "Vault is sealed or in standby"),
    (vault.VaultNotInitialized, "Vault is not initialised"),
    (vault.RateLimitExceeded, "Vault limits our rate"),
    (vault.InvalidRequest, "Vault refused the request as invalid"),
    (vault.Unauthorized, "Vault, or something before it, wants another login"),
    (vault.VaultError, "Vault answered with an error"),
    (requests.exceptions.SSLError, "Vault's certificate cannot be verified (VAULT_CACERT)"),
    (requests.exceptions.Timeout, "Vault did not answer in time"),
    (requests.RequestException, "Vault cannot be reached"),
    (OSError, "Vault cannot be reached"),
)


class Missing(Exception):
    """There is no secret at this path."""


class VaultSession:
    """Makes calls with a valid token, logging in as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self.mount = settings.vault_mount
        self._http = _http(settings)
        self._client = self._new_client(settings)
        anonymous = self._new_client(settings)
        self._login: Login = login_of(
            settings, lambda role, secret: anonymous.auth.approle.login(role, secret, use_token=False)
        )
        self._lock = threading.Lock()
        self._generation = 0
        self._login_failure: SecretsUnavailable | None = None
        self._no_login_before = 0.0

    def call(self, work: Work) -> dict[str, Any]:
        """The JSON object ``work(client)`` gives; raises Missing or SecretsUnavailable.

        A refusal is followed by one new login and one repetition.
        """
        with self._plain_errors():
            used = self._ready()
            try:
                return _object(work(self._client))
            except vault.Forbidden:
                if not self._log_in_again(used):
                    raise
            used = self._generation
            try:
                return _object(work(self._client))
            except vault.Forbidden:
                self._useless(used)
                raise

    def tend(self) -> float:
        """Renew the token or log in again when it is time.

        Returns the seconds until the next look; raises SecretsUnavailable.
        """
        used = self._generation
        found = self.call(lambda client: client.auth.token.lookup_self()).get("data")
        left, whole = _number(found, "ttl"), _number(found, "creation_ttl")
        if not isinstance(found, Mapping) or found.get("expire_time", left or None) is None:
            return _LOOK  # never expires
        due = whole / 3
        if left > due:
            return _pause(left - due)
        if found.get("renewable") is True:
            left = self._renew()
            if left >= whole / 2:
                return _pause(left - due)
        return self._replace(used, left)

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def _new_client(self, settings: Settings) -> Any:
        # An empty token and certificate keep hvac from looking for them itself.
        return hvac.Client(
            url=settings.vault_addr,
            token="",
            cert=(),
            verify=self._http.verify,
            timeout=(settings.connect_timeout, _READ_TIMEOUT),
            session=self._http,
            namespace=settings.vault_namespace,
            allow_redirects=False,
        )

    def _ready(self) -> int:
        """Log in when never done, or when another token lies ready; the token's number."""
        with self._lock:
            if self._generation == 0 or self._login.changed():
                self._log_in()
            return self._generation

    def _log_in_again(self, used: int) -> bool:
        """After token number ``used`` was refused: whether there is another one now."""
        with self._lock:
            if self._generation != used:
                return True
            if time.monotonic() < self._no_login_before:
                return False
            return self._log_in()

    def _log_in(self) -> bool:
        """Ask for a token; whether it is another one. Remembers a failure for a moment."""
        if self._login_failure is not None and time.monotonic() < self._no_login_before:
            raise SecretsUnavailable(self._login_failure.message, self._login_failure.fix)
        try:
            with self._plain_errors("login: "):
                token = self._login.token()
        except SecretsUnavailable as exc:
            self._login_failure = exc.with_traceback(None)
            self._no_login_before = time.monotonic() + _FAILED_LOGIN
            raise
        self._login_failure = None
        if token == self._client.token:
            return False
        self._client.token = token
        self._generation += 1
        return True

    def _useless(self, used: int) -> None:
        with self._lock:
            if self._generation == used:
                self._no_login_before = time.monotonic() + _USELESS_LOGIN

    def _renew(self) -> float:
        """The seconds a renewal gave; 0 when there was none."""
        try:
            with self._plain_errors():
                answer = _object(self._client.auth.token.renew_self())
        except (SecretsUnavailable, Missing):
            return 0.0
        return _number(answer.get("auth"), "lease_duration")

    def _replace(self, used: int, left: float) -> float:
        """Another token for one that cannot be prolonged, or a warning."""
        if self._login.mints:
            with self._lock:
                if self._generation == used or used == 0:
                    self._log_in()
            return _pause(0)
        log.warning("vault_token_expiring", seconds_left=int(left))
        return _pause(max(left / 2, 5.0))

    @contextmanager
    def _plain_errors(self, where: str = "") -> Iterator[None]:
        """Everything foreign becomes SecretsUnavailable in our own words, or Missing."""
        try:
            yield
        except vault.InvalidPath as exc:
            if not where and _says_missing(exc):
                raise Missing from None
            what = "no such login" if where else f"VAULT_MOUNT {self.mount!r} is no KV v2 mount"
            raise SecretsUnavailable(
                f"{where}{what} at this address and in this namespace",
                "The operator must check VAULT_ADDR, VAULT_MOUNT and VAULT_NAMESPACE.",
            ) from None
        except vault.Forbidden:
            raise SecretsUnavailable(
                f"{where}Vault refuses us: the token is not valid, or its policy does not allow this",
                self._login.advice,
            ) from None
        except (vault.VaultError, requests.RequestException, OSError) as exc:
            text = next(text for kind, text in _TEXTS if isinstance(exc, kind))
            fix = self._login.advice if where and isinstance(exc, vault.InvalidRequest) else ""
            raise SecretsUnavailable(where + text, fix) from None
        except (ValueError, TypeError, AttributeError):  # hvac's, on a body that is not Vault's
            raise SecretsUnavailable(f"{where}Vault's answer is not one of Vault's") from None


def _http(settings: Settings) -> requests.Session:
    """A session that takes nothing from the environment: no proxy, no netrc, no CA file."""
    http = requests.Session()
    http.trust_env = False
    http.verify = str(settings.vault_cacert) if settings.vault_cacert else True
    if settings.proxy:
        proxy = settings.proxy.get_secret_value()
        http.proxies = {"http": proxy, "https": proxy}
    return http


def _object(answer: Any) -> dict[str, Any]:
    """The answer's JSON object: hvac hands over a bare response when it is not JSON."""
    if isinstance(answer, dict):
        return answer
    raise ValueError("not a JSON object")


def _says_missing(exc: Any) -> bool:
    """Whether a 404 means a secret that is not there, or no more.

    Vault says so with an empty list of errors, or with the metadata of a deleted
    version. Any words in it, or no Vault JSON at all, are another matter.
    """
    body = exc.json
    if not isinstance(body, dict):
        return False
    if "errors" in body:
        return bool(body["errors"] == [])
    data = body.get("data")
    return isinstance(data, dict) and isinstance(data.get("metadata"), dict)


def _number(found: Any, name: str) -> float:
    value = found.get(name) if isinstance(found, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else 0.0


def _pause(seconds: float) -> float:
    return min(max(seconds, 1.0), _LOOK)
