"""Open a run and issue its first token, for a caller inside this process that answers for the agent."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.missing import no_workflow
from interlock.core.model import SECOND
from interlock.core.token import MAX_LIFE
from interlock.errors import NotFound
from interlock.settings import Settings
from interlock.store import run_starts
from interlock.store.database import Store, Transaction
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.store.run_rows import Run
from interlock.store.run_tokens import Issuer, RunToken, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """A run that is open, and the token that speaks for it."""

    run: Run
    token: RunToken


async def open_run(
    *,
    store: Store,
    memory: Memory,
    keyring: Keyring,
    settings: Settings,
    workflow: str,
    started_by: str,
    scope: frozenset[str] | None = None,
    life: int = MAX_LIFE,
    attended: bool = False,
) -> OpenedRun:
    """Open a run of `workflow` at its present version for the workflow's own agent.

    Raises `NotFound` for an unknown workflow, `StateConflict` when its agent may not run.
    """
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    if compiled is None:
        unknown = no_workflow(workflow, memory.bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    agent = compiled.document.agent
    issuer = Issuer(name=settings.issuer_url, keyring=keyring, memory=memory)

    def work(transaction: Transaction) -> OpenedRun:
        request = run_starts.RunStart(
            workflow=workflow,
            agent=agent,
            started_by=started_by,
            lease_until=transaction.now,
            deadline_at=transaction.now + settings.run_limit * SECOND,
            attended=attended,
        )
        run, record = run_starts.start(transaction, memory, request)
        token = issuer.issue(transaction, run, record, Terms(life=life, scope=scope))
        return OpenedRun(run=run, token=token)

    return await store.transact(work)
