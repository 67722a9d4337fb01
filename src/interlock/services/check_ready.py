"""Whether calls can be decided and recorded by this process now."""

from __future__ import annotations

from interlock import __version__
from interlock.core.model import Json
from interlock.errors import StoreError
from interlock.store.database import Store
from interlock.store.memory import Memory


async def check_ready(*, store: Store, memory: Memory, problem: str) -> dict[str, Json]:
    """Say whether a bundle is loaded, the store can be written, and nothing others changed is missed.

    `problem` is what is known to be wrong already, empty where nothing is.
    """
    problems: list[Json] = [problem] if problem else []
    if memory.bundle is None:
        problems.append("no manifest has been applied")
    try:
        await store.transact(lambda _: None)
    except StoreError as error:
        problems.append(error.message)
    return {
        "ready": not problems,
        "problems": problems,
        "environment": memory.environment,
        "version": __version__,
    }
