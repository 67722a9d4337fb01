"""Autonomy is earned by trials that somebody could object to, given by a person, lost at once (F1, F3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.core.action import ActionState
from interlock.core.answer import Broken, Completed, Waiting
from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Autonomy
from interlock.core.model import SECOND, AutonomyTier, Verdict
from interlock.core.track_record import Cause
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.services.compensate import Compensate
from interlock.services.follow import Follow
from interlock.store import actions, alert_events, deliveries, digests, timers, track_records, trials
from interlock.store.news import Topic
from interlock.store.people import Person
from interlock.store.trials import Look, Mark, TrialState
from support.engine import MARIA as DECIDER
from support.engine import UNKNOWN, a_manifest, eventually, failed
from support.tracked import DAY, Tracked

FREE, REVIEWED, ASKED = AutonomyTier
MARIA = Person(name="maria", roles=frozenset({"agent_owner"}))
KIM = Person(name="kim", roles=frozenset({"operator"}))
ROOT = Person(name="deng", roles=frozenset({"admin"}))
WRITE = ("orders", "shop.write")


Story = Callable[[Tracked], Coroutine[Any, Any, None]]


@pytest.fixture
def told(tmp_path: Path, database_url: str) -> Callable[..., None]:
    """Run a story in a world, on both databases."""

    def run(story: Story, *more: AnyDocument, **manifest: Any) -> None:
        async def whole() -> None:
            world = Tracked(tmp_path, database_url)
            await world.open(a_manifest(*more, **manifest))
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(whole())

    return run


@pytest.fixture
def lite(tmp_path: Path) -> Callable[..., None]:
    """Run a story on SQLite alone: what it is about is not the database's."""

    def run(story: Story, *more: AnyDocument, **manifest: Any) -> None:
        async def whole() -> None:
            world = Tracked(tmp_path)
            await world.open(a_manifest(*more, **manifest))
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(whole())

    return run


