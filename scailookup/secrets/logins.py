"""Where a Vault token comes from: given, in a file that rotates, or from an AppRole login.

Everything here blocks; it runs in the vault store's own threads, under its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from scailookup.errors import SecretsUnavailable
from scailookup.settings import Settings

__all__ = ["AppRole", "GivenToken", "Login", "TokenFile", "login_of"]

Mint = Callable[[str, str], Any]


class Login(Protocol):
    """A source of tokens. ``mints`` says that asking again makes a new one."""

    mints: bool
    advice: str

    def token(self) -> str:
        """A token to use from now on; raises SecretsUnavailable."""

    def changed(self) -> bool:
        """Whether asking again would give another token than the last one."""


class GivenToken:
    """``VAULT_TOKEN``: one token for the life of the process."""

    mints = False
    advice = "The operator must give VAULT_TOKEN a valid token whose policy allows this."

    def __init__(self, value: str) -> None:
        self._value = value

    def token(self) -> str:
        """The token."""
        return self._value

    def changed(self) -> bool:
        """Never."""
        return False


class TokenFile:
    """``VAULT_TOKEN_FILE``: an agent rotates it, so it is read again when it changed."""

    mints = False
    advice = "The operator must see that VAULT_TOKEN_FILE holds a valid token whose policy allows this."

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._last = ""

    def token(self) -> str:
        """What the file holds; the last good token while it is empty or away."""
        try:
            seen = self._signature()
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        # An agent may be halfway through writing it.
        if text and text.isascii() and text.isprintable():
            self._last, self._seen = text, seen
        if not self._last:
            raise SecretsUnavailable("VAULT_TOKEN_FILE cannot be read or holds no token", self.advice)
        return self._last

    def changed(self) -> bool:
        """Whether the file is another one than the one last read."""
        try:
            return self._signature() != self._seen
        except OSError:
            return False

    def _signature(self) -> tuple[int, ...]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class AppRole:
    """An AppRole login; ``mint(role_id, secret_id)`` is Vault's answer to it."""

    mints = True
    advice = "The operator must check VAULT_ROLE_ID and VAULT_SECRET_ID, and the role's policy."

    def __init__(self, role: Callable[[], str], secret: Callable[[], str], mint: Mint) -> None:
        self._role = role
        self._secret = secret
        self._mint = mint

    def token(self) -> str:
        """A new token."""
        answer = self._mint(self._role(), self._secret())
        auth = answer.get("auth") if isinstance(answer, Mapping) else None
        token = auth.get("client_token") if isinstance(auth, Mapping) else None
        if not isinstance(token, str) or not token:
            raise SecretsUnavailable("Vault's answer to the AppRole login holds no token", self.advice)
        return token

    def changed(self) -> bool:
        """Never by itself: a token is good until it expires or is refused."""
        return False


def login_of(settings: Settings, mint: Mint) -> Login:
    """The one way to log in that the settings name."""
    if settings.vault_token is not None:
        return GivenToken(settings.vault_token.get_secret_value())
    if settings.vault_token_file is not None:
        return TokenFile(settings.vault_token_file)
    return AppRole(
        _reader("VAULT_ROLE_ID", settings.vault_role_id, settings.vault_role_id_file),
        _reader("VAULT_SECRET_ID", settings.vault_secret_id, settings.vault_secret_id_file),
        mint,
    )


def _reader(name: str, value: SecretStr | None, path: Path | None) -> Callable[[], str]:
    """Reads the value, or its file anew at each login."""

    def read() -> str:
        if value is not None:
            return value.get_secret_value()
        try:
            text = path.read_text(encoding="utf-8").strip() if path else ""
        except (OSError, UnicodeDecodeError):
            text = ""
        if not text:
            raise SecretsUnavailable(f"{name}_FILE cannot be read or is empty", AppRole.advice)
        return text

    return read
