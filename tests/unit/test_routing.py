"""Whom a request is put to, who may decide when, and what the clock does to it (F2)."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.document.identity import Rotation, Team
from interlock.core.document.workflow import Approvals
from interlock.core.duty import Rota
from interlock.core.model import SECOND
from interlock.core.routing import (
    Roster,
    Stage,
    answerable,
    climbed,
    deciders,
    opening,
    reminder_at,
    seconds,
    stages,
    told,
)

TURNS = Rota(rotation=Rotation(name="nights", members=("dan", "eve"), tz="UTC", first=0, hour=0), zone=UTC)
ROSTER = Roster(
    people={"ann", "bob", "cat", "dan", "eve"},
    teams={
        "desk": Team(name="desk", members=("ann", "bob")),
        "oncall": Team(name="oncall", members=("cat",), rota="nights"),
        "lost": Team(name="lost", members=("zoe",)),
        "odd": Team(name="odd", members=("ann",), rota="gone"),
    },
    rotas={"nights": TURNS},
)
WEEK = 7 * 86_400 * SECOND
ROUTE = stages(
    Approvals(approvers=("ann",), fallback=("desk", "ann"), escalation=("oncall", "nights")), ROSTER
)


def test_a_route_has_the_stages_that_name_anybody_with_all_who_may_decide_in_them() -> None:
    assert [(each.name, each.people) for each in ROUTE] == [
        ("approvers", ("ann",)),
        ("fallback", ("ann", "bob")),
        ("escalation", ("cat", "dan", "eve")),
    ]
    assert stages(Approvals(), ROSTER) == ()
    [only] = stages(Approvals(escalation=("lost", "odd")), ROSTER)
    assert (only.name, only.people) == ("escalation", ("ann",))


def test_earlier_stages_keep_the_right_to_decide_and_later_ones_have_none_yet() -> None:
    assert deciders(ROUTE, 0) == ("ann",)
    assert deciders(ROUTE, 2) == ("ann", "bob", "cat", "dan", "eve")


def test_a_request_begins_where_enough_people_may_decide() -> None:
    assert opening(ROUTE, needs=1, excluded=()) == 0
    assert opening(ROUTE, needs=2, excluded=()) == 1
    assert opening(ROUTE, needs=1, excluded=("ann",)) == 1
    assert opening(ROUTE, needs=2, excluded=("ann", "bob", "cat", "dan")) == 2
    assert not answerable(ROUTE, needs=2, excluded=("ann", "bob", "cat", "dan"))
    assert answerable(ROUTE, needs=2, excluded=("ann", "bob", "cat"))
    assert opening((), needs=2, excluded=()) == 0
    assert answerable((), needs=2, excluded=("ann",))


def test_who_is_on_duty_is_told_and_nobody_twice() -> None:
    assert told(ROUTE, (0, 1), ROSTER, at=0, absent=()) == ("ann", "bob")
    assert told(ROUTE, (1,), ROSTER, at=0, absent=("ann",)) == ("bob",)
    assert told(ROUTE, (2,), ROSTER, at=0, absent=()) == ("dan",)
    assert told(ROUTE, (2,), ROSTER, at=WEEK, absent=()) == ("eve",)
    assert told(ROUTE, (2,), ROSTER, at=0, absent=("dan",)) == ("eve",)
    assert told(ROUTE, (2,), ROSTER, at=0, absent=("dan", "eve")) == ()
    gone = Roster(people={"eve"}, teams=ROSTER.teams, rotas=ROSTER.rotas)
    assert told(ROUTE, (2,), gone, at=0, absent=()) == ("eve",)


def test_a_stage_is_reminded_after_its_share_and_followed_after_its_sla() -> None:
    assert reminder_at(100, 60, 5_000) == 130
    assert seconds(3) == 3 * SECOND
    assert climbed(ROUTE, 0, began_at=100, sla=60, now=159) == 0
    assert climbed(ROUTE, 0, began_at=100, sla=60, now=160) == 1
    assert climbed(ROUTE, 0, began_at=100, sla=60, now=220) == 2


def test_only_the_last_stage_is_ever_past_the_end() -> None:
    assert climbed(ROUTE, 0, began_at=100, sla=60, now=10**9) == 2
    assert climbed(ROUTE, 2, began_at=100, sla=60, now=159) == 2
    assert climbed(ROUTE, 2, began_at=100, sla=60, now=10**9) == 3
    assert climbed((), 0, began_at=100, sla=60, now=159) == 0
    assert climbed((), 0, began_at=100, sla=60, now=160) == 1


@given(st.integers(0, 2), st.integers(1, 1000), st.integers(0, 10_000), st.integers(0, 3_000))
def test_the_clock_never_climbs_down_and_later_is_never_lower(
    level: int, sla: int, began_at: int, after: int
) -> None:
    now = climbed(ROUTE, level, began_at=began_at, sla=sla, now=began_at + after)
    assert level <= now <= len(ROUTE)
    assert now <= climbed(ROUTE, level, began_at=began_at, sla=sla, now=began_at + after + sla)


@given(st.sets(st.sampled_from(sorted(ROSTER.people))), st.integers(1, 2))
def test_whoever_opens_a_request_leaves_enough_eyes_or_says_that_there_are_none(
    excluded: set[str], needs: int
) -> None:
    level = opening(ROUTE, needs=needs, excluded=excluded)
    enough = len(set(deciders(ROUTE, level)) - excluded) >= needs
    assert enough == answerable(ROUTE, needs=needs, excluded=excluded)
    assert Stage(name="x", names=(), people=()).people == ()
