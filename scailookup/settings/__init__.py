"""Settings: read once from the environment and two files, checked whole, never changed.

Names and meanings: `docs/settings.md`. Real variables win over ``$SCAIFLOW_ENV_FILE``,
which wins over ``/etc/scailookup/scailookup.env``.
"""

from scailookup.settings.kinds import is_loopback
from scailookup.settings.loading import SYSTEM_FILE, load
from scailookup.settings.values import Settings

__all__ = ["SYSTEM_FILE", "Settings", "is_loopback", "load"]
