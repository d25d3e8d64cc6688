"""Every setting by its name, its default, and what must hold between them."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from scailookup.settings.kinds import (
    Flag,
    Seconds,
    Secret,
    Some,
    Source,
    Url,
    Words,
    cache_problems,
    host_patterns,
    is_loopback,
    listener,
    origins,
    passwords,
    sealing_secret,
    split,
    upstream_path,
)
from scailookup.settings.own import Own

__all__ = ["Settings"]

_T = TypeVar("_T")


def _name(alias: str, default: Any = None, **more: Any) -> Any:
    return Field(default, validation_alias=alias, **more)


class Settings(BaseSettings):
    """Every setting, by the name it has in the environment (its alias)."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    _own: Own = PrivateAttr(default_factory=lambda: Own({}))

    # The platform
    grid_url: Url = _name("SCAIGRID_BASE_URL", "https://scaigrid.scailabs.ai")
    grid_key: Secret | None = _name("SCAIGRID_API_KEY")
    scaikey_url: Url | None = _name("SCAIKEY_BASE_URL")
    scaikey_audience: str | None = _name("SCAIKEY_AUDIENCE")
    scaikey_client_id: str | None = _name("SCAIFLOW_SCAIKEY_CLIENT_ID")
    jwks_url: Url | None = _name("SCAIKEY_JWKS_URL")
    issuer: str | None = _name("SCAIKEY_ISSUER")
    auth_disabled: Flag = _name("SCAIFLOW_AUTH_DISABLED", False)
    deploy_auth: Literal["user_jwt", "api_key"] | None = _name("SCAIFLOW_DEPLOY_AUTH")
    host: str = _name("SCAIFLOW_API_HOST", "127.0.0.1")
    port: int = _name("SCAIFLOW_API_PORT", 8001, ge=0, le=65535)

    # The secret store: none, or one
    vault_addr: Url | None = _name("VAULT_ADDR")
    vault_token: Secret | None = _name("VAULT_TOKEN")
    vault_token_file: Path | None = _name("VAULT_TOKEN_FILE")
    vault_role_id: Secret | None = _name("VAULT_ROLE_ID")
    vault_role_id_file: Path | None = _name("VAULT_ROLE_ID_FILE")
    vault_secret_id: Secret | None = _name("VAULT_SECRET_ID")
    vault_secret_id_file: Path | None = _name("VAULT_SECRET_ID_FILE")
    vault_mount: str = _name("VAULT_MOUNT", "secret")
    vault_namespace: str | None = _name("VAULT_NAMESPACE")
    vault_cacert: Path | None = _name("VAULT_CACERT")
    scaivault_url: Url | None = _name("SCAIVAULT_URL")
    scaivault_token: Secret | None = _name("SCAIVAULT_TOKEN")
    secrets_file: Path | None = _name("SCAILOOKUP_SECRETS_FILE")

    # Ours
    permissions: Annotated[tuple[Source, ...], NoDecode, BeforeValidator(split), Field(min_length=1)] = _name(
        "SCAILOOKUP_PERMISSIONS", ("claims", "roles", "scaigrid")
    )
    dev: Flag = _name("SCAILOOKUP_DEV", False)
    dev_tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = _name(
        "SCAILOOKUP_DEV_TENANT", "dev"
    )
    models_path: Annotated[str, BeforeValidator(upstream_path)] = _name(
        "SCAILOOKUP_MODELS_PATH", "/v1/models"
    )
    tenant_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(host_patterns)] = _name(
        "SCAILOOKUP_TENANT_HOSTS", ()
    )
    deadline: Some = _name("SCAILOOKUP_DEADLINE", 8.0)
    connect_timeout: Some = _name("SCAILOOKUP_CONNECT_TIMEOUT", 2.0)
    max_body: int = _name("SCAILOOKUP_MAX_BODY", 8 * 1024 * 1024, gt=0, le=1 << 30)
    max_pages: int = _name("SCAILOOKUP_MAX_PAGES", 50, gt=0, le=10_000)
    max_rows: int = _name("SCAILOOKUP_MAX_ROWS", 10_000, gt=0, le=1_000_000)
    max_wait: Seconds = _name("SCAILOOKUP_MAX_WAIT", 0.5)
    max_connections: int = _name("SCAILOOKUP_MAX_CONNECTIONS", 4096, ge=1, le=1_000_000)
    fresh: Seconds = _name("SCAILOOKUP_FRESH", 15.0)
    stale: Seconds = _name("SCAILOOKUP_STALE", 60.0)
    stale_if_error: Seconds = _name("SCAILOOKUP_STALE_IF_ERROR", 300.0)
    failure_memory: Seconds = _name("SCAILOOKUP_FAILURE_MEMORY", 1.0)
    circuit: int = _name("SCAILOOKUP_CIRCUIT", 5, ge=0, le=1_000_000)
    secret_fresh: Seconds = _name("SCAILOOKUP_SECRET_FRESH", 60.0)
    secret_hold: Seconds = _name("SCAILOOKUP_SECRET_HOLD", 600.0)
    microcache: int = _name("SCAILOOKUP_MICROCACHE", 0, ge=0, le=60)
    cache_url: Secret | None = _name("SCAILOOKUP_CACHE_URL")
    cache_key: Secret | None = _name("SCAILOOKUP_CACHE_KEY")
    admin: Annotated[str, BeforeValidator(listener)] = _name("SCAILOOKUP_ADMIN", "127.0.0.1:8002")
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(origins)] = _name(
        "SCAILOOKUP_CORS_ORIGINS", ()
    )
    disabled_plugins: Words = _name("SCAILOOKUP_DISABLED_PLUGINS", ())
    strict_plugins: Flag = _name("SCAILOOKUP_STRICT_PLUGINS", False)
    trace_plugins: Flag = _name("SCAILOOKUP_TRACE_PLUGINS", False)
    workers: int = _name("SCAILOOKUP_WORKERS", 1, ge=1, le=512)
    proxy: Secret | None = _name("SCAILOOKUP_PROXY")
    otel: dict[str, SecretStr] = _name("OTEL_*", {})
    log_level: Literal["debug", "info", "warning", "error"] = _name("SCAILOOKUP_LOG_LEVEL", "info")
    log_format: Literal["json", "console"] | None = _name("SCAILOOKUP_LOG_FORMAT")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load`` hands over: it has merged environment and files already."""
        return (init_settings,)

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        problems = [*self._identity_problems(), *self._store_problems(), *self._other_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _identity_problems(self) -> list[str]:
        if self.auth_disabled:
            return [
                f"SCAIFLOW_AUTH_DISABLED: {name} must be a loopback address, not {host}"
                for name, host in (("SCAIFLOW_API_HOST", self.host), ("SCAILOOKUP_ADMIN", self.admin_host))
                if host and not is_loopback(host)
            ]
        problems = []
        if not (self.scaikey_url or self.jwks_url):
            problems.append("SCAIKEY_BASE_URL or SCAIKEY_JWKS_URL is missing: who signs the tokens?")
        if not self.audience:
            problems.append("SCAIKEY_AUDIENCE (or SCAIFLOW_SCAIKEY_CLIENT_ID) is missing")
        return problems

    def _store_problems(self) -> list[str]:
        problems = []
        stores = self.stores
        if len(stores) > 1:
            problems.append(f"{' and '.join(stores)}: configure one secret store, not two")
        if self.vault_addr:
            token = bool(self.vault_token) + bool(self.vault_token_file)
            role = bool(self.vault_role_id) + bool(self.vault_role_id_file)
            secret = bool(self.vault_secret_id) + bool(self.vault_secret_id_file)
            if token + role == 0 or role != secret:
                problems.append(
                    "VAULT_ADDR needs VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or their _FILE forms"
                )
            elif token + role > 1 or secret > 1:
                problems.append("VAULT_ADDR: give one way to log in, a token or a role, as value or as file")
            problems += [
                f"{name}: cannot read {path}"
                for name, path in (
                    ("VAULT_TOKEN_FILE", self.vault_token_file),
                    ("VAULT_ROLE_ID_FILE", self.vault_role_id_file),
                    ("VAULT_SECRET_ID_FILE", self.vault_secret_id_file),
                    ("VAULT_CACERT", self.vault_cacert),
                )
                if path is not None and not os.access(path, os.R_OK)
            ]
        if self.scaivault_url and not self.scaivault_token:
            problems.append("SCAIVAULT_URL needs SCAIVAULT_TOKEN")
        if self.secrets_file is not None:
            problems += _file_problems(self.secrets_file)
        return problems

    def _other_problems(self) -> list[str]:
        problems = []
        if self.cache_url:
            problems += cache_problems(self.cache_url.get_secret_value(), self.cache_key)
        if self.proxy and urlsplit(self.proxy.get_secret_value()).scheme not in (
            "http",
            "https",
            "socks5",
            "socks5h",
        ):
            problems.append("SCAILOOKUP_PROXY must start with http://, https://, socks5:// or socks5h://")
        return problems

    @property
    def stores(self) -> list[str]:
        """The names of the settings that choose a secret store."""
        chosen = {
            "VAULT_ADDR": self.vault_addr,
            "SCAIVAULT_URL": self.scaivault_url,
            "SCAILOOKUP_SECRETS_FILE": self.secrets_file,
        }
        return [name for name, value in chosen.items() if value]

    @property
    def audience(self) -> str | None:
        """The audience a token must be for."""
        return self.scaikey_audience or self.scaikey_client_id

    @property
    def dev_mode(self) -> bool:
        """Whether the environment key may be used."""
        return self.auth_disabled or self.dev

    @property
    def admin_host(self) -> str | None:
        """The host of the admin listener, None when it is off."""
        return None if self.admin == "off" else self.admin.rpartition(":")[0].strip("[]")

    @property
    def admin_port(self) -> int:
        """The port of the admin listener (0: a free one)."""
        return int(self.admin.rpartition(":")[2]) if self.admin != "off" else 0

    @property
    def own(self) -> Own:
        """What plugins' own settings are made of; a plugin asks ``of``."""
        return self._own

    def with_own(self, own: Own) -> Settings:
        """These settings, from now on with plugins' own among them."""
        self._own = own
        return self

    def of(self, name: str, kind: type[_T]) -> _T:
        """The settings of the plugin ``name`` as its dataclass ``kind``; see ``Own.of``."""
        return self._own.of(name, kind)

    @property
    def cache_secret(self) -> str:
        """What the shared cache is sealed with, where there is one."""
        assert self.cache_url is not None
        return sealing_secret(self.cache_url.get_secret_value(), self.cache_key) or ""

    def secrets(self) -> list[str]:
        """Every secret value the settings hold, for scrubbing; of an address its password besides."""
        values = (getattr(self, name) for name in type(self).model_fields)
        found = [v.get_secret_value() for v in values if isinstance(v, SecretStr)] + self._own.secrets()
        headers = [v.get_secret_value() for n, v in self.otel.items() if n.endswith("_HEADERS")]
        found += [word for text in headers for pair in text.split(",") for word in _words(pair)]
        return [*found, *(word for url in (self.cache_url, self.proxy) for word in passwords(url))]

    @property
    def store(self) -> tuple[object, ...]:
        """Everything that says which secret store is meant, and how we come in."""
        names = (name for name in type(self).model_fields if name.startswith(("vault_", "scaivault_")))
        return (self.secrets_file, *(getattr(self, name) for name in names))

    def otel_names(self) -> dict[str, str]:
        """The ``OTEL_*`` names, for the SDK that reads them; a value may be a collector's key."""
        return {name: value.get_secret_value() for name, value in self.otel.items()}

    def warnings(self) -> list[str]:
        """What works and is probably not meant."""
        found = []
        for name, url in (
            ("SCAIGRID_BASE_URL", self.grid_url),
            ("SCAIKEY_BASE_URL", self.scaikey_url),
            ("SCAIKEY_JWKS_URL", self.jwks_url),
            ("VAULT_ADDR", self.vault_addr),
            ("SCAIVAULT_URL", self.scaivault_url),
        ):
            parts = urlsplit(url or "")
            if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                found.append(f"{name} is http: credentials and keys cross the network unprotected")
        if not (self.auth_disabled or self.scaikey_url or self.issuer):
            found.append(
                "SCAIKEY_JWKS_URL alone does not say whose tokens to take: every token is refused until "
                "SCAIKEY_ISSUER (or SCAIKEY_BASE_URL) is set"
            )
        if self.grid_key and not self.dev_mode:
            found.append("SCAIGRID_API_KEY is ignored outside development (SCAILOOKUP_DEV=true)")
        if self.cache_url and not self.cache_key:
            found.append(
                "SCAILOOKUP_CACHE_KEY is not set: whoever may use that Redis can read and forge answers"
            )
        if self.cache_key and not self.cache_url:
            found.append("SCAILOOKUP_CACHE_KEY has no effect without SCAILOOKUP_CACHE_URL")
        if self.auth_disabled:
            found.append(f"SCAIFLOW_AUTH_DISABLED: everybody is the developer of tenant {self.dev_tenant}")
        return found


def _file_problems(path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return [f"SCAILOOKUP_SECRETS_FILE: cannot read {path}: {exc.strerror}"]
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        return [f"SCAILOOKUP_SECRETS_FILE: {path} is not a readable file"]
    if mode & 0o077:
        return [f"SCAILOOKUP_SECRETS_FILE: others can read {path}; run chmod 600 on it"]
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return [f"SCAILOOKUP_SECRETS_FILE: {path} is not TOML"]
    return []


def _words(pair: str) -> list[str]:
    """The value of a ``name=value`` of OpenTelemetry's, as it stands and as it is sent."""
    value = pair.partition("=")[2].strip()
    return [value, unquote(value)] if value else []
