"""The version, in the one place that the packaging reads too, and that of the plugins' API."""

__version__ = "0.1.0"
API_VERSION = "1.0"
"""What plugins are written against; docs/plugins/policy.md says when it rises."""
