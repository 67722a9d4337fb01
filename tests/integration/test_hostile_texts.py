"""What tool servers and callers write is stored on either database, whatever characters it has (A6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock.upstream.executor import Failed, NotSent, Outcome, Succeeded, Unknown
from support.engine import World, a_manifest

HOSTILE = "a\0b\x1b[31m\u202e" + "x" * 100_000
PAYLOAD = {"content": [{"type": "text", "text": HOSTILE}], "isError": True}
OUTCOMES: tuple[Outcome, ...] = (
    Failed(message=HOSTILE, payload=PAYLOAD),
    Failed(message=HOSTILE),
    Succeeded(payload=PAYLOAD),
    Unknown(message=HOSTILE),
    NotSent(message=HOSTILE),
)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda each: type(each).__name__)
def test_an_outcome_is_settled_whatever_characters_it_has(
    tmp_path: Path, postgres_url: str, database: str, outcome: Outcome
) -> None:
    async def story() -> None:
        url = postgres_url if database == "postgres" else ""
        world = await World(tmp_path / "one", url).open(a_manifest())
        try:
            world.script.answers = [outcome]
            answer = await asyncio.wait_for(world.propose("shop.write", wait=5), 20)
            [action] = await world.every()
            assert action.state.value in ("succeeded", "failed", "in_doubt", "retry"), (action, answer)
        finally:
            await world.close()

    asyncio.run(story())
