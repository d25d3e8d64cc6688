"""What a plugin declares: upstreams with their lookups, and handlers. Frozen values, checked when made."""

from scailookup.checks import check_base_url, check_headers, check_upstream_path
from scailookup.declare.lookups import LONGEST_VALUE, Filter, Lookup, Param
from scailookup.declare.templates import fill, spreadable
from scailookup.declare.upstreams import Route, Tls, Upstream, merged

__all__ = [
    "LONGEST_VALUE",
    "Filter",
    "Lookup",
    "Param",
    "Route",
    "Tls",
    "Upstream",
    "check_base_url",
    "check_headers",
    "check_upstream_path",
    "fill",
    "merged",
    "spreadable",
]
