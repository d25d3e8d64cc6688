"""Settings: environment and files, their order, and one line for everything that is wrong."""

from __future__ import annotations

import pytest
from fakes import BASICS, settings

from scailookup.errors import SettingsError
from scailookup.settings import Settings, is_loopback, load

MARK = "marker-secret-of-the-settings"
SECRETS = {
    "SCAIGRID_API_KEY": "grid_key",
    "VAULT_TOKEN": "vault_token",
    "VAULT_ROLE_ID": "vault_role_id",
    "VAULT_SECRET_ID": "vault_secret_id",
    "SCAIVAULT_TOKEN": "scaivault_token",
    "SCAILOOKUP_CACHE_URL": "cache_url",
    "SCAILOOKUP_CACHE_KEY": "cache_key",
    "SCAILOOKUP_PROXY": "proxy",
}


def refused(**names: str) -> str:
    """The line that stops the start."""
    with pytest.raises(SettingsError) as caught:
        settings(**names)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grid_url", "https://scaigrid.scailabs.ai"),
        ("host", "127.0.0.1"),
        ("port", 8001),
        ("vault_mount", "secret"),
        ("permissions", ("claims", "roles", "scaigrid")),
        ("dev", False),
        ("dev_tenant", "dev"),
        ("auth_disabled", False),
        ("deploy_auth", None),
        ("models_path", "/v1/models"),
        ("tenant_hosts", ()),
        ("deadline", 8.0),
        ("connect_timeout", 2.0),
        ("max_body", 8 * 1024 * 1024),
        ("max_pages", 50),
        ("max_rows", 10_000),
        ("fresh", 15.0),
        ("stale", 60.0),
        ("stale_if_error", 300.0),
        ("failure_memory", 1.0),
        ("circuit", 5),
        ("secret_fresh", 60.0),
        ("secret_hold", 600.0),
        ("cache_url", None),
        ("cache_key", None),
        ("admin_host", "127.0.0.1"),
        ("admin_port", 8002),
        ("cors_origins", ()),
        ("disabled_plugins", ()),
        ("strict_plugins", False),
        ("trace_plugins", False),
        ("workers", 1),
        ("proxy", None),
        ("log_level", "info"),
        ("log_format", None),
    ],
)
def test_defaults(name, value):
    """The defaults are those of the contract."""
    assert value == getattr(settings(), name)


# Files


def test_precedence(tmp_path):
    """Real variables win over the named file, which wins over the system's."""
    system, own = tmp_path / "system.env", tmp_path / "own.env"
    system.write_text("SCAILOOKUP_DEADLINE=1\nSCAILOOKUP_FRESH=1\nSCAILOOKUP_STALE=1\n")
    own.write_text("SCAILOOKUP_DEADLINE=2\nSCAILOOKUP_FRESH=2\n")
    environ = {**BASICS, "SCAIFLOW_ENV_FILE": str(own), "SCAILOOKUP_DEADLINE": "3"}
    found = load(environ, system_file=str(system))
    assert (3.0, 2.0, 1.0) == (found.deadline, found.fresh, found.stale)


def test_overrides_win(tmp_path):
    """The command line wins over everything."""
    found = load({**BASICS, "SCAIFLOW_API_PORT": "1"}, overrides={"SCAIFLOW_API_PORT": "2"}, system_file=None)
    assert 2 == found.port


def test_what_is_overridden_must_be_sound():
    """A bad value is told though the command line replaces it."""
    with pytest.raises(SettingsError, match="SCAIFLOW_API_PORT"):
        load({**BASICS, "SCAIFLOW_API_PORT": "x"}, overrides={"SCAIFLOW_API_PORT": "2"}, system_file=None)


def test_an_override_may_mend_what_concerns_several():
    """What is only wrong together is judged with the overrides in place."""
    environ = {"SCAIFLOW_AUTH_DISABLED": "true", "SCAIFLOW_API_HOST": "0.0.0.0"}
    assert "127.0.0.1" == load(environ, overrides={"SCAIFLOW_API_HOST": "127.0.0.1"}, system_file=None).host


def test_no_system_file_is_no_fault(tmp_path):
    """The system's file need not exist."""
    assert 8.0 == load(BASICS, system_file=str(tmp_path / "none")).deadline


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: path.write_bytes(b"A=\xff\xfe"), "not UTF-8"),
    ],
)
def test_the_named_file_must_be_readable(tmp_path, make, reason):
    """A file that SCAIFLOW_ENV_FILE names must be there and be text."""
    path = tmp_path / "own.env"
    make(path)
    assert reason in refused(SCAIFLOW_ENV_FILE=str(path))


