"""One lookup from start to finish: parameters, credential, pages, rows, blame."""

from scailookup.lookup.blame import blame
from scailookup.lookup.bound import Bound
from scailookup.lookup.me import ask_me
from scailookup.lookup.params import Selection, parse_query, parse_value, parse_values, unquote
from scailookup.lookup.rows import Reader
from scailookup.lookup.service import Launched, Limits, Lookups, Place
from scailookup.lookup.trial import Heard, Trial

__all__ = [
    "Bound",
    "Heard",
    "Launched",
    "Limits",
    "Lookups",
    "Place",
    "Reader",
    "Selection",
    "Trial",
    "ask_me",
    "blame",
    "parse_query",
    "parse_value",
    "parse_values",
    "unquote",
]
