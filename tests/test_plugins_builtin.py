"""The normalizers of the built-in plugins for ScaiQueue and ScaiBunker."""

from __future__ import annotations

import msgspec
import pytest
from fakes import json_with, settings
from hypothesis import given
from scailookup_scaibunker import active, bunker, scailookup_upstreams, without_env
from scailookup_scaigrid import scailookup_upstreams as grid_upstreams
from scailookup_scaiqueue import queue, scope

SPELLINGS = ["env_vars", "ENV_VARS", "envVars", "env-vars", "EnvVars", "environment_variables"]


@pytest.mark.parametrize(
    ("raw", "row"),
    [
        (
            {"id": "s1", "slug": "orders", "display_name": "Orders", "description": "All", "state": "on"},
            {"id": "s1", "slug": "orders", "display_name": "Orders", "description": "All"},
        ),
        ({"id": "s1", "slug": "orders"}, {"id": "s1", "slug": "orders", "display_name": "orders"}),
        ({"id": "s1", "display_name": None, "description": ""}, {"id": "s1", "description": ""}),
        ({"id": 5}, {"id": "5"}),
        ({"id": True}, {}),
        ({"id": "", "slug": 4, "description": None}, {}),
    ],
)
def test_scope(raw, row):
    """A scope has four fields; what is not given is absent, and only display_name falls back."""
    assert row == scope(raw)


@pytest.mark.parametrize(
    ("raw", "row"),
    [
        (
            {"id": "q", "scope_id": "s", "slug": "a", "display_name": "A", "max_retries": 3, "max_depth": 9},
            {"id": "q", "scope_id": "s", "slug": "a", "display_name": "A", "max_retries": 3},
        ),
        (
            {"id": "q", "slug": "_dead_letter"},
            {"id": "q", "slug": "_dead_letter", "display_name": "_dead_letter"},
        ),
        ({"id": "q", "max_retries": 0}, {"id": "q", "max_retries": 0}),
        ({"id": "q", "max_retries": True}, {"id": "q"}),
        ({"id": "q", "max_retries": "4"}, {"id": "q", "max_retries": 4}),
    ],
)
def test_queue(raw, row):
    """A queue has six fields; zero retries are retries given."""
    assert row == queue(raw)


@pytest.mark.parametrize(
    ("raw", "mode"),
    [
        ({"consumer_mode": "broadcast"}, "broadcast"),
        ({"consumer_mode": "broadcast", "ordering": "fifo"}, "broadcast"),
        ({"consumer_mode": "competing", "ordering": "priority"}, "priority"),
        ({"consumer_mode": "competing"}, None),
        ({"consumer_mode": "competing", "ordering": None}, None),
        ({"consumer_mode": "fifo"}, "fifo"),
        ({"consumer_mode": "priority"}, "priority"),
        ({"consumer_mode": "deadline"}, "deadline"),
        ({"consumer_mode": "other", "ordering": "fifo"}, None),
        ({"ordering": "fifo"}, None),
        ({"consumer_mode": 5}, None),
    ],
)
def test_consumer_mode(raw, mode):
    """ScaiQueue's two words become ScaiFlow's four."""
    assert mode == queue({"id": "q", **raw}).get("consumer_mode")


@pytest.mark.parametrize(
    ("raw", "row"),
    [
        (
            {"bunker_id": "b", "image_ref": "i", "lifecycle": "session", "status": "running", "memory_mb": 5},
            {"bunker_id": "b", "image_ref": "i", "lifecycle": "session", "status": "running", "memory_mb": 5},
        ),
        (
            {"id": "b", "image": "i", "lifecycle_mode": "session", "status": "ready"},
            {"bunker_id": "b", "image_ref": "i", "lifecycle": "session", "status": "ready"},
        ),
        ({"bunker_id": "b", "id": "other"}, {"bunker_id": "b", "id": "other"}),
        ({"bunker_id": None, "id": "b", "gpu_type": None}, {"bunker_id": "b"}),
        ({"bunker_id": "b", "status": 5, "lifecycle": []}, {"bunker_id": "b"}),
        ({"bunker_id": "b", "label_set": {"env": "prod"}}, {"bunker_id": "b", "label_set": {"env": "prod"}}),
    ],
)
def test_bunker(raw, row):
    """A bunker has four fields first, under either name, and the upstream's others."""
    assert list(row.items()) == list(bunker(raw).items())


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_environment_at_the_top(spelling):
    """env_vars are left out, however they are spelled."""
    assert {"bunker_id": "b"} == bunker({"bunker_id": "b", spelling: {"TOKEN": "s"}})


@pytest.mark.parametrize("name", ["env", "environment", "Env"])
@pytest.mark.parametrize("value", [{"TOKEN": "s"}, [{"name": "TOKEN", "value": "s"}], ["TOKEN=s"]])
def test_no_environment_by_its_short_name(name, value):
    """A structure under env is an environment; a text there is a name and stays."""
    assert {"bunker_id": "b"} == bunker({"bunker_id": "b", name: value})


@given(json_with(*SPELLINGS, "env", "config", "spec").filter(lambda body: isinstance(body, dict)))
def test_no_environment_at_any_depth(raw):
    """Over arbitrary objects no spelling of env_vars is a key anywhere in the row."""
    keys = set(all_keys(bunker({"bunker_id": "b", **raw})))
    assert set() == keys & set(SPELLINGS)


def all_keys(value):
    """Every key of every object in ``value``."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from all_keys(inner)


@given(json_with("config", "spec"))
def test_the_rest_stays(body):
    """What holds no environment comes out as it went in."""
    assert body == without_env(body)


@given(
    json_with(
        "id", "bunker_id", "image", "status", "lifecycle", "slug", "scope_id", "consumer_mode", "ordering"
    ).filter(lambda body: isinstance(body, dict))
)
def test_rows_are_json(raw):
    """Over arbitrary objects every normalizer gives JSON without nulls at the top."""
    rows = [scope(raw), queue(raw), bunker(raw)]
    assert (rows, False) == (
        msgspec.json.decode(msgspec.json.encode(rows)),
        any(None in r.values() for r in rows),
    )


TERMINAL = ["terminated", "terminating", "failed", "error", "deleted"]


@pytest.mark.parametrize(
    ("row", "offered"),
    [
        *(({"status": status}, True) for status in ("running", "ready", "Running", "READY")),
        *(
            ({"status": status, "lifecycle": "ephemeral"}, False)
            for status in ("paused", "pending", *TERMINAL)
        ),
        *(({"status": status, "lifecycle": "persistent"}, False) for status in (*TERMINAL, "Failed")),
        *(
            ({"status": status, "lifecycle": "persistent"}, True)
            for status in ("paused", "pending", "running")
        ),
        ({"status": "running", "lifecycle": "appliance"}, True),
        ({"lifecycle": "Persistent"}, True),
        ({"lifecycle": "session"}, False),
        ({}, False),
    ],
)
def test_active(row, offered):
    """Offered is what runs, or is persistent and not at its end."""
    assert offered is active(row)


def test_bunkers_are_of_the_tenant():
    """The lookup says which field tells whose a bunker is."""
    (upstream,) = scailookup_upstreams(settings())
    assert "tenant_id" == upstream.lookups[0].tenant_field


def test_the_models_path_is_a_setting():
    """SCAILOOKUP_MODELS_PATH is where the models are asked for."""
    (upstream,) = grid_upstreams(settings(SCAILOOKUP_MODELS_PATH="/oai/v1/models"))
    assert "/oai/v1/models" == upstream.lookups[0].path
