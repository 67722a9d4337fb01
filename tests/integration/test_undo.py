"""Undo (E3): an action of its own that runs past everything that stops agents, once for each action."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.answer import Completed
from interlock.core.breaker import BreakerKind
from interlock.core.compensation import RECOVERY, TRIES
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Grant
from interlock.core.model import EffectClass, OnFailure, RiskTier
from interlock.errors import StateConflict, UsageError
from interlock.services.close_run import close_run
from interlock.services.compensate import Compensate
from interlock.services.trip import trip_by_hand
from interlock.store import incidents, undos
from interlock.store.schema import audit
from interlock.testing.journal import check
from interlock.upstream.executor import Bridge, Dispatch, Failed, NotSent, Outcome, Succeeded, Unknown
from support.engine import UNKNOWN, UNSENT, World, a_manifest, a_tool, eventually, failed

pytestmark = pytest.mark.anyio

ADD = Companion(tool="shop.drop", arguments={"item": "$result.item", "from": "$args.order"}, within=3600)
TOOLS = (
    a_tool("shop.add", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=ADD),
    a_tool("shop.note", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT,
           undo=Companion(tool="shop.drop", arguments={"note": "$args.order"})),
    a_tool("shop.drop", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=None, cost_per_call=7),
)  # fmt: skip
GRANTS = tuple(Grant(tool=f"shop.{name}") for name in ("add", "note", "drop", "write"))


def added(number: int) -> Succeeded:
    """Return what `shop.add` answers."""
    return Succeeded(payload={"structuredContent": {"item": number}, "content": [], "isError": False})


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    world = await World(tmp_path, database_url).open(
        a_manifest(*TOOLS, grants=GRANTS, on_failure=OnFailure.UNDO)
    )
    yield world
    assert await world.store.read(check) == []
    await world.close()


def people(world: World) -> Compensate:
    return Compensate(store=world.store, memory=world.memory)


async def did(world: World, tool: str = "shop.add", number: int = 1, **more: Any) -> Action:
    """Let the agent do something; return the action."""
    world.script.answers.insert(0, added(number))
    answer = await world.propose(tool, {"order": number}, **more)
    assert isinstance(answer, Completed)
    return (await world.every())[-1]


async def test_a_person_has_an_action_undone_by_what_was_reviewed_for_it(world: World) -> None:
    action = await did(world, number=7)
    begun = await people(world).action(action.id, person="maria", reason="a mistake")
    undone = await world.until(action.id, "compensated")
    undo = await world.action(begun.undo.id)
    assert (undo.state, undo.comp_of, undo.agent) == (ActionState.SUCCEEDED, action.id, RECOVERY)
    assert undone.result == action.result
    sent = world.script.effects[-1]
    assert (sent.tool, sent.arguments, sent.principal.agent) == ("drop", {"item": 7, "from": 7}, RECOVERY)
    assert sent.idempotency_key
