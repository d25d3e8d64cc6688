"""Settings of plugins' own: typed, with defaults, secrets among them; what nobody reads is unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from fakes import BASICS, Asked, reply, said, settings

from scailookup import Lookup, Upstream, auth
from scailookup.errors import MissingCredentials, SettingsError, UpstreamAuth
from scailookup.settings import Flag, Seconds, Secret, Url, Words, load

MARK = "planted-own-secret"


@dataclass(frozen=True)
class Weather:
    """The settings of a plugin."""

    base_url: Url = "https://api.weather.example"
    units: Literal["si", "us"] = "si"
    regions: Words = ()
    max_age: Seconds = 60.0
    loud: Flag = False
    key: Secret | None = None
    made: int = field(default=1, init=False)


@dataclass(frozen=True)
class Needy:
    """A plugin that cannot do without."""

    region: str


def refused(work: Any) -> str:
    """The line that stops the start."""
    with pytest.raises(SettingsError) as caught:
        work()
    return str(caught.value)


def test_defaults():
    """Without a variable the dataclass's own defaults stand."""
    assert Weather() == settings().of("weather", Weather)


def test_values_are_typed():
    """Texts become what the fields say."""
    found = settings(
        SCAILOOKUP_WEATHER_BASE_URL="http://127.0.0.1:1/x/",
        SCAILOOKUP_WEATHER_UNITS="us",
        SCAILOOKUP_WEATHER_REGIONS="north, south",
        SCAILOOKUP_WEATHER_MAX_AGE="2.5",
        SCAILOOKUP_WEATHER_LOUD="yes",
        SCAILOOKUP_WEATHER_KEY=MARK,
    ).of("weather", Weather)
    assert ("http://127.0.0.1:1/x", "us", ("north", "south"), 2.5, True, MARK) == (
        *(found.base_url, found.units, found.regions, found.max_age, found.loud),
        found.key.get_secret_value() if found.key else None,
    )


def test_an_empty_value_is_none():
    """As everywhere, an empty variable is the same as none."""
    assert "si" == settings(SCAILOOKUP_WEATHER_UNITS="").of("weather", Weather).units


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UNITS", MARK),
        ("MAX_AGE", "-1"),
        ("LOUD", MARK),
        ("BASE_URL", f"https://u:{MARK}@x"),
        ("KEY", f"{MARK}\n2"),
    ],
)
def test_a_bad_value_is_one_line_without_it(name, value):
    """The line names the variable, never the value; the start is refused whatever the plugin makes of it."""
    given = settings(**{f"SCAILOOKUP_WEATHER_{name}": value})
    line = refused(lambda: given.of("weather", Weather))
    assert (True, False, True) == (
        line.startswith(f"SCAILOOKUP_WEATHER_{name}: "),
        MARK in line,
        "\n" not in line,
    )
    assert line == refused(given.own.refuse_bad)


@dataclass(frozen=True)
class Pair:
    """Two settings that exclude each other."""

    left: str = ""
    right: str = ""

    def __post_init__(self) -> None:
        if self.left and self.right:
            raise ValueError("left and right exclude each other")


def test_a_rule_between_values():
    """What the dataclass itself refuses is told with the beginning of its names."""
    given = settings(SCAILOOKUP_WEATHER_LEFT="a", SCAILOOKUP_WEATHER_RIGHT="b")
    line = refused(lambda: given.of("weather", Pair))
    assert "SCAILOOKUP_WEATHER_*: left and right exclude each other" == line


def test_a_missing_value():
    """A field without a default is required."""
    assert "SCAILOOKUP_WEATHER_REGION: field required" == refused(lambda: settings().of("weather", Needy))


def test_names_that_nobody_reads():
    """What begins like a plugin's and is read by none is unknown, with the same line as any other."""
    given = settings(SCAILOOKUP_WEATHER_UNITS="us", SCAILOOKUP_WEATHER_COLOUR="red")
    given.of("weather", Weather)
    assert "SCAILOOKUP_WEATHER_COLOUR: no such setting (docs/settings.md lists them)" == refused(
        lambda: given.own.refuse_unknown([])
    )


