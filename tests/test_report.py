"""What `check` prints: the same for people and as JSON, with every secret out of it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest
from fakes import settings

from scailookup.report import check

pytestmark = pytest.mark.gen_test
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class WeatherSettings:
    """A plugin's settings whose author forgot that a key is a secret."""

    key: str = ""


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_check_prints_is_scrubbed(as_json):
    """What has the shape of a key is taken out in either form."""
    found = settings(
        SCAILOOKUP_WEATHER_KEY="sgk_planted-in-a-setting",
        SCAIGRID_BASE_URL=NOWHERE,
        SCAIFLOW_AUTH_DISABLED="true",
    )
    found.of("weather", WeatherSettings)
    out = io.StringIO()
    await check(found, as_json=as_json, out=out)
    assert (False, True) == ("planted" in out.getvalue(), "[redacted]" in out.getvalue())
    assert not as_json or isinstance(json.loads(out.getvalue())["findings"], list)
