"""What cannot be recorded is not done, and what was done is not called undone (A6, invariants 1 and 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
import sqlalchemy as sa
from mcp.shared.exceptions import MCPError

from interlock.core.answer import Broken, Completed, InputAsked
from interlock.core.document.kind import AnyDocument
from interlock.services.verify_audit import verify_database
from interlock.store.database import JournalEntry, Store
from interlock.store.journal import BOUND
from interlock.store.schema import audit
from interlock.upstream.executor import Bridge, Dispatch, Outcome
from support.engine import UNKNOWN, World, asks, done, eventually, failed
from support.engine import a_manifest as a_shop
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop
from support.stores import FULL, ROOM, WriterPragma

DOCUMENTS: tuple[AnyDocument, ...] = a_manifest(
    [workshop("shop", stateless=True)],
    [a_tool("shop.echo")],
    resources=("shop://a", "shop://items/*"),
    prompts=("greet",),
    completion=True,
)


@contextmanager
def full_disk(store: Store) -> Generator[Callable[[], None]]:
    """Let the database grow no more, as SQLite itself limits it; what is yielded makes room again."""
    pragma = WriterPragma(store)
    pragma.set(FULL)

    def mend() -> None:
        pragma.set(ROOM)

    try:
        yield mend
    finally:
        mend()


def fill(store: Store) -> None:
    """Queue audit entries until there is no room."""
    body = {"filler": "x" * 500}
    while store.offer(JournalEntry(at=1, kind="filler", body=body)):
        pass


def too_much(store: Store) -> None:
    """Queue more than the database can take as long as it may not grow."""
    store.offer(JournalEntry(at=1, kind="filler", body={"filler": "x" * 200_000}))


async def filled(store: Store) -> None:
    """Fill the queue, and what the writer had taken out of it as well: it stays full then."""
    async with asyncio.timeout(30):
        while len(store._writer.journal) <= BOUND:
            fill(store)
            await asyncio.sleep(0.01)


async def kinds(store: Store) -> list[str]:
    query = sa.select(audit.c.kind).where(audit.c.kind != "filler").order_by(audit.c.seq)
    return await store.read(lambda found: list(found.execute(query).scalars()))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_with_a_full_audit_queue_everything_is_refused_clearly_and_then_works_again(
    mode: str, tmp_path: Path
) -> None:
    async def asked(client: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
        prompt = types.PromptReference(name="greet")
        return {
            "resource": lambda: client.read_resource("shop://a"),
            "template": lambda: client.read_resource("shop://items/7"),
            "prompt": lambda: client.get_prompt("greet", {"who": "you"}),
            "completion": lambda: client.complete(prompt, {"name": "who", "value": "y"}),
        }

    async def story(gateway: Gateway, client: Any) -> None:
        store, ways = gateway.wired.store, await asked(client)
        for way in ways.values():  # everything is listed and known before
            await way()
        with full_disk(store):
            await filled(store)
            for name, way in ways.items():
                with pytest.raises(MCPError) as told:
                    await way()
                assert "cannot be recorded" in told.value.error.message, name
                assert "Nothing was sent" in told.value.error.message, name
                assert "is full" in told.value.error.message, name
            with pytest.raises(MCPError, match="Resource not found"):
                await client.read_resource("shop://elsewhere")
            refused = await client.call_tool("echo", {"text": "x"})
            assert refused.is_error
            assert "was not sent, because it cannot be recorded" in refused.content[0].text
        async with asyncio.timeout(30):
            journal = store._writer.journal  # a commit is to be seen a moment before the writer goes on
            while "store.refused" not in await kinds(store) or journal.failure is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for way in ways.values():
            await way()
        assert (await client.call_tool("echo", {"text": "x"})).content[0].text == "x"

    async def play() -> None:
        async with a_gateway(DOCUMENTS, tmp_path / "d", patience=0.2) as gateway:
            settings.append(gateway.wired.settings)
            async with gateway.client(await gateway.token(), mode=mode) as client:
                await story(gateway, client)

    settings: list[Any] = []
    asyncio.run(play())
    assert verify_database(settings[0]).ok


@pytest.mark.parametrize(
    ("outcome", "says"),
    [(done(), "answered"), (failed(), "reported an error"), (asks(), "asked for input")],
    ids=["succeeded", "failed", "asked"],
)
def test_a_read_whose_outcome_cannot_be_recorded_was_sent_and_is_answered_so(
    outcome: Outcome, says: str, tmp_path: Path
) -> None:
    async def story(world: World) -> None:
        with full_disk(world.store) as mend:

            async def then_full(dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
                too_much(world.store)
                return outcome

            world.script.answers = [then_full]
            answer = await world.propose("shop.read")
            assert isinstance(answer, Broken)
            assert "was sent" in answer.message
            assert "not sent" not in answer.message
            assert says in answer.message
            assert "is full" in answer.message
            assert len(world.script.effects) == 1
            mend()
            await eventually(lambda: "ticket" in world.memory.runs[world.run].labels)
        expected = InputAsked if says == "asked for input" else Completed
        world.script.answers = [outcome]
        assert isinstance(await world.propose("shop.read"), expected)
        await world.calls.close()
        await world.store.journal(JournalEntry(at=1, kind="filler"))

    told = asyncio.run(_played(tmp_path, story))
    assert told.count("call.outcome") == 2


def test_a_read_that_gave_no_answer_is_on_record_once_there_is_room(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        with full_disk(world.store) as mend:
            too_much(world.store)
            world.script.answers = [UNKNOWN]
            answer = await world.propose("shop.read")
            assert isinstance(answer, Broken)
            assert answer.message == UNKNOWN.message
            mend()

    assert asyncio.run(_played(tmp_path, story)).count("call.outcome") == 1


async def _played(data: Path, story: Callable[[World], Awaitable[None]]) -> list[str]:
    """Play a story on its own data directory; return what is on record after it."""
    world = await World(data).open(a_shop())
    try:
        await story(world)
    finally:
        await world.close()
    assert verify_database(world.settings).ok
    store = (await World(data).open()).store
    found = await kinds(store)
    await store.close()
    return found
