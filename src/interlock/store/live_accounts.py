"""Accounts as a process has them in memory, and the holds on them: plain numbers, changed in place.

The rules are `core.budget`; here is what admission adds and takes away between two rounds, at the speed of
the call path. Amounts are nano-dollars.
"""

from __future__ import annotations

from interlock.core.budget import Account, Answer, BudgetState
from interlock.core.payer import Payer
from interlock.core.slice import Position, tight

_NEVER = 1 << 62
Accounts = tuple[tuple["LiveAccount", ...], tuple[str, ...]]
"""The accounts that a call is charged to, and their ids."""


class LiveAccount:
    """One account. `likely` is what was spent and what is expected of calls under way; `due` is what this
    process has settled and not written yet, and `open` that and what is held at most.

    `leased` is this process's slice, `elsewhere` those of others, which count as held. Below `calm` a call
    needs no closer look as long as `open` stays within `reach`: its slice, and the ceiling. A nano-dollar is
    a `share` of its limit.
    """

    __slots__ = (
        "alarm", "calm", "ceiling", "due", "elsewhere", "id", "leased", "likely", "limit", "open", "payer",
        "quiet", "reach", "scope", "share", "stored", "strict", "tight", "told", "written",
    )  # fmt: skip

    def __init__(self, id: str, payer: Payer) -> None:
        self.id = id
        self.likely = self.open = self.due = 0
        self.written = self.leased = self.elsewhere = 0
        self.stored = self.tight = self.quiet = self.strict = False
        self.declare(payer)

    @property
    def spent(self) -> int:
        """What was spent: what the database had, and what it does not have yet."""
        return self.written + self.due

    @property
    def held_exp(self) -> int:
        """What calls under way are expected to cost."""
        return self.likely - self.spent

    @property
    def held_max(self) -> int:
        """What calls under way can cost at most."""
        return self.open - self.due

    def declare(self, payer: Payer) -> None:
        """Take the limits as they are declared now. Once strict, it is so for as long as it lives."""
        limits = payer.limits
        self.payer = payer
        self.scope = payer.key.scope
        self.strict = self.strict or payer.strict
        self.limit = limits.limit
        self.share = 1 / (limits.limit or 1)
        self.ceiling = _NEVER if limits.shadow else limits.ceiling
        self.calm = -1 if limits.shadow or limits.stop_at_hard else limits.soft_at
        self.told, self.alarm = BudgetState.OK, limits.soft_at
        self._bound(self.leased)

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
        self.likely += position.spent - self.written - written
        self.due -= written
        self.open -= written
        self.written = position.spent
        self.elsewhere = position.leased - position.amount
        self.stored = True
        self.tight = tight(position, limit=self.limit, processes=processes)
        self._bound(position.amount)

    def give_back(self) -> None:
        """Stop using what of its slice nothing needs."""
        self._bound(min(self.leased, self.open))

    def begin_anew(self) -> None:
        """Go on without a slice, in a new epoch: others have charged what was due."""
        self.written += self.due
        self.open -= self.due
        self.due = 0
        self._bound(0)

    def _bound(self, leased: int) -> None:
        self.leased = leased
        self.reach = min(leased, self.ceiling - self.written - self.elsewhere)

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
        return self.likely >= self.alarm and self.freeze().state.rank > self.told.rank

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self.open or self.due or self.held_exp)


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
        "ids",
        "journaled",
        "most",
        "run",
        "state",
        "would",
    )

    def __init__(
        self, attempt: str, run: str, accounts: Accounts, exp: int, most: int, epoch: str, at: int
    ) -> None:
        self.attempt = attempt
        self.run = run
        self.accounts, self.ids = accounts
        self.exp = exp
        self.most = most
        self.epoch = epoch
        self.at = at
        self.state = BudgetState.OK
        self.would: Answer | None = None
        self.journaled = False
        self.covered = True
        for each in self.accounts:
            each.likely += exp
            each.open += most

    @property
    def at_once(self) -> bool:
        """Whether the call may be sent without waiting for the disk."""
        return self.covered and not self.journaled

    def end(self, spent: int) -> bool:
        """Give the money back and charge what was spent; True when an account has something to say."""
        unexpected, unopened, crossed = spent - self.exp, spent - self.most, False
        for each in self.accounts:
            each.open += unopened
            each.due += spent
            each.likely = likely = each.likely + unexpected
            if likely >= each.alarm:
                crossed = True
        return crossed

    def tightest(self) -> tuple[str, int]:
        """Return the scope of the account most used up, and how far it is, per mille; none has no name."""
        tightest, most = None, -1.0
        for each in self.accounts:
            used = each.likely * each.share
            if used > most:
                tightest, most = each, used
        if tightest is None:
            return "", 0
        return tightest.scope, tightest.likely * 1_000 // (tightest.limit or 1)