def test_a_file_is_not_expanded(tmp_path):
    """A dollar sign in a secret is a dollar sign."""
    path = tmp_path / "own.env"
    path.write_text("SCAIGRID_API_KEY='sgk_${HOME}$x'\nOTHER=1\nexport SCAILOOKUP_DEV=true\n")
    found = settings(SCAIFLOW_ENV_FILE=str(path))
    assert ("sgk_${HOME}$x", True) == (found.grid_key.get_secret_value(), found.dev)


def test_an_empty_value_is_none(tmp_path):
    """Compose files write a variable that is not set as an empty one."""
    found = settings(SCAIGRID_API_KEY="", SCAILOOKUP_DEADLINE="", VAULT_ADDR="", SCAILOOKUP_PROXY="")
    assert (None, 8.0, None, None) == (found.grid_key, found.deadline, found.vault_addr, found.proxy)


def test_the_environment_itself_is_not_read(monkeypatch):
    """Only what is handed over counts."""
    monkeypatch.setenv("SCAILOOKUP_DEADLINE", "99")
    assert 8.0 == settings().deadline


# What stops the start


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCAIGRID_BASE_URL", "grid.example"),
        ("SCAIGRID_BASE_URL", "https://u:p@grid.example"),
        ("SCAIGRID_BASE_URL", " https://grid.example"),
        ("SCAIGRID_BASE_URL", "https://grid.exam\tple"),
        ("SCAIGRID_API_KEY", "two\nlines"),
        ("SCAIGRID_API_KEY", "\u00e9\u00e9"),
        ("SCAIFLOW_DEPLOY_AUTH", "jwt"),
        ("SCAIFLOW_API_PORT", "70000"),
        ("SCAIFLOW_AUTH_DISABLED", "perhaps"),
        ("SCAILOOKUP_PERMISSIONS", "claims,guess"),
        ("SCAILOOKUP_PERMISSIONS", ","),
        ("SCAILOOKUP_DEV_TENANT", "a/b"),
        ("SCAILOOKUP_DEV_TENANT", "dev\n"),
        ("SCAILOOKUP_MODELS_PATH", "v1/models"),
        ("SCAILOOKUP_MODELS_PATH", "/v1/../models"),
        ("SCAILOOKUP_TENANT_HOSTS", "https://a.example"),
        ("SCAILOOKUP_TENANT_HOSTS", "a.example,*"),
        ("SCAILOOKUP_DEADLINE", "0"),
        ("SCAILOOKUP_DEADLINE", "nan"),
        ("SCAILOOKUP_DEADLINE", "inf"),
        ("SCAILOOKUP_DEADLINE", "8s"),
        ("SCAILOOKUP_MAX_BODY", "0"),
        ("SCAILOOKUP_MAX_PAGES", "-1"),
        ("SCAILOOKUP_FRESH", "-1"),
        ("SCAILOOKUP_ADMIN", "8002"),
        ("SCAILOOKUP_ADMIN", "::1:8002"),
        ("SCAILOOKUP_ADMIN", "a:99999"),
        ("SCAILOOKUP_CORS_ORIGINS", "*"),
        ("SCAILOOKUP_CORS_ORIGINS", "https://a.example/"),
        ("SCAILOOKUP_WORKERS", "0"),
        ("SCAILOOKUP_LOG_LEVEL", "loud"),
        ("SCAILOOKUP_LOG_FORMAT", "xml"),
        ("SCAILOOKUP_CACHE_URL", "http://cache"),
        ("SCAILOOKUP_PROXY", "proxy:3128"),
        ("SCAILOOKUP_SECRETS_FILE", "/nonexistent/secrets.toml"),
        ("SCAILOOKUP_NO_SUCH", "1"),
        ("SCAIVAULT_URL", "https://vault.example"),
        ("VAULT_ADDR", "https://vault.example"),
    ],
)
def test_refused(name, value):
    """A bad value stops the start with one line that names the setting."""
    line = refused(**{name: value})
    assert (True, 1) == (name in line, len(line.splitlines()))


def test_every_problem_on_one_line():
    """All that is wrong is told at once."""
    line = refused(SCAILOOKUP_DEADLINE="x", SCAILOOKUP_WORKERS="x", SCAIGRID_BASE_URL="x")
    assert (True, 1) == (
        all(name in line for name in ("SCAILOOKUP_DEADLINE", "SCAILOOKUP_WORKERS", "SCAIGRID_BASE_URL")),
        len(line.splitlines()),
    )


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ({}, "SCAIKEY_BASE_URL or SCAIKEY_JWKS_URL"),
        ({"SCAIKEY_BASE_URL": "https://k"}, "SCAIKEY_AUDIENCE"),
        ({"SCAIKEY_JWKS_URL": "https://k/keys", "SCAIKEY_ISSUER": "https://k"}, "SCAIKEY_AUDIENCE"),
    ],
)
def test_identity_is_required(names, missing):
    """With auth on there must be a source of keys and an audience."""
    with pytest.raises(SettingsError, match=missing):
        load(names, system_file=None)


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({}, True),
        ({"SCAIKEY_ISSUER": "https://k"}, False),
        ({"SCAIKEY_BASE_URL": "https://k"}, False),
        ({"SCAIFLOW_AUTH_DISABLED": "true"}, False),
    ],
)
def test_keys_without_an_issuer_are_warned_of(more, warned):
    """A key source and an audience are enough to start; that no token can be accepted is said."""
    names = {"SCAIKEY_JWKS_URL": "https://k/keys", "SCAIKEY_AUDIENCE": "a"} | more
    told = [line for line in load(names, system_file=None).warnings() if "whose tokens" in line]
    assert warned == bool(told)


