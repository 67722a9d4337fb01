"""Accounts as a process has them in memory: the few sums that are kept are those of all the holds (B8)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from interlock.core.budget import AccountKey, Limits, ScopeKind
from interlock.core.payer import Payer
from interlock.core.slice import Position
from interlock.core.window import Window
from interlock.store.live_accounts import Held, LiveAccount

LIMIT = 10_000
amounts = st.integers(0, 400)


def an_account(number: int) -> LiveAccount:
    key = AccountKey(kind=ScopeKind.TEAM, name=f"t{number}", window=Window.DAY)
    return LiveAccount(f"a{number}", Payer(key=key, limits=Limits(limit=LIMIT * (number + 1)), strict=False))


class SumsOfHolds(RuleBasedStateMachine):
    """Two accounts, and beside them what was held, settled and written, one by one."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.accounts = (an_account(0), an_account(1))
        self.paying = self.accounts, tuple(each.id for each in self.accounts)
        self.open = list[Held]()
        self.due = list[int]()
        self.written = 0
        self.taken = 0

    @rule(target=held, exp=amounts, more=amounts)
    def hold(self, exp: int, more: int) -> Held:
        self.taken += 1
        made = Held(f"m{self.taken}", "run", self.paying, exp, exp + more, "e", 0)
        self.open.append(made)
        return made

    @rule(which=consumes(held), cost=amounts)
    def settle(self, which: Held, cost: int) -> None:
        loud = which.end(cost)
        self.open.remove(which)
        self.due.append(cost)
        assert loud == any(each.spent + each.held_exp >= each.alarm for each in self.accounts)

    @rule(others=amounts, leased=st.integers(0, 2_000), elsewhere=amounts, kept=st.integers(0, 3))
    def learn(self, others: int, leased: int, elsewhere: int, kept: int) -> None:
        now, self.due = self.due[kept:], self.due[:kept]
        self.written += sum(now) + others
        position = Position(spent=self.written, leased=leased + elsewhere, ceiling=None, amount=leased)
        for each in self.accounts:
            each.learn(position, written=sum(now), processes=1)
            assert each.reach == min(leased, each.ceiling - self.written - elsewhere)

    @rule()
    def begin_anew(self) -> None:
        self.written += sum(self.due)
        self.due = []
        for each in self.accounts:
            each.begin_anew()

    @rule()
    def give_back(self) -> None:
        for each in self.accounts:
            each.give_back()
            assert each.leased <= each.due + each.held_max

    @invariant()
    def the_sums_are_those_of_the_holds(self) -> None:
        for each in self.accounts:
            assert each.spent == self.written + sum(self.due)
            assert each.due == sum(self.due)
            assert each.held_exp == sum(held.exp for held in self.open)
            assert each.held_max == sum(held.most for held in self.open)
            assert each.idle == (not sum(self.due) and all(held.most == 0 for held in self.open))

    @invariant()
    def the_tightest_is_the_one_most_used_up(self) -> None:
        used = [(each.spent + each.held_exp) * 1_000 // each.limit for each in self.accounts]
        found = Held("look", "run", self.paying, 0, 0, "e", 0).tightest()
        assert found == (self.accounts[0].scope, max(used))


TestSumsOfHolds = SumsOfHolds.TestCase


def test_no_account_is_tightest_where_nothing_is_charged() -> None:
    assert Held("m", "run", ((), ()), 1, 1, "e", 0).tightest() == ("", 0)
