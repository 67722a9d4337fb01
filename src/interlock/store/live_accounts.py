"""Accounts as a process has them in memory, and the holds on them: plain numbers, changed in place.

The rules are `core.budget`; here is what admission adds and takes away between two rounds, at the speed of
the call path. Amounts are nano-dollars.
"""

from __future__ import annotations

from interlock.core.budget import Account, Answer, BudgetState
from interlock.core.payer import Payer
from interlock.core.slice import Position, tight

_NEVER = 1 << 62


class LiveAccount:
    """One account. `spent` counts what this process has settled and not written yet, which is `due`.

    `leased` is this process's slice, `elsewhere` those of others, which count as held. A hold is covered
    while `due + held_max <= leased`. Below `calm` a call needs no closer look.
    """

    __slots__ = (
        "alarm", "calm", "ceiling", "due", "elsewhere", "held_exp", "held_max", "id", "leased", "limit",
        "payer", "quiet", "scope", "spent", "stored", "strict", "tight", "told",
    )  # fmt: skip

    def __init__(self, id: str, payer: Payer) -> None:
        self.id = id
        self.spent = self.held_exp = self.held_max = 0
        self.due = self.leased = self.elsewhere = 0
        self.stored = self.tight = self.quiet = self.strict = False
        self.declare(payer)

    def declare(self, payer: Payer) -> None:
        """Take the limits as they are declared now. Once strict, it is so for as long as it lives."""
        limits = payer.limits
        self.payer = payer
        self.scope = payer.key.scope
        self.strict = self.strict or payer.strict
        self.limit = limits.limit
        self.ceiling = _NEVER if limits.shadow else limits.ceiling
        self.calm = -1 if limits.shadow or limits.stop_at_hard else limits.soft_at
        self.told, self.alarm = BudgetState.OK, limits.soft_at

    def freeze(self) -> Account:
        """Return it as a value. What other processes may spend counts as held."""
        return Account(
            key=self.payer.key,
            limits=self.payer.limits,
            spent=self.spent,
            held_exp=self.held_exp,
            held_max=self.held_max + self.elsewhere,
        )

    def learn(self, position: Position, *, written: int, processes: int) -> None:
        """Take what the database said; `written` is what this process settled and has now written."""
        self.due -= written
        self.leased = position.amount
        self.elsewhere = position.leased - position.amount
        self.spent = position.spent + self.due
        self.stored = True
        self.tight = tight(position, limit=self.limit, processes=processes)

    def crossed(self, *, doubtful: int = 0) -> BudgetState | None:
        """Return the state that has just been reached for the first time, or None.

        What is `doubtful` of the spend, the charge of a crash, halts nothing.
        """
        state = self.freeze().state
        if state is BudgetState.HALTED and self.spent - doubtful < self.payer.limits.ceiling:
            state = BudgetState.DEGRADED
        if state.rank <= self.told.rank:
            return None
        limits = self.payer.limits
        self.told, self.alarm = state, (0, limits.hard_at + 1, limits.ceiling, _NEVER)[state.rank]
        return state

    @property
    def loud(self) -> bool:
        """Whether it is in a graver state than was told."""
        return self.spent + self.held_exp >= self.alarm and self.freeze().state.rank > self.told.rank

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self.held_max or self.held_exp or self.due)


class Held:
    """Money set aside for one attempt, until it is settled or released.

    `state` is of the account most used up, with this call; `would` is what accounts in shadow mode answered.
    Unless `covered`, the call must not be sent before `Budgets.durable` says so.
    """

    __slots__ = (
        "accounts",
        "at",
        "attempt",
        "covered",
        "epoch",
        "exp",
        "journaled",
        "most",
        "run",
        "state",
        "would",
    )

    def __init__(
        self,
        attempt: str,
        run: str,
        accounts: tuple[LiveAccount, ...],
        exp: int,
        most: int,
        epoch: str,
        at: int,
    ) -> None:
        self.attempt = attempt
        self.run = run
        self.accounts = accounts
        self.exp = exp
        self.most = most
        self.epoch = epoch
        self.at = at
        self.state = BudgetState.OK
        self.would: Answer | None = None
        self.journaled = False
        self.covered = True
        for each in accounts:
            each.held_exp += exp
            each.held_max = held = each.held_max + most
            if each.due + held > each.leased:
                self.covered = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its accounts."""
        return tuple([each.id for each in self.accounts])

    def end(self, spent: int) -> bool:
        """Give the money back and charge what was spent; True when an account has something to say."""
        exp, most, crossed = self.exp, self.most, False
        for each in self.accounts:
            each.held_max -= most
            each.due += spent
            each.spent = likely = each.spent + spent
            each.held_exp = expected = each.held_exp - exp
            if likely + expected >= each.alarm:
                crossed = True
        return crossed
