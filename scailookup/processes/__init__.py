"""How the service runs: alone in one process, or several under a supervisor.

One process binds, serves and obeys signals itself. Several are fresh interpreters, begun
by a supervisor that holds the sockets, the admin listener and the signals, and serves no
lookup: it makes no client and no key, and a worker shares nothing with it but sockets.
"""

from scailookup.processes.alone import announce, serve_alone
from scailookup.processes.serving import Serving
from scailookup.processes.sockets import open_sockets
from scailookup.processes.supervisor import CRASH_LOOP, supervise

__all__ = ["CRASH_LOOP", "Serving", "announce", "open_sockets", "serve_alone", "supervise"]
