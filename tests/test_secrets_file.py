"""FileStore: the TOML file as a secret store, on a real file."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tomllib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from scailookup.errors import InvalidParameter, SecretsUnavailable
from scailookup.secrets import open_store
from scailookup.secrets.file import FileStore
from scailookup.settings import load

KEY = "tenants/tnt_acme/scaigrid_api_key"
TEXT = """\
# keys of the tenants
[tenants.tnt_acme]
scaigrid_api_key = "sgk_acme"  # from Ann
scaigrid_base_url = "https://grid.acme.example"

[weather.api]
key = "w-1"
user = "u-1"
number = 7
"""


@pytest.fixture
def secrets_file(tmp_path) -> Path:
    path = tmp_path / "secrets.toml"
    fill(path, TEXT)
    return path


@pytest.fixture
def store(secrets_file) -> FileStore:
    return FileStore(secrets_file)


def fill(path: Path, text: str) -> None:
    """Replace the file as an editor does: a new file in its place, mode 0600."""
    new = path.with_name("new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


@pytest.mark.gen_test
async def test_settings_open_it(secrets_file):
    """``SCAILOOKUP_SECRETS_FILE`` chooses this store."""
    settings = load(
        {
            "SCAILOOKUP_SECRETS_FILE": str(secrets_file),
            "SCAIKEY_BASE_URL": "https://k.example",
            "SCAIKEY_AUDIENCE": "a",
        },
        system_file=None,
    )
    opened = open_store(settings, lambda request, *, deadline: None)  # type: ignore[arg-type, return-value]
    assert opened is not None
    assert {"value": "sgk_acme"} == await opened.read(KEY)


def test_no_store_when_none_is_named():
    """Without a store's setting there is none."""
    settings = load({"SCAIKEY_BASE_URL": "https://k.example", "SCAIKEY_AUDIENCE": "a"}, system_file=None)
    assert None is open_store(settings, lambda request, *, deadline: None)  # type: ignore[arg-type, return-value]


@pytest.mark.gen_test
async def test_a_string_is_a_secret_with_a_value(store):
    """A leaf string reads as the field ``value``."""
    assert {"value": "sgk_acme"} == await store.read(KEY)


@pytest.mark.gen_test
async def test_a_table_is_a_secret_with_fields(store):
    """A table reads as its string fields."""
    assert {"key": "w-1", "user": "u-1"} == await store.read("weather/api")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["tenants/other/scaigrid_api_key", KEY + "/deeper", "tenants", "nothing"])
async def test_what_is_not_there_is_missing(store, path):
    """No such leaf, or a table without strings, is None."""
    assert None is await store.read(path)


@pytest.mark.gen_test
async def test_a_secret_that_is_no_string_is_a_fault(store):
    """A number where a key should be is the operator's to mend, not a missing key."""
    with pytest.raises(SecretsUnavailable):
        await store.read("weather/api/number")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["a/../b", "a//b", "./a", "", "a/b\n", "tenants/tnt.acme/x", "/a"])
async def test_an_odd_path_is_missing_and_logged(store, path):
    """A path outside the alphabet is refused with a warning event."""
    with capture_logs() as events:
        found = await store.read(path)
    assert (None, ["secret_path_refused"]) == (found, [e["event"] for e in events])


@pytest.mark.gen_test
async def test_a_replaced_file_is_read_again(store, secrets_file):
    """A changed file is seen at the next read."""
    await store.read(KEY)
    fill(secrets_file, TEXT.replace("sgk_acme", "sgk_new1"))
    assert {"value": "sgk_new1"} == await store.read(KEY)


@pytest.mark.gen_test
async def test_a_file_changed_in_place_is_read_again(store, secrets_file):
    """The same inode with another size is another file too."""
    await store.read(KEY)
    secrets_file.write_text(TEXT.replace("sgk_acme", "sgk_longer"))
    assert {"value": "sgk_longer"} == await store.read(KEY)


@pytest.mark.gen_test
async def test_a_vanished_file_is_a_fault(store, secrets_file):
    """A file that went away is not an empty one."""
    await store.read(KEY)
    secrets_file.unlink()
    with pytest.raises(SecretsUnavailable):
        await store.read(KEY)


@pytest.mark.gen_test
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_file_others_can_use_is_a_fault(store, secrets_file, mode):
    """The mode is looked at while running, too."""
    await store.read(KEY)
    secrets_file.chmod(mode)
    with pytest.raises(SecretsUnavailable) as caught:
        await store.read(KEY)
    assert "chmod 600" in caught.value.fix


@pytest.mark.gen_test
@pytest.mark.parametrize("raw", [b'[tenants.x]\nkey = "sgk_marker\n', b"\xff\xfe", b"a = " + b"[" * 100_000])
async def test_a_file_that_is_no_toml_is_a_fault_and_not_quoted(store, secrets_file, raw):
    """Unreadable TOML raises, without the file's text."""
    secrets_file.write_bytes(raw)
    with pytest.raises(SecretsUnavailable) as caught:
        await store.read(KEY)
    assert "sgk_marker" not in str(caught.value.detail())


@pytest.mark.gen_test
async def test_probe_of_a_good_file_is_silent(store):
    """Nothing to say of a good file."""
    assert None is await store.probe()


