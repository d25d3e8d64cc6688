"""Settings: read once from the environment and two files, checked whole, never changed.

Names and meanings: `docs/settings.md`. Real variables win over ``$SCAIFLOW_ENV_FILE``,
which wins over ``/etc/scailookup/scailookup.env``. The kinds of value are for the
dataclasses by which plugins declare settings of their own.
"""

from scailookup.settings.kinds import Flag, Seconds, Secret, Url, Words, is_loopback
from scailookup.settings.loading import SYSTEM_FILE, load
from scailookup.settings.own import GROUP
from scailookup.settings.values import Settings

__all__ = [
    "GROUP",
    "SYSTEM_FILE",
    "Flag",
    "Seconds",
    "Secret",
    "Settings",
    "Url",
    "Words",
    "is_loopback",
    "load",
]
