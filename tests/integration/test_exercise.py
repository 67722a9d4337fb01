"""An undo is tried out where it does no harm, counts in production after that, and really undoes (E5)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from interlock.app.compose import wire
from interlock.core.action import ActionState
from interlock.core.answer import Completed, Proposal
from interlock.core.bundle import compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import key
from interlock.core.document.tool import BlastRadius, Companion, Exercise, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, Principal, RiskTier
from interlock.errors import StateConflict, UsageError
from interlock.services.compensate import Compensate
from interlock.services.exercise import TryOut, load_exercises
from interlock.services.register import pin_digest
from interlock.store import actions, bundles, run_starts
from interlock.store.database import Transaction
from interlock.web.autonomy import standing
from interlock.wiring import Wired
from support.stores import a_settings
from support.warm import PYTHON

MAP = BlastRadius(widest_scope="one ticket", impact="a wrong note", reversible="always")
NOTE = {"ticket": "T-1", "text": "looked at"}


def manifest(folder: Path) -> list[Any]:
    """Return a help desk, one that stands in for it, and a workflow that may write notes."""
    server = (*PYTHON, "-m", "interlock.testing.helpdesk", "--state")
    shared: dict[str, Any] = {"tier": RiskTier.LIMITED_WRITE, "effect": EffectClass.IDEMPOTENT}
    return [
        Person(name="maria", email="maria@example.com", roles=("admin",)),
        Agent(name="bot", owner="maria"),
        ToolServer(name="desk", transport="stdio", command=(*server, str(folder / "desk.json"))),
        ToolServer(name="trial", transport="stdio", command=(*server, str(folder / "trial.json"))),
        Tool(
            name="desk.add_note", blast_radius=MAP, **shared,
            undo=Companion(tool="desk.remove_note", arguments={"note": "$result.note"}),
            exercise=Exercise(server="trial", arguments=NOTE),
        ),
        Tool(name="desk.remove_note", blast_radius=MAP, **shared),
        Tool(
            name="desk.close_ticket", blast_radius=MAP, **shared,
            undo=Companion(tool="desk.reopen_ticket", arguments={"ticket": "$args.ticket"}),
        ),
        Tool(
            name="desk.reopen_ticket", blast_radius=MAP, **shared,
            undo=Companion(tool="desk.close_ticket", arguments={"note": "$args.ticket"}),
            exercise=Exercise(server="trial", arguments={"ticket": "T-1"}),
        ),
        Workflow(name="notes", agent="bot", owner="maria", tools=(Grant(tool="desk.add_note"),)),
    ]  # fmt: skip


def notes(state: Path) -> dict[str, str]:
    """Return the notes of the ticket as the help desk has them."""
    found: dict[str, str] = json.loads(state.read_text())["tickets"]["T-1"]["notes"]
    return found


def tries(wired: Wired) -> TryOut:
    """Return the use case as the API builds it."""

    def defined(server: str, tool: str) -> str | None:
        found = next((each for each in wired.servers.tools(server) or () if each["name"] == tool), None)
        return None if found is None else pin_digest(found)

    return TryOut(
        store=wired.store, memory=wired.memory, runtime=wired.runtime, execute=wired.servers.execute,
        defined=defined, timeout=20,
    )  # fmt: skip


async def told(folder: Path) -> None:
    async with wire(a_settings(folder, environment="production")) as wired:
        documents = manifest(folder)
        bundle = compile_bundle(documents, environment="production")
        versions = {key(each)[:2]: 1 for each in documents}

        def put(transaction: Transaction) -> None:
            bundles.put_in_force(transaction, wired.memory, bundle, versions, base=0, by="maria")

        def start(transaction: Transaction) -> str:
            asked = run_starts.RunStart(
                workflow="notes", agent="bot", started_by="maria", lease_until=transaction.now + 10**10
            )
            return run_starts.start(transaction, wired.memory, asked)[0].id

        await wired.store.transact(put)
        run = await wired.store.transact(start)
        await wired.registrar.start()
        await wired.calls.start()
        try:
            await wired.registrar.look(20)
            await tried_out(wired)
            await undone(wired, run, folder / "desk.json")
        finally:
            await wired.calls.close()
            await wired.servers.close()


def record(wired: Wired) -> str:
    """Return how the workflow stands with its tool, in the words of `interlock autonomy show`."""
    assert wired.memory.bundle is not None
    return str(standing(wired.memory, wired.memory.bundle, "notes", "desk.add_note", None)["says"])


async def tried_out(wired: Wired) -> None:
    use = tries(wired)
    assert not wired.memory.exercised("desk.add_note")
    assert record(wired).startswith("asks a person until its undo was tried out; not yet proved")
    done = await use.undo("desk.add_note", arguments=None, person="maria")
    assert (done.outcome, done.server, done.undo) == ("undone", "trial", "desk.remove_note")
    wired.memory.exercises.clear()
    await load_exercises(wired.store, wired.memory)
    assert wired.memory.exercised("desk.add_note")
    wrong = await use.undo("desk.reopen_ticket", arguments=None, person="maria")
    assert (wrong.outcome, wrong.problem) == ("failed", "desk.close_ticket failed")
    assert not wired.memory.exercised("desk.reopen_ticket")
    with pytest.raises(UsageError, match="would do harm"):
        await use.undo("desk.close_ticket", arguments={"ticket": "T-1"}, person="maria")
    with pytest.raises(UsageError, match="names no undo"):
        await use.undo("desk.remove_note", arguments={}, person="maria")
    with pytest.raises(UsageError, match="does not accept"):
        await use.undo("desk.add_note", arguments={"ticket": 7}, person="maria")


async def undone(wired: Wired, run: str, state: Path) -> None:
    principal = Principal(
        agent="bot", owner="maria", workflow="notes", workflow_version=1, run=run, environment="production",
        token_id="t", key_id="k", epoch=1, expires_at=wired.runtime.clock.now() + 10**9,
    )  # fmt: skip
    proposal = Proposal(principal=principal, tool="desk.add_note", arguments=NOTE, digest=digest(NOTE))
    answer = await wired.calls.propose(proposal, bridge=None, wait=0)
    assert isinstance(answer, Completed)  # no person was asked: its undo was tried out
    assert record(wired).startswith("not yet proved")
    assert notes(state)
    (action,) = await wired.store.read(lambda found: actions.listed(found))
    people = Compensate(store=wired.store, memory=wired.memory)
    await people.action(action.id, person="maria", reason="a wrong note")
    async with asyncio.timeout(20):
        while action.state is not ActionState.COMPENSATED:
            await asyncio.sleep(0.02)
            (action,) = await wired.store.read(lambda found: actions.listed(found, agent="bot"))
    assert not notes(state)
    pin = wired.memory.pins["desk.remove_note"]
    wired.memory.set_pin(type(pin)(tool=pin.tool, digest=pin.digest, seen="other"), None)
    with pytest.raises(StateConflict, match="not registered as it is"):
        await tries(wired).undo("desk.add_note", arguments=None, person="maria")
    wired.memory.set_pin(type(pin)(tool=pin.tool, digest="another", seen="another"), None)
    assert not wired.memory.exercised("desk.add_note")


def test_an_undo_that_was_tried_out_counts_in_production_and_takes_back_what_was_done(tmp_path: Path) -> None:
    asyncio.run(told(tmp_path))