@pytest.mark.gen_test
async def test_probe_of_a_bad_file_raises(store, secrets_file):
    """A file that cannot be read fails the check."""
    secrets_file.write_text("= nonsense")
    with pytest.raises(SecretsUnavailable):
        await store.probe()


@pytest.mark.gen_test
async def test_write_replaces_a_key_and_keeps_everything_else(store, secrets_file):
    """Comments, order and neighbours stand as they were."""
    await store.write(KEY, {"value": "sgk_new1"})
    assert TEXT.replace("sgk_acme", "sgk_new1") == secrets_file.read_text()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "",
        "tenants = {}\n",
        "[tenants]\n",
        'tenants.tnt_acme.scaigrid_api_key = "x"\n',
        'tenants = { tnt_acme = { scaigrid_api_key = "x" } }\n',
        '[tenants.tnt_new]\nscaigrid_base_url = "b"\n[other]\na = "1"\n[tenants.tnt_b]\nx = "1"\n',
    ],
)
async def test_write_adds_a_tenant_in_any_form_of_file(store, secrets_file, text):
    """A first key is added whatever TOML the operator wrote, and nothing is lost."""
    fill(secrets_file, text)
    await store.write("tenants/tnt_new/scaigrid_api_key", {"value": "sgk_n"})
    wanted = tomllib.loads(text)
    wanted.setdefault("tenants", {}).setdefault("tnt_new", {})["scaigrid_api_key"] = "sgk_n"
    assert wanted == tomllib.loads(secrets_file.read_text())


@pytest.mark.gen_test
async def test_a_secret_with_fields_is_read_as_written(store):
    """Several fields make a table."""
    await store.write("weather/other", {"key": 'a"\\\u00e9', "user": "u"})
    assert {"key": 'a"\\\u00e9', "user": "u"} == await store.read("weather/other")


@pytest.mark.gen_test
async def test_the_written_file_is_the_owners_only(store, secrets_file):
    """Mode 0600 after a write."""
    await store.write(KEY, {"value": "x"})
    assert 0o600 == secrets_file.stat().st_mode & 0o777


@pytest.mark.gen_test
async def test_a_write_leaves_no_copy_of_the_secret_behind(store, secrets_file):
    """Beside the file only the empty lock file stays."""
    await store.write(KEY, {"value": "x"})
    left = {p.name: p.stat().st_size for p in secrets_file.parent.iterdir() if p != secrets_file}
    assert {".secrets.toml.lock": 0} == left


@pytest.mark.gen_test
async def test_concurrent_writes_all_land(secrets_file):
    """Writers of several stores wait for each other."""
    stores = [FileStore(secrets_file) for _ in range(12)]
    await asyncio.gather(*(s.write(f"tenants/t{i}/k", {"value": str(i)}) for i, s in enumerate(stores)))
    tenants = tomllib.loads(secrets_file.read_text())["tenants"]
    assert {f"t{i}" for i in range(12)} | {"tnt_acme"} == set(tenants)


@pytest.mark.gen_test
async def test_a_write_waits_for_the_lock(store, secrets_file):
    """While another process holds the lock nothing is written."""
    with secrets_file.with_name(".secrets.toml.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing = asyncio.ensure_future(store.write(KEY, {"value": "sgk_late"}))
        await asyncio.sleep(0.2)
        meanwhile = secrets_file.read_text()
    await writing
    assert (TEXT, {"value": "sgk_late"}) == (meanwhile, await store.read(KEY))


@pytest.mark.gen_test
async def test_a_link_stays_a_link(tmp_path, secrets_file):
    """A linked file is replaced where it lies."""
    link = tmp_path / "link.toml"
    link.symlink_to(secrets_file)
    await FileStore(link).write(KEY, {"value": "sgk_l"})
    assert (True, True) == (link.is_symlink(), "sgk_l" in secrets_file.read_text())


@pytest.mark.gen_test
@pytest.mark.parametrize("path", [KEY + "/deeper", "tenants", "weather/api/number/x"])
async def test_a_write_that_would_bury_other_secrets_is_refused(store, secrets_file, path):
    """A path that cuts through other secrets changes nothing."""
    with pytest.raises(SecretsUnavailable):
        await store.write(path, {"value": "x"})
    assert TEXT == secrets_file.read_text()


@pytest.mark.gen_test
async def test_a_write_to_an_odd_path_names_the_tenant(store):
    """A tenant id outside the alphabet is the caller's parameter."""
    with pytest.raises(InvalidParameter) as caught:
        await store.write("tenants/../x", {"value": "x"})
    assert "tenant_id" == caught.value.extra["parameter"]


@pytest.mark.gen_test
async def test_a_broken_file_is_not_overwritten(store, secrets_file):
    """A write to a file that cannot be parsed leaves it for its operator to mend."""
    secrets_file.write_text("= nonsense")
    with pytest.raises(SecretsUnavailable):
        await store.write(KEY, {"value": "x"})
    assert "= nonsense" == secrets_file.read_text()


@pytest.mark.gen_test
async def test_a_place_that_cannot_be_written_is_a_fault(store, secrets_file):
    """When the lock cannot be made, the write says so."""
    os.mkdir(secrets_file.with_name(".secrets.toml.lock"))
    with pytest.raises(SecretsUnavailable) as caught:
        await store.write(KEY, {"value": "x"})
    assert "must let scailookup write" in caught.value.fix
