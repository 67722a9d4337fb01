"""What budgets answer to a call that wants money, and how an account stands (B2 to B5, B8, invariant 4).

An account counts one scope over one window. `spent + held_max` never passes its kill ceiling; soft and hard
limit look at `spent + held_exp`, so that worst cases that will not happen raise no alarm. A refusal that
only holds caused is `Busy`, never a kill. Amounts are nano-dollars, thresholds per mille of the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from interlock.core.hold import Move
from interlock.core.model import Ranked, value
from interlock.core.window import Window, closes


class ScopeKind(StrEnum):
    """Whose money it is."""

    RUN = "run"
    WORKFLOW = "workflow"
    AGENT = "agent"
    TEAM = "team"
    ORGANISATION = "organisation"


class BudgetState(Ranked):
    """How far an account is used up, from mild to grave."""

    OK = "ok"
    SOFT = "soft"
    DEGRADED = "degraded"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountKey:
    """Which account: one scope over one window, by the moment the window opened (0 for a run)."""

    kind: ScopeKind
    name: str
    window: Window
    start: int = 0

    @property
    def scope(self) -> str:
        """How people say it: "workflow refunds, per day"."""
        per = "" if self.kind.value == self.window.value else f", per {self.window}"
        return f"{self.kind} {self.name}{per}"

    @property
    def resets_at(self) -> int:
        """When its window closes; `window.FOREVER` for a run."""
        return closes(self.window, self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may spend and where it alerts, degrades and stops.

    With `stop_at_hard` a call that would pass the hard limit is refused, not degraded. In `shadow` the
    account refuses nothing and says what it would have done.
    """

    limit: int
    soft: int = 700
    hard: int = 1_000
    kill: int = 1_500
    stop_at_hard: bool = False
    shadow: bool = False

    @property
    def soft_at(self) -> int:
        """From where on it alerts."""
        return self.limit * self.soft // 1_000

    @property
    def hard_at(self) -> int:
        """Beyond this, calls are degraded."""
        return self.limit * self.hard // 1_000

    @property
    def ceiling(self) -> int:
        """What is never passed."""
        return self.limit * self.kill // 1_000


@value
class Account:
    """One account: what was spent, and what is held for calls under way, as expected and at most."""

    key: AccountKey
    limits: Limits
    spent: int = 0
    held_exp: int = 0
    held_max: int = 0

    @property
    def room(self) -> int:
        """What can still be held at most."""
        return self.limits.ceiling - self.spent - self.held_max

    @property
    def state(self) -> BudgetState:
        """How far it is used up."""
        likely, limits = self.spent + self.held_exp, self.limits
        if self.spent >= limits.ceiling:
            return BudgetState.HALTED
        if likely > limits.hard_at:
            return BudgetState.DEGRADED
        return BudgetState.SOFT if likely >= limits.soft_at else BudgetState.OK

    @property
    def used(self) -> int:
        """Spent and expected, per mille of the limit."""
        limit = self.limits.limit
        return (self.spent + self.held_exp) * 1_000 // limit if limit else 1_000

    def with_hold(self, exp: int, most: int) -> Account:
        """Return it with a hold more."""
        return replace(self, held_exp=self.held_exp + exp, held_max=self.held_max + most)

    def after(self, move: Move) -> Account:
        """Return it after a hold moved."""
        return replace(
            self,
            spent=self.spent + move.spent,
            held_exp=self.held_exp + move.held_exp,
            held_max=self.held_max + move.held_max,
        )


@value
class Granted:
    """It fits. `state` and `used` are of `account`, the most used up, with this call; None: no budget.

    `would` is what the accounts in shadow mode answer; None where there are none.
    """

    state: BudgetState
    account: Account | None
    used: int
    would: Answer | None = None


@value
class Clamp:
    """It fits if it cannot cost more than `most`, which is not less than the least that is useful."""

    most: int
    account: Account


@value
class Busy:
    """It may fit when calls under way have settled: ask again."""

    account: Account


@value
class TooLarge:
    """It does not fit whatever settles; a smaller one may."""

    account: Account


