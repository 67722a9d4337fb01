"""Tell people what budgets do, and halt what reached its kill ceiling (B3, B4, B5).

A budget speaks in the tick in which it happens. A halt is pressed in that tick; the alerts wait here for the
commit of what was settled, so neither is on record without the other. Each is raised once for its account
and window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from interlock.core.alert import AlertKind
from interlock.core.budget import Account, AccountKey, BudgetState, Crossed, Overrun, ScopeKind
from interlock.core.bundle import Bundle
from interlock.core.document.identity import Organisation, Team
from interlock.core.document.spending import Budget
from interlock.core.kill import KillLevel, KillOrder, KillScope, KillSource
from interlock.core.model import Json
from interlock.runtime import Runtime
from interlock.store import alert_events
from interlock.store.alert_events import Raised
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

_KINDS = {
    BudgetState.SOFT: AlertKind.BUDGET_SOFT,
    BudgetState.DEGRADED: AlertKind.BUDGET_HARD,
    BudgetState.HALTED: AlertKind.BUDGET_KILL,
}
_HALTS = frozenset({ScopeKind.RUN, ScopeKind.WORKFLOW, ScopeKind.AGENT})
_Key = tuple[str, str, str]
_DOLLAR = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """What listens to budgets. `press` is the kill switch; `waiting` and `flush` write what waits."""

    store: Store
    memory: Memory
    runtime: Runtime
    press: Callable[[KillOrder], None]
    _waiting: dict[_Key, Raised] = field(default_factory=dict[_Key, Raised], init=False)

    def on_budget(self, event: Crossed | Overrun) -> None:
        """Take what a budget says, in its tick. Never waits, never raises for the store."""
        if isinstance(event, Overrun):
            self._wait(_overrun(event, self._workflow_of(event.run)))
        elif event.state in _KINDS:
            self._crossed(event)

    def waiting(self) -> Callable[[Transaction], None] | None:
        """Return what raises the alerts that wait now, to be done in a commit of somebody else's."""
        return partial(self._raise, sorted(self._waiting.items())) if self._waiting else None

    async def flush(self) -> None:
        """Raise what waits. Raises `StoreError`; it waits on."""
        work = self.waiting()
        if work is not None:
            await self.store.transact(work)

    def _raise(self, waiting: Sequence[tuple[_Key, Raised]], transaction: Transaction) -> None:
        """Raise alerts, in the same order everywhere, so that no two processes wait for each other."""
        for key, raised in waiting:
            alert_events.raise_alert(transaction, self.memory, raised)
            transaction.on_commit(partial(self._raised, key))

    def _raised(self, key: _Key) -> None:
        self._waiting.pop(key, None)

    def _crossed(self, event: Crossed) -> None:
        account, workflow = event.account, self._workflow(event)
        halts = event.state is BudgetState.HALTED and account.key.kind in _HALTS
        if halts and not account.limits.shadow:
            self.press(self._halt(account, workflow))  # which raises the alert with its own commit
            return
        self._wait(
            Raised(
                kind=_KINDS[event.state],
                subject=f"{account.key.kind.value}:{account.key.name}",
                period=_period(account.key),
                summary=_summary(account),
                facts={**_facts(account), "run": event.run or None},
                workflow=workflow,
                route=self._route(account, workflow),
                by="budget",
                shadow=account.limits.shadow,
            )
        )

    def _halt(self, account: Account, workflow: str) -> KillOrder:
        key = account.key
        own = f"{self.memory.environment}/{key.kind}/{key.name}/{_period(key)}"
        return KillOrder(
            id=f"kill_{sha256(own.encode()).hexdigest()[:26]}",
            subject=f"{KillScope(key.kind.value).value}:{key.name}",
            level=KillLevel.STOP,
            reason=_reason(account),
            by="budget",
            source=KillSource.BUDGET,
            at=self.runtime.clock.now(),
            workflow=workflow,
            route=self._route(account, workflow),
        )

    def _route(self, account: Account, workflow: str) -> tuple[str, ...]:
        budget = _budget_of(self.memory.bundle, account.key, workflow)
        return () if budget is None else budget.route

    def _wait(self, raised: Raised) -> None:
        self._waiting.setdefault((raised.kind.value, raised.subject, raised.period), raised)

    def _workflow(self, event: Crossed) -> str:
        """Return the workflow of whoever crossed a limit; else what the account says."""
        key = event.account.key
        if not event.run and key.kind is ScopeKind.WORKFLOW:
            return key.name
        return self._workflow_of(event.run or (key.name if key.kind is ScopeKind.RUN else ""))

    def _workflow_of(self, run: str) -> str:
        facts = self.memory.runs.get(run)
        return "" if facts is None else facts.workflow


def _budget_of(bundle: Bundle | None, key: AccountKey, workflow: str) -> Budget | None:
    """Return the budget that an account is of, as it was declared."""
    if bundle is None:
        return None
    match key.kind:
        case ScopeKind.RUN | ScopeKind.WORKFLOW:
            found = bundle.workflows.get(workflow)
            return None if found is None else found.document.budget
        case ScopeKind.AGENT:
            agent = bundle.agents.get(key.name)
            return None if agent is None else agent.budget
        case ScopeKind.TEAM:
            teams = (each for each in bundle.documents if isinstance(each, Team) and each.name == key.name)
            return next((each.budget for each in teams), None)
        case ScopeKind.ORGANISATION:
            wholes = (each for each in bundle.documents if isinstance(each, Organisation))
            return next((each.budget for each in wholes), None)


def _overrun(event: Overrun, workflow: str) -> Raised:
    return Raised(
        kind=AlertKind.BUDGET_ANOMALY,
        subject=f"run:{event.run}",
        period=event.attempt,
        summary=f"A call cost {_usd(event.cost)}, and {_usd(event.most)} was the most it could cost.",
        facts={"attempt": event.attempt, "cost": event.cost, "most": event.most},
        workflow=workflow,
        by="budget",
    )


def _summary(account: Account) -> str:
    shadow = " (shadow: nothing is refused)" if account.limits.shadow else ""
    return f"{account.key.scope}: {_used(account)} is spent or on its way{shadow}"


def _reason(account: Account) -> str:
    """Return why a budget halts; what it halts is said beside it."""
    return f"{_used(account)} per {account.key.window.value} is spent or on its way"


def _used(account: Account) -> str:
    return f"{account.used // 10} % of {_usd(account.limits.limit)}"


def _facts(account: Account) -> Mapping[str, Json]:
    return {
        "scope": account.key.scope,
        "limit": account.limits.limit,
        "spent": account.spent,
        "held": account.held_exp,
        "state": account.state.value,
        "resets_at": account.key.resets_at,
        "shadow": account.limits.shadow,
    }


def _period(key: AccountKey) -> str:
    return f"{key.window.value}:{key.start}"


def _usd(nano: int) -> str:
    """Return an amount exactly: with as many digits as it has, and no less than cents."""
    digits = f"{nano % _DOLLAR:09d}".rstrip("0")
    return f"{nano // _DOLLAR}.{digits:0<2} USD"