def test_the_client_id_is_an_audience():
    """SCAIFLOW_SCAIKEY_CLIENT_ID stands in for the audience."""
    names = {"SCAIKEY_BASE_URL": "https://k", "SCAIFLOW_SCAIKEY_CLIENT_ID": "app"}
    assert "app" == load(names, system_file=None).audience


@pytest.mark.parametrize(
    "names",
    [
        {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "t", "SCAIVAULT_URL": "https://s", "SCAIVAULT_TOKEN": "t"},
        {"VAULT_ADDR": "https://v", "VAULT_TOKEN": "t", "VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s"},
        {"VAULT_ADDR": "https://v", "VAULT_ROLE_ID": "r"},
        {"VAULT_ADDR": "https://v", "VAULT_TOKEN_FILE": "/nonexistent"},
    ],
)
def test_one_store_and_one_login(names):
    """Two stores, two logins or half a login stop the start."""
    assert 1 == len(refused(**names).splitlines())


@pytest.mark.parametrize(
    ("name", "value"), [("SCAIFLOW_API_HOST", "0.0.0.0"), ("SCAILOOKUP_ADMIN", "0.0.0.0:1")]
)
def test_without_auth_only_loopback(name, value):
    """With auth disabled neither listener may be reached from outside."""
    assert name in refused(SCAIFLOW_AUTH_DISABLED="true", **{name: value})


# Secrets


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_in_a_refusal(name):
    """Whatever is wrong with a secret or beside it, its value is not told."""
    line = refused(**{name: f"{MARK}\x00{MARK}", "SCAILOOKUP_DEADLINE": MARK, "SCAILOOKUP_LOG_LEVEL": MARK})
    assert MARK not in line


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{MARK}@grid.example",
        f"https://user:{MARK}/x@grid.example",
        f"https://grid.example?key={MARK}",
        f"https://user:{MARK}@grid.ex\u2100mple",
        f"https://user:{MARK}@[grid.example",
    ],
)
def test_no_password_of_a_url_in_a_refusal(url):
    """A password that somebody put into an address is not told."""
    assert MARK not in refused(SCAIGRID_BASE_URL=url)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_in_a_repr(name):
    """Settings that are printed show no secret."""
    values = {
        "SCAILOOKUP_CACHE_URL": f"redis://:{MARK}@c",
        "SCAILOOKUP_CACHE_KEY": MARK * 2,
        "SCAILOOKUP_PROXY": f"http://u:{MARK}@p",
    }
    found = settings(**{"SCAILOOKUP_CACHE_KEY": "k" * 32, name: values.get(name, MARK)})
    assert (False, False) == (MARK in repr(found), MARK in str(found.model_dump()))


def test_all_secrets_are_known_for_scrubbing():
    """Every secret setting is handed to the scrubber."""
    kinds = {name for name, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)}
    kinds -= {"otel"}  # many names at once; its own test is below
    assert (set(SECRETS.values()), [MARK]) == (kinds, settings(SCAIGRID_API_KEY=MARK).secrets())


def test_what_opentelemetry_is_told():
    """Its names are kept for it as they are, shown to nobody, and a collector's key is scrubbed."""
    found = settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
        OTEL_EXPORTER_OTLP_HEADERS=f"x-team=blue,authorization=Bearer%20{MARK}",
        OTEL_SERVICE_NAME="",
    )
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"} == set(found.otel_names())
    assert (True, False) == (f"Bearer {MARK}" in found.secrets(), MARK in repr(found))
    assert "http://collector:4318" not in found.secrets()


# The shared cache

KEY = "a-key-of-thirty-two-characters-or-more"


