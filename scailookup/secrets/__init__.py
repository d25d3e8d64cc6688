"""Secrets: where they lie (one store, or none) and how they are held through outages."""

from __future__ import annotations

from scailookup.seams import Fetch, SecretStore
from scailookup.secrets.held import HeldSecrets
from scailookup.settings import Settings

__all__ = ["HeldSecrets", "open_store"]


def open_store(settings: Settings, fetch: Fetch) -> SecretStore | None:
    """The secret store the settings name, None when they name none.

    Nothing is read or connected here. Each store's libraries are imported only
    when it is the chosen one, which keeps the start small.
    """
    if settings.vault_addr:
        from scailookup.secrets.vault import VaultStore

        return VaultStore(settings)
    if settings.scaivault_url:
        from scailookup.secrets.scaivault import ScaiVaultStore

        return ScaiVaultStore(settings, fetch)
    if settings.secrets_file:
        from scailookup.secrets.file import FileStore

        return FileStore(settings.secrets_file)
    return None
