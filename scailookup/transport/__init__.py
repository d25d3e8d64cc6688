"""The one room that speaks to upstreams: connections, attempts, places, events."""

from scailookup.transport.circuit import Circuits
from scailookup.transport.connect import connect
from scailookup.transport.curl import CurlClient
from scailookup.transport.door import Door, address_of
from scailookup.transport.gate import Gate

__all__ = ["Circuits", "CurlClient", "Door", "Gate", "address_of", "connect"]
