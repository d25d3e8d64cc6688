"""Sealing: what leaves for a foreign memory can be neither read, forged nor moved there.

Everything comes from one secret that all processes share. Each place has a key of its
own, so no key ever seals often enough for random nonces to meet, and what lies in one
place cannot be opened in another.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["Broken", "Seal", "derive"]

_FORM = b"1"
_NONCE = 12


class Broken(Exception):
    """The sealed text was not made by us, not for this place, or was changed."""


def derive(secret: str, purpose: bytes) -> bytes:
    """32 bytes for one purpose; those of another purpose tell nothing of them."""
    info = b"scailookup shared cache " + purpose
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret.encode())


class Seal:
    """Seals and opens (AES-256-GCM). ``kind`` and ``place`` say where a text belongs."""

    def __init__(self, secret: str) -> None:
        self._root = derive(secret, b"seal")

    def close(self, kind: bytes, place: bytes, text: bytes) -> bytes:
        """``text`` sealed for ``place``."""
        key, label = self._key(kind, place)
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(key).encrypt(nonce, text, label)

    def open(self, kind: bytes, place: bytes, sealed: bytes) -> bytes:
        """What was sealed for ``place``; raises Broken."""
        key, label = self._key(kind, place)
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], label)
        except (InvalidTag, ValueError):
            raise Broken from None

    def _key(self, kind: bytes, place: bytes) -> tuple[bytes, bytes]:
        label = b"\0".join((_FORM, kind, place))
        return hashlib.blake2b(label, key=self._root, digest_size=32).digest(), label
