"""Who asks, and what they may: tokens, signing keys, permissions."""

from scailookup.identity.keys import KeySet, discovery_urls
from scailookup.identity.permissions import Permissions
from scailookup.identity.tokens import CHECKS, MAX_TOKEN, Tokens, bearer

__all__ = ["CHECKS", "MAX_TOKEN", "KeySet", "Permissions", "Tokens", "bearer", "discovery_urls"]