def test_what_was_listed_for_its_owner_and_not_objected_to_is_a_clean_trial(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        first, second = await world.works(2)
        assert (first.state, first.verdict) == (ActionState.SUCCEEDED, Verdict.ALLOW_WITH_REVIEW)
        await world.ripen()
        assert (await world.record()).clean == 0  # no digest was made: nobody could object
        digest = await world.digest()
        await world.digests.opened(digest, "maria")
        assert [each.digest for each in (await world.trial(first.id), await world.trial(second.id))] == [
            digest
        ] * 2
        await world.store.transact(lambda tx: world.tracked.mature(tx, "orders shop.write"))
        assert (await world.record()).clean == 0  # its window has only begun
        await world.ripen()
        assert (await world.record()).clean == 2
        assert (await world.trial(first.id)).state is TrialState.CLEAN

    told(story)


def test_a_digest_that_reached_nobody_proves_nothing(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        (action,) = await world.works()
        await world.digest()
        await world.ripen()
        assert (await world.trial(action.id)).state is TrialState.UNSEEN
        assert (await world.record()).clean == 0

    lite(story)


def test_a_run_counts_once_however_many_calls_it_makes(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        for number in range(5):
            await world.propose("shop.write", {"order": number}, wait=5)
        await world.digests.opened(await world.digest(), "maria")
        await world.ripen()
        assert (await world.record()).clean == 1
        world.script.answers.append(failed())
        await world.propose("shop.write", {"order": "bad"}, wait=5)
        record = await world.record()
        assert (record.clean, record.failed) == (0, 1)  # the run is one trial, and it failed
        world.script.answers.append(failed())
        await world.propose("shop.write", {"order": "worse"}, wait=5)
        assert (await world.record()).failed == 1

    lite(story)


def test_what_a_person_let_pass_is_seen_and_what_they_refused_or_corrected_failed(
    lite: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        waiting = [(await world.works(1, "shop.refund", wait=0))[0] for _ in range(3)]
        await world.approve(waiting[0].approval)
        await world.until(waiting[0].id, "succeeded")
        assert (await world.trial(waiting[0].id)).look is Look.PERSON
        await world.people.reject(waiting[1].approval, DECIDER, reason="no")
        await world.people.modify(waiting[2].approval, DECIDER, arguments={"order": 7}, reason="less")
        assert (await world.record(tool="shop.refund")).failed == 2
        revised = (await world.action(waiting[2].id)).successor
        world.calls.decided(revised)
        await world.until(revised, "succeeded")
        assert await world.store.read(lambda c: trials.find(c, revised)) is None  # a person wrote it
        await world.ripen("shop.refund")
        assert (await world.record(tool="shop.refund")).clean == 1

    lite(story)


def test_failures_demote_by_exactly_one_tier_at_once_and_a_new_record_begins(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        assert world.memory.autonomy == {WRITE: FREE}
        (ran,) = await world.works()
        assert ran.verdict is Verdict.ALLOW
        await world.works(1, fails=True)
        assert (await world.record()).tier is FREE
        await world.works(1, fails=True)
        record = await world.record()
        assert (record.tier, record.failed, record.alarm) == (REVIEWED, 0, 0)
        assert world.memory.autonomy == {}  # what a limited write has anyhow
        (again,) = await world.works()
        assert again.verdict is Verdict.ALLOW_WITH_REVIEW
        (change, *_) = await world.store.read(lambda c: track_records.changes(c, "dev"))
        assert (change.cause, change.from_tier, change.to_tier, change.failed) == (
            Cause.ALARM,
            FREE,
            REVIEWED,
            2,
        )
        (told_of,) = await world.store.read(lambda c: alert_events.listed(c, "dev", kind="autonomy.lost"))
        assert "reviewed in the daily digest" in told_of.summary
        await world.tracked.load()
        assert world.memory.autonomy == {}

    told(story)


def test_a_tier_that_was_lost_elsewhere_is_found_by_the_claim_itself(told: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        await world.demote(*WRITE, by="kim", reason="odd")
        record = await world.record()
        track_records.put(world.memory, replace(record, tier=FREE))  # as if its news had not come yet
        answer = await world.propose("shop.write", {"order": 1}, wait=5)
        assert isinstance(answer, Broken)
        assert not world.script.effects
        await world.tracked.load()
        assert isinstance(await world.propose("shop.write", {"order": 1}, wait=5), Completed)

    told(story)


def test_what_began_before_a_demotion_does_not_demote_again(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        before = await world.works(4)
        for each in before[:2]:
            await undo(world, each.id)
        assert (await world.record()).tier is REVIEWED
        for each in before[2:]:
            await undo(world, each.id)
        record = await world.record()
        assert (record.tier, record.failed) == (REVIEWED, 0)

    lite(story)


async def undo(world: Tracked, action: str) -> None:
    await Compensate(store=world.store, memory=world.memory).action(action, person="maria", reason="wrong")


def test_an_undo_that_fails_is_severe_whatever_was_earned(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        (ran,) = await world.works()

        def fails(transaction: Any) -> None:
            now = actions.move(transaction, ran, ActionState.COMPENSATING, by="maria")
            actions.move(transaction, now, ActionState.COMPENSATION_FAILED, by="recovery")

        await world.store.transact(fails)
        assert (await world.record()).tier is ASKED
        assert world.memory.autonomy == {WRITE: ASKED}

    lite(story)


def test_evidence_proposes_once_and_only_a_named_person_who_answers_applies_it(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        await world.put(REVIEWED, clean=340)
        (action,) = await world.works()
        with pytest.raises(StateConflict, match="Not yet proved: 340 of about 341 clean trials"):
            await world.promote(*WRITE, by=MARIA, reason="good")
        await world.digests.opened(await world.digest(), "maria")
        await world.ripen()
        assert (await world.trial(action.id)).state is TrialState.CLEAN
        proposed = await world.record()
        assert (proposed.clean, proposed.tier) == (341, REVIEWED)
        assert proposed.proposed_at
        (event,) = await world.store.read(lambda c: alert_events.listed(c, "dev", kind="autonomy.proposed"))
        assert "341 clean trials" in event.summary
        (told_to,) = await world.store.read(lambda c: deliveries.listed(c, "dev", event=event.id))
        assert told_to.name == "maria"
        assert (await world.promote.propose(*WRITE)).proposed_at == proposed.proposed_at
        with pytest.raises(NotPermitted):
            await world.promote(*WRITE, by=KIM, reason="good")
        with pytest.raises(UsageError):
            await world.promote(*WRITE, by=MARIA, reason=" ")
        assert (await world.record()).tier is REVIEWED
        done = await world.promote(*WRITE, by=MARIA, reason="it is reliable")
        assert (done.tier, done.clean, done.proposed_at) == (FREE, 0, 0)
        assert world.memory.autonomy == {WRITE: FREE}
        with pytest.raises(StateConflict, match="Nothing to prove"):
            await world.promote(*WRITE, by=ROOT, reason="more")
        await world.store.transact(lambda _: None)
        assert len(await world.kinds("autonomy.promotion_refused")) == 4
        assert [each.person for each in await world.kinds("autonomy.promoted")] == ["maria"]

    told(story)


def test_a_failure_after_the_proof_takes_the_proposal_back(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(REVIEWED, clean=341, proposed_at=5)
        await world.works(1, fails=True)
        assert (await world.record()).proposed_at == 0
        assert await world.kinds("autonomy.proposal_lapsed")
        with pytest.raises(StateConflict, match="341 of about 619 clean trials, with 1 failed"):
            await world.promote.propose(*WRITE)

    lite(story)


def test_what_cannot_be_undone_is_never_promoted(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(ASKED, "shop.peek", clean=5000)
        await world.put(ASKED, "shop.refund", clean=67)
        assert (await world.promote("orders", "shop.refund", by=ROOT, reason="fine")).tier is REVIEWED
        with pytest.raises(NotFound):
            await world.promote("orders", "shop.none", by=ROOT, reason="fine")

    lite(story)


def test_a_new_version_starts_one_tier_lower_and_proves_itself_anew(told: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE, clean=50)
        world.memory.set_pin(
            world.memory.pins["shop.write"].__class__(tool="shop.write", digest="other"), None
        )
        assert world.memory.autonomy == {}
        (ran,) = await world.works()
        assert ran.verdict is Verdict.ALLOW_WITH_REVIEW
        await world.works(1, fails=True)
        record = await world.record()
        assert (record.tier, record.clean, record.failed) == (REVIEWED, 0, 1)
        (change, *_) = await world.store.read(lambda c: track_records.changes(c, "dev"))
        assert change.cause is Cause.NEW_VERSION
        await world.put(ASKED)
        world.memory.set_pin(
            world.memory.pins["shop.write"].__class__(tool="shop.write", digest="third"), None
        )
        assert world.memory.autonomy == {WRITE: ASKED}  # what was lost stays lost

    told(story)


def test_a_share_of_what_runs_unseen_is_audited_and_the_rest_is_no_evidence(
    lite: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        ran = await world.works(25)
        looks = [(await world.trial(each.id)).look for each in ran]
        assert set(looks) <= {Look.AUDIT, Look.NONE}
        assert Look.NONE in looks
        await world.ripen()
        record = await world.record()
        assert (record.clean, record.tier) == (0, FREE)

    lite(story, autonomy=Autonomy(audit=500))


def test_a_person_demotes_by_one_tier_or_by_all_of_them(told: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        await world.put(FREE)
        with pytest.raises(UsageError):
            await world.demote(*WRITE, by="kim", reason="")
        assert (await world.demote(*WRITE, by="kim", reason="odd")).tier is REVIEWED
        await world.put(FREE)
        assert (await world.demote(*WRITE, by="kim", reason="harm", severe=True)).tier is ASKED
        with pytest.raises(StateConflict):
            await world.demote(*WRITE, by="kim", reason="more")
        with pytest.raises(NotFound):
            await world.demote("none", "shop.write", by="kim", reason="more")
        assert isinstance(await world.propose("shop.write", {"order": 1}), Waiting)

    told(story)


def test_each_item_of_a_digest_is_marked_by_who_answers_and_only_within_its_window(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        one, two, three = await world.works(3)
        with pytest.raises(StateConflict, match="in no digest yet"):
            await world.digests.mark(one.id, Mark.FINE, by=MARIA, reason="")
        await world.digest()
        with pytest.raises(NotPermitted):
            await world.digests.mark(one.id, Mark.FINE, by=KIM, reason="")
        with pytest.raises(UsageError):
            await world.digests.mark(one.id, Mark.NEEDS_RULE, by=MARIA, reason=" ")
        with pytest.raises(UsageError):
            await world.digests.mark(one.id, Mark.FINE, by=MARIA, reason="x", severe=True)
        with pytest.raises(NotFound):
            await world.digests.mark("act_none", Mark.FINE, by=MARIA, reason="")
        assert (await world.digests.mark(one.id, Mark.FINE, by=MARIA, reason="")).mark is Mark.FINE
        marked = await world.digests.mark(two.id, Mark.NEEDS_RULE, by=MARIA, reason="not at night")
        assert (marked.state, marked.marked_by, marked.reason) == (TrialState.FAILED, "maria", "not at night")
        assert (await world.record()).failed == 1
        await world.ripen()
        assert (await world.record()).clean == 1  # the one that was said to be fine
        assert (await world.trial(three.id)).state is TrialState.UNSEEN
        with pytest.raises(StateConflict, match="time to object to it is over"):
            await world.digests.mark(three.id, Mark.REVERSE, by=MARIA, reason="late")
        assert len(await world.kinds("digest.marked")) == 2

    told(story)


def test_an_item_is_reversed_once_and_counts_as_one_failure(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        (one,) = await world.works()
        await world.digest()
        item, action = await world.digests.find(one.id, by=MARIA)
        assert (item.action, action.id) == (one.id, one.id)
        await undo(world, one.id)
        await world.digests.mark(one.id, Mark.REVERSE, by=MARIA, reason="wrong order")
        assert (await world.record()).failed == 1
        with pytest.raises(StateConflict, match="maria had it reversed already: wrong order"):
            await world.digests.find(one.id, by=MARIA)
        with pytest.raises(StateConflict):
            await world.digests.mark(one.id, Mark.FINE, by=MARIA, reason="")
        (two,) = await world.works()
        await world.digest()
        await world.digests.mark(two.id, Mark.NEEDS_RULE, by=MARIA, reason="harm", severe=True)
        assert (await world.record()).tier is ASKED

    lite(story)


def test_a_digest_is_made_at_its_owners_hour_and_told_through_the_outbox(told: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        ran = await world.works(23)
        ref = "maria"
        (timer,) = await world.store.read(lambda c: timers.of(c, ref))
        assert timer.kind == "digest:dev"
        assert 0 < timer.due_at - world.store.now() <= DAY * SECOND
        assert timer.due_at // SECOND % DAY == 8 * 3600
        await world.digest()
        (made,) = await world.store.read(lambda c: digests.listed(c, "dev", owner="maria"))
        assert (made.items, made.opened_at) == (23, None)
        (event,) = await world.store.read(lambda c: alert_events.listed(c, "dev", kind="digest.ready"))
        assert event.id == made.event
        assert str(event.facts["calls"]).endswith("and 3 more")
        assert ran[0].id in str(event.facts["calls"])
        (told_to,) = await world.store.read(lambda c: deliveries.listed(c, "dev", event=event.id))
        assert (told_to.name, told_to.channel) == ("maria", "email")
        (timer,) = await world.store.read(lambda c: timers.of(c, ref))
        assert timer.due_at > world.store.now()  # the next one
        await world.digest()
        assert len(await world.store.read(lambda c: digests.listed(c, "dev"))) == 1  # nothing ran since
        with pytest.raises(NotFound):
            await world.store.read(lambda c: digests.get(c, "dev", "dig_none"))

    told(story)


def test_an_outcome_that_nobody_knows_says_nothing(lite: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        world.script.answers.append(UNKNOWN)
        answer = await world.propose("shop.write", {"order": 1}, wait=5)
        assert not isinstance(answer, Completed)
        (action,) = await world.every()
        assert action.state is ActionState.IN_DOUBT
        assert await world.store.read(lambda c: trials.find(c, action.id)) is None

    lite(story)


def test_400_clean_runs_are_proposed_promoted_run_free_and_two_failures_end_it(tmp_path: Path) -> None:
    async def story() -> None:
        world = Tracked(tmp_path)
        await world.open(a_manifest())
        try:
            await world.works(400)
            await world.digests.opened(await world.digest(), "maria")
            await world.ripen()
            record = await world.record()
            assert record.clean == 400
            assert record.proposed_at
            await world.promote(*WRITE, by=MARIA, reason="400 clean")
            (free,) = await world.works()
            assert free.verdict is Verdict.ALLOW
            await world.works(2, fails=True)
            (after,) = await world.works()
            assert after.verdict is Verdict.ALLOW_WITH_REVIEW
        finally:
            await world.close()

    asyncio.run(story())


def test_what_is_lost_in_one_engine_is_lost_in_every_other_that_lives(
    tmp_path: Path, postgres_url: str
) -> None:
    async def story() -> None:
        here, there = Tracked(tmp_path / "here", postgres_url), Tracked(tmp_path / "there", postgres_url)
        await here.open(a_manifest())
        await there.open()
        there.run = here.run
        follow = Follow(store=there.store, runtime=there.runtime, environment="dev")
        await follow.begin()
        follow.on(Topic.AUTONOMY, lambda _: there.tracked.load())
        follow.start()
        try:
            await here.put(REVIEWED)
            assert isinstance(await there.propose("shop.write", {"order": "first"}, wait=5), Completed)
            await here.works(2, fails=True)
            await here.works(1)  # three failures in a row would open the tool's breaker as well
            await here.works(1, fails=True)
            assert (await here.record()).tier is ASKED
            await eventually(lambda: there.memory.autonomy.get(WRITE) is ASKED)
            asked = await there.propose("shop.write", {"order": "next"})
            assert isinstance(asked, Waiting)
            assert asked.approval
            assert len(there.script.effects) == 1
        finally:
            follow.close()
            await there.close()
            await here.close()

    asyncio.run(story())