@pytest.mark.parametrize(
    ("url", "key", "reason"),
    [
        ("http://cache", KEY, "must start with redis://"),
        ("redis://", KEY, "names no host"),
        ("redis://:6379", KEY, "names no host"),
        ("redis://cache:port", KEY, "must start with"),
        ("unix://", KEY, "names no host, or no socket"),
        ("rediss://cache?ssl_cert_reqs=none", KEY, "the parameters db and ssl_ca_certs"),
        ("redis://cache?socket_timeout=60", KEY, "the parameters db and ssl_ca_certs"),
        ("redis://cache", None, "needs SCAILOOKUP_CACHE_KEY"),
        ("redis://cache", KEY[:31], "32 characters or more"),
    ],
)
def test_a_shared_cache_that_cannot_work(url, key, reason):
    """A bad address, a parameter that could weaken TLS, or no good key stops the start with one line."""
    line = refused(SCAILOOKUP_CACHE_URL=url, **({"SCAILOOKUP_CACHE_KEY": key} if key else {}))
    assert (True, True, 1, False) == (
        *(reason in line, "SCAILOOKUP_CACHE_URL" in line, len(line.splitlines())),
        KEY[:31] in line,
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "redis://user:word@cache:6379/1",
        "rediss://cache?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_addresses_of_a_shared_cache(url):
    """Plain, with a user, over TLS with a CA of one's own, or on a socket."""
    found = settings(SCAILOOKUP_CACHE_URL=url, SCAILOOKUP_CACHE_KEY=KEY)
    assert url == found.cache_url.get_secret_value()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379", "redis://localhost", "unix:///run/redis.sock", "redis://:word@cache"]
)
def test_a_shared_cache_without_a_key_of_its_own(url):
    """A Redis of this machine, or the password in the address, is enough to start with; it is warned of."""
    found = settings(SCAILOOKUP_CACHE_URL=url)
    assert found.cache_secret
    assert any("SCAILOOKUP_CACHE_KEY is not set" in warning for warning in found.warnings())


def test_the_seal_of_a_password_is_not_the_password():
    """Another password makes another seal, a key stands as it is, no password can be read off its seal."""
    one, other = (settings(SCAILOOKUP_CACHE_URL=f"redis://:{word}@cache") for word in ("word", "other"))
    keyed = settings(SCAILOOKUP_CACHE_URL="redis://:word@cache", SCAILOOKUP_CACHE_KEY=KEY)
    assert 3 == len({one.cache_secret, other.cache_secret, keyed.cache_secret})
    assert "word" not in one.cache_secret
    assert KEY == keyed.cache_secret
    assert keyed.warnings() == []


def test_a_key_without_a_cache_is_said_to_have_no_effect():
    """The operator hears of a key that seals nothing."""
    warnings = settings(SCAILOOKUP_CACHE_KEY=KEY).warnings()
    assert any("SCAILOOKUP_CACHE_KEY has no effect" in warning for warning in warnings)


@pytest.mark.parametrize("name", ["SCAILOOKUP_CACHE_URL", "SCAILOOKUP_PROXY"])
def test_a_password_in_an_address_is_scrubbed_alone_too(name):
    """The password is known by itself, as it stands in the address and as it is meant."""
    scheme = "redis" if name == "SCAILOOKUP_CACHE_URL" else "http"
    found = settings(**{name: f"{scheme}://u:pa%23ssword@host:1", "SCAILOOKUP_CACHE_KEY": KEY}).secrets()
    assert {"pa%23ssword", "pa#ssword"} <= set(found)


# The rest


def test_frozen():
    """Settings never change."""
    with pytest.raises(ValueError, match="frozen"):
        settings().port = 5


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        ({}, []),
        ({"SCAIGRID_BASE_URL": "http://grid.example"}, ["SCAIGRID_BASE_URL"]),
        ({"SCAIGRID_BASE_URL": "http://127.0.0.1:1"}, []),
        ({"SCAIGRID_API_KEY": "sgk_12345678"}, ["SCAIGRID_API_KEY"]),
        ({"SCAIGRID_API_KEY": "sgk_12345678", "SCAILOOKUP_DEV": "true"}, []),
        ({"SCAIFLOW_AUTH_DISABLED": "true"}, ["SCAIFLOW_AUTH_DISABLED:"]),
    ],
)
def test_warnings(names, warned):
    """What works and is probably not meant is said."""
    assert warned == [line.split()[0] for line in settings(**names).warnings()]


@pytest.mark.parametrize(
    ("value", "host", "port"), [("off", None, 0), ("[::1]:9", "::1", 9), ("localhost:0", "localhost", 0)]
)
def test_admin(value, host, port):
    """The admin listener is an address or off."""
    found = settings(SCAILOOKUP_ADMIN=value)
    assert (host, port) == (found.admin_host, found.admin_port)


LOOPBACK = ["localhost", "127.9.9.9", "::1", "[::1]", "LOCALHOST"]
ELSEWHERE = ["0.0.0.0", "::", "localhost.example", "", "10.0.0.1"]


@pytest.mark.parametrize("host", [*LOOPBACK, *ELSEWHERE])
def test_is_loopback(host):
    """Loopback are the addresses and the one name."""
    assert (host in LOOPBACK) is is_loopback(host)
