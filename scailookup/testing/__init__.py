"""For the tests of plugins: a lookup without sockets, an echo, the whole service, a ready suite.

``look_up`` asks one lookup against scripted replies, ``conforms`` holds an upstream
against the rules of a good one, ``Echo`` is an upstream on loopback and ``serve`` the
real service around what it is given. See ``docs/plugins/testing.md``.
"""

from scailookup.testing.conforming import conforms
from scailookup.testing.echo import Echo
from scailookup.testing.looking import Looked, look_up
from scailookup.testing.script import Sent, reply
from scailookup.testing.secrets import FakeSecrets
from scailookup.testing.serving import Response, Serving, serve, settings

__all__ = [
    "Echo",
    "FakeSecrets",
    "Looked",
    "Response",
    "Sent",
    "Serving",
    "conforms",
    "look_up",
    "reply",
    "serve",
    "settings",
]
