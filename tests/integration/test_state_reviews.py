"""Going through what a withdrawn version did, on both databases: each action is decided by a person."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from interlock.cli.output import console
from interlock.cli.rollback import overview
from interlock.core.action import ActionState
from interlock.core.answer import Completed
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.services.close_run import close_run
from interlock.services.review_state import Reviewed, ReviewState
from interlock.store import actions, deployments, state_reviews
from support.engine import UNKNOWN, World, a_manifest

REASON = "it wrote to the wrong orders"


class Office:
    """A shop whose workflow was withdrawn, and the person who goes through what it did."""

    def __init__(self, world: World, review: str) -> None:
        self.world = world
        self.review = review
        self.signed: list[dict[str, Any]] = []
        self.use = ReviewState(store=world.store, memory=world.memory, sign=self._sign)

    def _sign(self, claims: Any) -> tuple[str, str]:
        self.signed.append(dict(claims))
        return "signature", "key_1"

    async def marks(self) -> dict[str, str]:
        return {each.action.id: each.mark.value for each in (await self.use.show(self.review)).found}

    async def keep(self, *wanted: str, reason: str = "it was right") -> Reviewed:
        return await self.use.keep(self.review, wanted, person="maria", reason=reason)

    async def undo(self, *wanted: str, confirmed: str = "") -> Reviewed:
        plan = confirmed or (await self.use.plan(self.review, wanted)).digest
        return await self.use.undo(self.review, wanted, confirmed=plan, person="maria", reason=REASON)

    async def end_run(self, run: str = "") -> None:
        """Let a run of the workflow end; what is open may still add to the review."""
        await close_run(
            store=self.world.store, memory=self.world.memory, run=run or self.world.run,
            reason="it is over", by="maria", person="maria",
        )  # fmt: skip

    async def closed(self) -> bool:
        found = await self.world.store.read(lambda found: state_reviews.get(found, self.review))
        return found.closed_at is not None


async def an_office(world: World) -> Office:
    """Return the office of a world in which the first deployment was withdrawn."""

    def begin(transaction: Any) -> str:
        environment = world.settings.environment
        deployed = deployments.newest(transaction.connection, environment, "orders")
        assert deployed is not None
        return state_reviews.open_review(
            transaction, environment=environment, workflow="orders", deployment=deployed.id, since=0,
            owner="maria", person="maria", reason=REASON,
        ).id  # fmt: skip

    return Office(world, await world.store.transact(begin))


def story(test: Callable[[Office], Coroutine[Any, Any, None]]) -> Callable[[Path, str], None]:
    """Run a test in an office, on each database."""

    @functools.wraps(test)
    def run(tmp_path: Path, database_url: str) -> None:
        async def play() -> None:
            world = await World(tmp_path, database_url).open(a_manifest())
            try:
                await test(await an_office(world))
            finally:
                await world.calls.close()
                await world.store.close()

        asyncio.run(play())

    run.__dict__.pop("__wrapped__")
    return run


async def write(office: Office, order: int, run: str = "") -> str:
    """Let the agent write one order, and return the action."""
    world = office.world
    answer = await world.propose("shop.write", {"order": order}, principal=world.principal(run))
    assert isinstance(answer, Completed)
    assert answer.action is not None
    return answer.action


@story
async def test_a_review_closes_only_when_each_action_is_decided(office: Office) -> None:
    first, second = await write(office, 1), await write(office, 2)
    await office.end_run()
    assert (await office.use.show(office.review)).left == (first, second)
    await office.keep(first)
    assert not await office.closed()
    done = await office.undo(second)
    assert done.left == ()
    assert await office.closed()
    assert (await office.world.until(second, "compensated")).state is ActionState.COMPENSATED
    assert (await office.world.action(first)).state is ActionState.SUCCEEDED
    with pytest.raises(StateConflict, match="closed"):
        await office.keep(first)


@story
async def test_undos_begin_in_one_commit_newest_first_under_a_signed_hash(office: Office) -> None:
    first, second = await write(office, 1), await write(office, 2)
    plan = await office.use.plan(office.review, [first, second])
    assert plan.actions == (second, first)
    await office.undo(first, second)
    assert office.signed[0]["plan"] == plan.digest
    for each in (first, second):
        await office.world.until(each, "compensated")
    undone = [each for each in office.world.script.effects if each.principal.agent == "interlock:recovery"]
    assert len(undone) == 2


@story
async def test_a_plan_that_moved_meanwhile_is_not_carried_out(office: Office) -> None:
    first, second = await write(office, 1), await write(office, 2)
    plan = await office.use.plan(office.review, [first, second])
    await office.undo(second)
    with pytest.raises(StateConflict):
        await office.undo(first, second, confirmed=plan.digest)
    with pytest.raises(StateConflict, match="moved meanwhile"):
        await office.undo(first, confirmed=plan.digest)
    assert (await office.world.action(first)).state is ActionState.SUCCEEDED


@story
async def test_doubt_and_what_others_touched_are_told_apart_and_a_read_is_left_out(office: Office) -> None:
    world = office.world
    await world.propose("shop.read", {"order": 1000})
    world.script.answers.append(UNKNOWN)
    await world.propose("shop.write", {"order": 9999})
    touched = await write(office, 4711)
    other = await world.open_run()
    alone = await write(office, 4711, other)
    doubt = next(each.id for each in await world.every() if each.state is ActionState.IN_DOUBT)
    assert await office.marks() == {doubt: "in_doubt", touched: "touched", alone: "undoable"}
    with pytest.raises(StateConflict, match="nobody knows yet"):
        await office.use.plan(office.review, [doubt])


@story
async def test_what_begins_under_the_restored_version_is_none_of_the_review(office: Office) -> None:
    world, environment = office.world, office.world.settings.environment
    before = await write(office, 1)

    def restore(transaction: Any) -> None:
        deployed = deployments.newest(transaction.connection, environment, "orders")
        assert deployed is not None
        deployments.withdraw(transaction, deployed)
        deployments.bring_back(transaction, deployed.id, by="maria")

    await world.store.transact(restore)
    still = await write(office, 2)  # in a run that the withdrawn version began
    await write(office, 3, run=await world.open_run())
    assert set(await office.marks()) == {before, still}
    assert (await office.use.show(office.review)).open_runs == (world.run,)


@story
async def test_a_review_with_nothing_left_is_closed_by_its_person_and_no_other_is(office: Office) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        await office.keep(reason=" ")
    await office.end_run()
    done = await office.keep(reason="nothing was done")
    assert done.review.closed_by == "maria"
    with pytest.raises(StateConflict, match="closed"):
        await office.keep()


@story
async def test_a_review_is_not_closed_by_naming_nothing_while_something_is_left(office: Office) -> None:
    await write(office, 1)
    with pytest.raises(UsageError, match="Name at least one"):
        await office.keep()
    assert not await office.closed()


@story
async def test_a_review_stays_open_while_runs_of_the_withdrawn_version_may_still_act(office: Office) -> None:
    action, other = await write(office, 1), await office.world.open_run()
    decided = await office.keep(action)
    assert (decided.left, decided.open_runs) == ((), (office.world.run, other))
    assert not await office.closed()
    with pytest.raises(StateConflict, match=f"may still act: {office.world.run}, {other}") as refused:
        await office.keep()
    assert f"interlock runs end {office.world.run}" in refused.value.hint
    late = await write(office, 2, other)
    await office.end_run()
    await office.end_run(other)
    with pytest.raises(UsageError, match="Name at least one"):
        await office.keep()
    await office.keep(late)
    assert await office.closed()


def test_a_person_reads_which_runs_keep_a_review_open_and_how_to_end_them() -> None:
    review = {"actions": [], "id": "rev_1", "left": [], "closed_at": None, "open_runs": ["run_1", "run_2"]}
    with console.capture() as shown:
        console.print(overview(review))
    said = " ".join(shown.get().split())
    assert "2 runs of the withdrawn version are open and may still act" in said
    assert "interlock runs end run_1" in said
    assert "Then close the review: interlock rollback keep rev_1" in said


@story
async def test_a_person_reads_each_action_with_its_mark_and_what_is_left(office: Office) -> None:
    first, second = await write(office, 1), await write(office, 2)
    known = await office.keep(first)
    whole = {
        "actions": [
            {
                "action": each.action.id, "tool": each.action.tool, "mark": each.mark.value, "why": each.why,
                "decision": {"decision": "keep"} if each.action.id in known.decisions else None,
            }
            for each in known.found
        ],
        "id": office.review, "left": known.left, "closed_at": None, "open_runs": [],
    }  # fmt: skip
    with console.capture() as shown:
        console.print(overview(whole))
    kept, open_, left = shown.get().splitlines()[1:]
    assert kept.split()[:4] == [first, "shop.write", "undoable", "keep"]
    assert open_.split()[:3] == [second, "shop.write", "undoable"]
    assert left == "1 left to decide."


@story
async def test_what_belongs_to_no_review_or_has_no_reason_is_refused(office: Office) -> None:
    action = await write(office, 1)
    with pytest.raises(UsageError, match="reason"):
        await office.keep(action, reason=" ")
    with pytest.raises(NotFound):
        await office.keep("act_of_somebody_else")
    with pytest.raises(UsageError, match="at least one"):
        await office.use.plan(office.review, [])
    moved = await office.world.store.read(lambda found: len(actions.moves(found, action)))
    assert moved == 2
