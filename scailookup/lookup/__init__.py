"""One lookup from start to finish: parameters, credential, pages, rows, blame."""

from scailookup.lookup.blame import blame
from scailookup.lookup.bound import Bound
from scailookup.lookup.me import ask_me
from scailookup.lookup.params import Selection, parse_query, parse_value, parse_values
from scailookup.lookup.rows import Reader
from scailookup.lookup.service import Launched, Limits, Lookups

__all__ = [
    "Bound",
    "Launched",
    "Limits",
    "Lookups",
    "Reader",
    "Selection",
    "ask_me",
    "blame",
    "parse_query",
    "parse_value",
    "parse_values",
]