@value
class Exhausted:
    """The limit is used up and the budget says to stop there."""

    account: Account


@value
class Killed:
    """What was spent has reached the kill ceiling."""

    account: Account


Refusal: TypeAlias = Busy | TooLarge | Exhausted | Killed
Answer: TypeAlias = Granted | Clamp | Refusal
_GRAVITY = (Busy, TooLarge, Exhausted, Killed)


def answer(accounts: Sequence[Account], *, exp: int, most: int, least: int | None = None) -> Answer:
    """Say whether a call that costs `exp` as expected and `most` at most fits all accounts, or none.

    `least` is what the smallest useful form of it costs at most; without it there is no smaller form.
    """
    smallest = most if least is None else least
    shadow = [each for each in accounts if each.limits.shadow]
    if not shadow:
        return _answer(accounts, exp, most, smallest)
    said = _answer([each for each in accounts if not each.limits.shadow], exp, most, smallest)
    return replace(said, would=_answer(shadow, exp, most, smallest)) if isinstance(said, Granted) else said


def _answer(accounts: Sequence[Account], exp: int, most: int, least: int) -> Answer:
    refusals = [said for each in accounts if (said := _refusal(each, exp, least)) is not None]
    if refusals:
        return max(refusals, key=lambda said: _GRAVITY.index(type(said)))
    tightest = min(accounts, key=lambda each: each.room, default=None)
    if tightest is not None and tightest.room < most:
        return Clamp(most=tightest.room, account=tightest)
    return granted(each.with_hold(exp, most) for each in accounts)


def granted(accounts: Iterable[Account]) -> Granted:
    """Return how the gravest of `accounts` stands, once a call is held on all of them."""
    gravest = max(accounts, key=lambda each: (each.state.rank, each.used), default=None)
    if gravest is None:
        return Granted(state=BudgetState.OK, account=None, used=0)
    return Granted(state=gravest.state, account=gravest, used=gravest.used)


def _refusal(account: Account, exp: int, least: int) -> Refusal | None:
    """Return why not even the smallest form fits, the lasting reasons first."""
    limits, spent = account.limits, account.spent
    if spent >= limits.ceiling:
        return Killed(account=account)
    if limits.stop_at_hard and spent >= limits.hard_at:
        return Exhausted(account=account)
    if least > limits.ceiling - spent or (limits.stop_at_hard and spent + exp > limits.hard_at):
        return TooLarge(account=account)
    if least > account.room or (limits.stop_at_hard and spent + account.held_exp + exp > limits.hard_at):
        return Busy(account=account)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refusal as callers are told it. `code` is stable; `transient` says that asking again may help.

    `key` is of the account that decided; `resets_at` is `window.FOREVER` where it never starts anew.
    """

    code: str
    message: str
    key: AccountKey
    limit: int
    spent: int
    held: int
    resets_at: int

    @property
    def scope(self) -> str:
        """How people say which account decided."""
        return self.key.scope

    @property
    def too_large(self) -> bool:
        """Whether a cheaper call could fit: the account is not used up."""
        return self.code == _SAID[TooLarge][0]

    @property
    def transient(self) -> bool:
        """Whether only calls under way stand in its way."""
        return self.code == _SAID[Busy][0]


_SAID = {
    Busy: ("budget_inflight", "has no room until calls under way have ended"),
    TooLarge: ("request_exceeds_budget", "has less left than this call could cost"),
    Exhausted: ("budget_exhausted", "is used up"),
    Killed: ("run_halted", "has reached its kill ceiling"),
}


def refused(said: Refusal) -> Refused:
    """Return a refusal in the words of the account that made it."""
    code, words = _SAID[type(said)]
    account = said.account
    return Refused(
        code=code,
        message=f"The budget of {account.key.scope} {words}.",
        key=account.key,
        limit=account.limits.limit,
        spent=account.spent,
        held=account.held_max,
        resets_at=account.key.resets_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """An account has reached a state that it was not in before, in a call of `run`."""

    account: Account
    state: BudgetState
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """An attempt cost more than it could cost at most: its price or its provider's cap is wrong."""

    attempt: str
    run: str
    cost: int
    most: int
