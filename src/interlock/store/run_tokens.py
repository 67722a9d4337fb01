"""Issuing the token of a run (H2), in the transaction that keeps the run open for as long as it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.model import Principal
from interlock.core.token import MAX_LIFE, TYPE, claims_of, expiry
from interlock.errors import StateConflict
from interlock.store import runs
from interlock.store.agents import AgentRecord
from interlock.store.database import Transaction
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.store.run_rows import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToken:
    """A token just issued and whom it speaks for."""

    token: str
    principal: Principal
    issued_at: int
    tools: tuple[str, ...]

    @property
    def expires_in(self) -> int:
        """Whole seconds it lasts."""
        return (self.principal.expires_at - self.issued_at) // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of a new token. `life` in microseconds; `scope` None is the whole workflow."""

    life: int = MAX_LIFE
    scope: frozenset[str] | None = None
    actors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What signs the run tokens of one environment and under which name."""

    name: str
    keyring: Keyring
    memory: Memory

    def issue(self, transaction: Transaction, run: Run, agent: AgentRecord, terms: Terms) -> RunToken:
        """Return a new token of `run`, which stays open for as long as it lasts.

        Raises `StateConflict` when the run has ended or reached its deadline.
        """
        now = transaction.now
        ends = expiry(now, life=terms.life, deadline=run.deadline_at)
        if ends <= now:
            raise StateConflict("The run has reached its deadline.", hint="Open a new run.")
        runs.renew(transaction, run.id, ends)
        principal = Principal(
            agent=run.agent,
            owner=agent.owner,
            workflow=run.workflow,
            workflow_version=run.workflow_version,
            run=run.id,
            environment=run.environment,
            token_id=transaction.ids.new("jti"),
            key_id=self.keyring.current().kid,
            epoch=agent.epoch,
            expires_at=ends - ends % 1_000_000,
            scope=terms.scope,
            actors=terms.actors,
        )
        tools = self._tools(run, terms.scope)
        claims = claims_of(principal, issuer=self.name, issued_at=now, tools=tools)
        token = self.keyring.sign(claims, typ=TYPE)
        body = {
            "token": principal.token_id,
            "key": principal.key_id,
            "expires_at": principal.expires_at,
            "narrowed": terms.scope is not None,
            "actors": list(terms.actors),
        }
        runs.record(transaction, "token.issued", run, body=body)
        return RunToken(token=token, principal=principal, issued_at=now, tools=tools)

    def granted(self, run: Run) -> frozenset[str]:
        """Return the tools of a run's workflow at the run's version; none when that is not loaded."""
        bundle = self.memory.bundle
        compiled = None if bundle is None else bundle.workflows.get(run.workflow)
        if compiled is None or compiled.version != run.workflow_version:
            return frozenset()
        return frozenset(compiled.grants)

    def _tools(self, run: Run, scope: frozenset[str] | None) -> tuple[str, ...]:
        return tuple(sorted(self.granted(run) if scope is None else scope))
