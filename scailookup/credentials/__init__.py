"""Which credential goes upstream, where it lies, and tokens that are fetched with one."""

from scailookup.credentials.chain import Credentials
from scailookup.credentials.paths import (
    BASE_URL_FIELDS,
    KEY_FIELDS,
    allowed_base_url,
    base_url_path,
    field_of,
    key_path,
)
from scailookup.credentials.tokens import AccessTokens
from scailookup.credentials.watched import Looked, Watched

__all__ = [
    "BASE_URL_FIELDS",
    "KEY_FIELDS",
    "AccessTokens",
    "Credentials",
    "Looked",
    "Watched",
    "allowed_base_url",
    "base_url_path",
    "field_of",
    "key_path",
]
