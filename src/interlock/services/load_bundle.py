"""Fill memory with the bundle in force (invariant 2: without one, all is denied)."""

from __future__ import annotations

import asyncio

from interlock.core.bundle import Bundle, BundleInvalid
from interlock.core.version import compiled
from interlock.errors import StoreError, StoreUnavailable
from interlock.settings import Settings
from interlock.store import documents
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


async def load_bundle(store: Store, memory: Memory, settings: Settings) -> Bundle | None:
    """Put the bundle in force into memory and return it, or None when nothing usable was applied.

    One that memory has already, or has a later one than, is left. Documents that this version cannot read or
    compile deny everything until a manifest is applied; why is in the audit log. Raises `StoreUnavailable`.
    """
    environment = settings.environment
    version = await store.read(lambda connection: documents.head_version(connection, environment))
    if version <= memory.bundle_version:
        return memory.bundle
    try:
        found = await store.read(lambda connection: documents.in_force(connection, environment))
        if found is None:
            return None
        version = found.version
        bundle = await asyncio.to_thread(compiled, found.documents, found.versions, environment)
        memory.put_bundle(bundle, version=version)
    except StoreUnavailable:
        raise
    except (BundleInvalid, StoreError) as error:
        said = str(error)[:300]

        def record(transaction: Transaction) -> None:
            transaction.audit("manifest.unusable", body={"error": said})

        memory.put_bundle(None, version=version)
        await store.transact(record)
    return memory.bundle
