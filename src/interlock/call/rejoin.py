"""Callers who come to an action that is already there: with the same call, an approval's id, or an answer.

Each is checked anew, as what counts may have changed since. Nothing is executed from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import admission
from interlock.core.action import Action
from interlock.core.answer import Answer, Broken, Continuation, Proposal, Refused
from interlock.core.identity import check_principal
from interlock.core.model import Principal, Request
from interlock.core.refusal import KEY_REUSED
from interlock.runtime import Runtime
from interlock.services.admit import Admit
from interlock.services.attend import Attend
from interlock.store import matches
from interlock.store.database import JournalEntry, Store
from interlock.store.memory import LiveAction, Memory
from interlock.upstream.executor import Bridge

_NOBODY = "There is no approval of that name in this run, nor a call. Name one that this run was given."
_NO_CALL = "No call in this run waits for this input."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoin:
    """Finds the action that a caller means, and whether the caller may have it."""

    store: Store
    memory: Memory
    runtime: Runtime
    admit: Admit
    attend: Attend

    async def attach(self, live: LiveAction, request: Request, bridge: Bridge | None, wait: float) -> Answer:
        """Answer a call with what becomes of the identical one that is open, or that has its key."""
        refused = self._stranger(request.principal) or await self._narrowed(request)
        if refused is not None:
            return refused
        if (live.tool, live.digest) != (request.tool, request.digest):
            return await self._reused(request)
        return await self.attend.follow(live.id, bridge=bridge, wait=wait, patient=True)

    async def elsewhere(self, proposal: Proposal) -> LiveAction | None:
        """Return the action that a call is on disk: under its key, or opened by another process.

        It is live here from now on if it is open.
        """
        principal, key = proposal.principal, proposal.idempotency_key
        action = await self.store.read(
            lambda found: (
                matches.keyed(found, principal.run, key)
                if key
                else matches.open_call(found, principal.run, proposal.tool, proposal.digest)
            )
        )
        if action is None:
            return None
        live = self.memory.actions.get(action.id)
        return live or await self.attend.look(action.id)

    async def _reused(self, request: Request) -> Refused:
        """Refuse a call whose key was given to another one."""
        snapshot = self.memory.snapshot(request.principal, request.tool)
        decision = admission.refuse(request, KEY_REUSED, snapshot, self.runtime.clock.now())
        await self.admit.refuse(request, decision)
        return Refused(decision=decision)

    async def collect(
        self, principal: Principal, named: str, *, bridge: Bridge | None, wait: float
    ) -> Answer:
        """Answer with what becomes of the action whose id, or whose approval's id, is `named`."""
        refused = self._stranger(principal)
        if refused is not None:
            return refused
        action = await self.store.read(lambda found: matches.named(found, named))
        if action is None:
            return Broken(message=_NOBODY, absent=True)
        if (action.run, action.agent) != (principal.run, principal.agent):
            return await self._not_theirs(principal, action)
        if principal.scope is not None and action.tool not in principal.scope:
            return Broken(message=_NOBODY, absent=True)
        return await self.attend.follow(action.id, bridge=bridge, wait=wait, patient=wait > 0)

    async def _not_theirs(self, principal: Principal, action: Action) -> Broken:
        """Tell a caller who wants another run's call as little as of one that is not there; put it on record.

        Raises `StoreError` where that cannot be written.
        """
        await self.store.journal(
            JournalEntry(
                at=self.runtime.clock.now(),
                kind="action.resume_refused",
                body={"wanted": action.id, "of_run": action.run, "of_agent": action.agent},
                run=principal.run,
                agent=principal.agent,
                workflow=principal.workflow,
                tool=action.tool,
            )
        )
        return Broken(message=_NOBODY, absent=True)

    async def asking(self, request: Request, given: Continuation) -> Action | Broken | Refused:
        """Return the action that asked for input, if the state that came back is the one it gave out."""
        refused = self._stranger(request.principal)
        if refused is not None:
            return refused
        action = await self.store.read(lambda found: matches.asking(found, given.request_state))
        if action is None or not _same_call(action, request):
            return Broken(message=_NO_CALL)
        return await self._narrowed(request) or action

    async def _narrowed(self, request: Request) -> Refused | None:
        """Refuse a caller whose own token does not hold the tool, whatever its run has under way."""
        scope = request.principal.scope
        if scope is None or request.tool in scope:
            return None
        decision = self.admit.decide(request)  # which says no, and why
        await self.admit.refuse(request, decision)
        return Refused(decision=decision)

    def _stranger(self, principal: Principal) -> Broken | None:
        """Say that the caller does not count any more, whatever it wants to collect."""
        now = self.runtime.clock.now()
        reason = check_principal(principal, self.memory.revoked, environment=self.memory.environment, now=now)
        return None if reason is None else Broken(message=reason.message)


def _same_call(action: Action, request: Request) -> bool:
    principal = request.principal
    mine = (principal.run, principal.agent, request.tool, request.digest)
    return mine == (action.run, action.agent, action.tool, action.digest)
