"""What one process follows of the others: each topic of the news, and who reads it anew."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import sqlalchemy as sa

from interlock.core.action import OPEN
from interlock.services.exercise import load_exercises
from interlock.services.load_bundle import load_bundle
from interlock.store import actions, approvals, revocations, run_facts
from interlock.store.memory import LiveAction
from interlock.store.news import Topic
from interlock.wiring import Wired, WiredModels

Subjects = Collection[str] | None


def follow_all(wired: WiredModels) -> None:
    """Follow what every process decides on: what refuses first, then what allows."""
    follow = wired.follow
    follow.on(Topic.KILL, lambda _: wired.kill.follow_record())
    follow.on(Topic.BREAKER, lambda _: wired.breakers.load())
    follow.on(Topic.AUTONOMY, lambda _: wired.tracked.load())
    follow.on(Topic.REVOKED, partial(_revoked, wired))
    follow.on(Topic.KEYS, lambda _: wired.keyring.reload(wired.store))
    follow.on(Topic.BUNDLE, lambda _: load_bundle(wired.store, wired.memory, wired.settings))
    follow.on(Topic.PRICES, lambda _: wired.prices.reload())
    follow.on(Topic.EXERCISE, lambda _: load_exercises(wired.store, wired.memory))
    follow.on(Topic.RUN, partial(_runs, wired))


def follow_tools(wired: Wired, *, engine: bool) -> None:
    """Follow the pins of tools, and where tool calls are carried out, what others decide about them.

    A process that leaves them to another one tells it of every action that it moves.
    """
    wired.follow.on(Topic.PIN, wired.registrar.reload)
    if engine:
        wired.follow.on(Topic.ACTION, partial(_actions, wired))
    else:
        wired.store.follow(lambda transaction, _, now: transaction.tell(Topic.ACTION, now.id))
        wired.memory.watchers.append(lambda live: wired.memory.forget_action(live.id))


async def _revoked(wired: WiredModels, subjects: Subjects) -> None:
    if subjects is None:
        now = wired.runtime.clock.now()
        loaded = await wired.store.read(lambda found: revocations.load(found, now))
        revocations.merge(wired.memory, loaded)
    for each in subjects or ():
        revocations.hear(wired.memory, each)


async def _runs(wired: WiredModels, subjects: Subjects) -> None:
    """Know the runs that were opened, and close those that ended; what is counted here stays counted."""
    memory = wired.memory
    if subjects is None:
        for facts in await wired.store.read(lambda found: list(run_facts.load_facts(found))):
            if facts.run not in memory.runs:
                memory.open_run(facts)
        subjects = [run for run, facts in memory.runs.items() if facts.open]
    for facts in await wired.store.read(lambda found: run_facts.look(found, subjects, memory.environment)):
        known = memory.runs.get(facts.run)
        if known is None:
            if facts.open:
                memory.open_run(facts)
        elif facts.open:
            memory.label_run(facts.run, facts.labels)
            memory.score_run(facts.run, facts.score)
        elif known.open:
            memory.close_run(facts.run)


async def _actions(wired: Wired, subjects: Subjects) -> None:
    """Go on with the calls that another process decided, or ended."""
    memory, aloft = wired.memory, wired.calls.flights.aloft
    for name in list(memory.actions) if subjects is None else subjects:
        if aloft(name):
            continue
        known, found = memory.actions.get(name), await wired.store.read(partial(_live, name=name))
        while memory.actions.get(name) is not known:  # it went on here meanwhile
            known, found = memory.actions.get(name), await wired.store.read(partial(_live, name=name))
        if found != known and (known is not None or found.state in OPEN):
            memory.put_action(found)


def _live(connection: sa.Connection, name: str) -> LiveAction:
    action = actions.get(connection, name)
    asked = approvals.find(connection, action.approval)
    return actions.live_of(action, expires_at=asked.expires_at if asked else 0)
