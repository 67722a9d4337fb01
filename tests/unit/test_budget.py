"""No account passes its kill ceiling, and each answer names the account that made it (B2 to B5, B8)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.budget import (
    Account,
    AccountKey,
    BudgetState,
    Busy,
    Clamp,
    Exhausted,
    Granted,
    Killed,
    Limits,
    ScopeKind,
    TooLarge,
    answer,
    refused,
)
from interlock.core.hold import Hold, HoldState, end
from interlock.core.window import FOREVER, Window

amounts = st.integers(0, 200)
endings = st.sampled_from([HoldState.SETTLED, HoldState.RELEASED, HoldState.EXPIRED, HoldState.ACTIVE])


def an_account(limit: int = 100, name: str = "refunds", **values: Any) -> Account:
    """Return a workflow's account per day; limits and amounts as given."""
    amounts = {each: values.pop(each) for each in ("spent", "held_exp", "held_max") if each in values}
    key = AccountKey(kind=ScopeKind.WORKFLOW, name=name, window=Window.DAY)
    return Account(key=key, limits=Limits(limit=limit, **values), **amounts)


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.lists(st.tuples(amounts, amounts, amounts, endings), max_size=20),
)
def test_no_account_passes_its_ceiling_in_any_order(
    limits: list[int], calls: list[tuple[int, int, int, HoldState]]
) -> None:
    accounts = [an_account(limit, name=str(number)) for number, limit in enumerate(limits)]
    for exp, more, cost, ending in calls:
        most = exp + more
        said = answer(accounts, exp=exp, most=most, least=exp)
        if isinstance(said, Clamp):
            assert exp <= said.most < most
            most = said.most
        elif not isinstance(said, Granted):
            continue
        accounts = [each.with_hold(exp, most) for each in accounts]
        moved = end(Hold(exp=exp, most=most), ending, min(cost, most))
        if moved is not None:
            accounts = [each.after(moved) for each in accounts]
        for each in accounts:
            assert each.spent + each.held_max <= each.limits.ceiling
            assert each.room == each.limits.ceiling - each.spent - each.held_max


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(0, 400))
def test_what_is_refused_for_good_would_be_refused_with_nothing_in_flight(
    spent: int, held: int, exp: int, most: int
) -> None:
    account = an_account(spent=spent, held_exp=held, held_max=held)
    alone = an_account(spent=spent)
    said, said_alone = (answer([each], exp=exp, most=most) for each in (account, alone))
    if isinstance(said, Busy):
        assert isinstance(said_alone, Granted)
    elif isinstance(said, TooLarge | Killed):
        assert type(said_alone) is type(said)


def test_a_call_fits_all_accounts_or_none_and_the_gravest_reason_is_given() -> None:
    roomy, busy = an_account(name="roomy"), an_account(name="busy", held_max=149)
    small, dead = an_account(10, name="small"), an_account(name="dead", spent=150)
    used_up = an_account(name="used up", spent=100, stop_at_hard=True)
    assert answer([roomy, busy], exp=1, most=20) == Busy(account=busy)
    assert answer([busy, small], exp=1, most=20) == TooLarge(account=small)
    assert answer([small, used_up], exp=1, most=20) == Exhausted(account=used_up)
    assert answer([used_up, dead, roomy], exp=1, most=20) == Killed(account=dead)


def test_a_call_is_clamped_to_the_least_room_if_that_is_still_useful() -> None:
    wide, tight = an_account(name="wide"), an_account(name="tight", spent=120)
    assert answer([wide, tight], exp=5, most=50, least=10) == Clamp(most=30, account=tight)
    assert answer([wide, tight], exp=5, most=50, least=31) == TooLarge(account=tight)


def test_the_state_looks_at_what_is_expected_not_at_the_worst_case() -> None:
    states = {
        69: BudgetState.OK,
        70: BudgetState.SOFT,
        100: BudgetState.SOFT,
        101: BudgetState.DEGRADED,
        149: BudgetState.DEGRADED,
    }
    assert {exp: an_account(held_exp=exp, held_max=150).state for exp in states} == states
    assert an_account(spent=150).state is BudgetState.HALTED
    assert an_account(held_max=150).state is BudgetState.OK


def test_the_answer_says_how_the_most_used_account_stands_with_the_call() -> None:
    fresh, worn = an_account(name="fresh"), an_account(name="worn", spent=60)
    said = answer([fresh, worn], exp=15, most=40)
    assert isinstance(said, Granted)
    assert (said.state, said.used, said.would) == (BudgetState.SOFT, 750, None)
    assert said.account == worn.with_hold(15, 40)


def test_where_there_is_no_budget_everything_fits() -> None:
    assert answer([], exp=1, most=10**18) == Granted(state=BudgetState.OK, account=None, used=0)


def test_a_budget_that_stops_at_its_limit_does_not_let_a_call_pass_it() -> None:
    account = an_account(stop_at_hard=True, spent=80, held_exp=15, held_max=20)
    assert isinstance(answer([account], exp=5, most=20), Granted)
    assert answer([account], exp=6, most=20) == Busy(account=account)
    assert answer([account], exp=21, most=40) == TooLarge(account=account)
    assert isinstance(answer([an_account(stop_at_hard=True, spent=100)], exp=0, most=0), Exhausted)


def test_a_shadow_budget_says_what_it_would_do_and_does_nothing() -> None:
    shadow = an_account(shadow=True, spent=150)
    said = answer([shadow], exp=10, most=50)
    assert isinstance(said, Granted)
    assert (said.state, said.account) == (BudgetState.OK, None)
    assert said.would == Killed(account=shadow)
    busy = an_account(held_max=150)
    assert answer([shadow, busy], exp=10, most=50) == Busy(account=busy)


def test_a_budget_of_nothing_is_used_up_from_the_start() -> None:
    nothing = an_account(0)
    assert nothing.used == 1_000
    assert answer([nothing], exp=0, most=0) == Killed(account=nothing)


def test_a_refusal_says_who_decided_how_much_is_left_and_whether_to_ask_again() -> None:
    account = an_account(spent=90, held_max=50)
    busy = refused(Busy(account=account))
    assert (busy.code, busy.transient) == ("budget_inflight", True)
    assert busy.scope == busy.key.scope
    assert (busy.limit, busy.spent, busy.held, busy.resets_at) == (100, 90, 50, 86_400_000_000)
    lasting = [refused(each(account=account)) for each in (TooLarge, Exhausted, Killed)]
    assert [each.code for each in lasting] == ["request_exceeds_budget", "budget_exhausted", "run_halted"]
    assert not any(each.transient for each in lasting)
    assert [each.too_large for each in lasting] == [True, False, False]
    assert lasting[1].message == "The budget of workflow refunds, per day is used up."


def test_states_have_an_order() -> None:
    assert [each.rank for each in BudgetState] == [0, 1, 2, 3]


def test_an_account_says_whose_it_is_and_when_it_starts_anew() -> None:
    run = AccountKey(kind=ScopeKind.RUN, name="run_1", window=Window.RUN)
    day = AccountKey(kind=ScopeKind.WORKFLOW, name="refunds", window=Window.DAY)
    assert (run.scope, run.resets_at) == ("run run_1", FOREVER)
    assert (day.scope, day.resets_at) == ("workflow refunds, per day", 86_400_000_000)