def test_a_plugin_that_is_not_there_reads_nothing():
    """The settings of a plugin that failed or is disabled do not end the start."""
    settings(SCAILOOKUP_WEATHER_COLOUR="red").own.refuse_unknown(["weather"])


@pytest.mark.parametrize("name", ["SCAILOOKUP_WEATHR_UNITS", "SCAILOOKUP_WEATHER", "SCAILOOKUP_DEADLINES"])
def test_a_name_that_is_no_plugins_is_refused_at_once(name):
    """What cannot belong to an installed plugin is refused before any is loaded."""
    assert f"{name}: no such setting (docs/settings.md lists them)" == refused(
        lambda: settings(**{name: "x"})
    )


def test_only_installed_plugins_have_settings():
    """Without a word the plugins are those installed."""
    given = {**BASICS, "SCAILOOKUP_NOSUCH_A": "1"}
    assert "SCAILOOKUP_NOSUCH_A" in refused(lambda: load(given, system_file=None))


def test_a_name_with_a_hyphen():
    """A hyphen in a plugin's name is an underscore in its variables."""
    given = load({**BASICS, "SCAILOOKUP_MY_PLUGIN_REGION": "north"}, system_file=None, plugins=["my-plugin"])
    assert "north" == given.of("my-plugin", Needy).region


@dataclass
class Deadline:
    """A dataclass that would read a setting of the service's."""

    timeout: str = ""


@pytest.mark.parametrize(
    ("name", "kind"), [("connect", Deadline), ("weather", dict), ("weather", Weather()), ("A b", Weather)]
)
def test_what_cannot_be_asked_for(name, kind):
    """A setting of the service's own, something that is no dataclass, a name that is none."""
    with pytest.raises((ValueError, TypeError)):
        settings().of(name, kind)


def test_a_secret_is_scrubbed_and_not_shown():
    """Its value is among the settings' secrets, and what is shown only says that it is set."""
    given = settings(SCAILOOKUP_WEATHER_KEY=MARK)
    found = given.of("weather", Weather)
    shown = {value.name: (value.shown, value.given) for value in given.own.values()}
    assert MARK in given.secrets()
    assert MARK not in f"{found} {given} {given.own.values()}"
    assert (("(set)", True), ("si", False), ("(empty)", False)) == (
        shown["SCAILOOKUP_WEATHER_KEY"],
        shown["SCAILOOKUP_WEATHER_UNITS"],
        shown["SCAILOOKUP_WEATHER_REGIONS"],
    )


BASE = "https://up.example"
KEYED = Upstream("up", BASE, auth.Bearer("$SCAILOOKUP_WEATHER_KEY"), (Lookup("things", "/things"),))


@pytest.mark.gen_test
async def test_a_setting_signs_a_call():
    """A reference to a setting is sent as a stored secret would be, and the step is env."""
    asked = Asked({f"{BASE}/things": [{"id": "a"}]}, SCAILOOKUP_WEATHER_KEY=MARK)
    asked.settings.of("weather", Weather)
    served = await asked.ask(KEYED)
    assert ([{"id": "a"}], "env", f"Bearer {MARK}") == (
        *(said(served)["data"], served.answer.credential),
        dict(asked.fetch.requests[0].headers)["Authorization"],
    )


@pytest.mark.gen_test
@pytest.mark.parametrize("read", [True, False])
async def test_a_setting_that_is_not_set(read):
    """Without a value, or one that the plugin never read as a secret, there is no credential."""
    asked = Asked({}, **({} if read else {"SCAILOOKUP_WEATHER_KEY": MARK}))
    if read:
        asked.settings.of("weather", Weather)
    with pytest.raises(MissingCredentials) as caught:
        await asked.ask(KEYED)
    assert "`SCAILOOKUP_WEATHER_KEY`" in caught.value.fix


@pytest.mark.gen_test
async def test_a_refused_setting():
    """Who is refused with it reads which setting the operator must set anew."""
    asked = Asked({f"{BASE}/things": reply({}, 401)}, SCAILOOKUP_WEATHER_KEY=MARK)
    asked.settings.of("weather", Weather)
    with pytest.raises(UpstreamAuth) as caught:
        await asked.ask(KEYED)
    assert "SCAILOOKUP_WEATHER_KEY" in caught.value.fix
