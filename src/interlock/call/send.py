"""Send a call that may go: what the executor is handed, and an outcome whatever the executor does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from interlock.core import lease
from interlock.core.action import Action
from interlock.core.answer import Proposal
from interlock.core.effect import key_of
from interlock.core.model import SECOND, EffectClass, Json
from interlock.runtime import Clock
from interlock.store import actions
from interlock.upstream.executor import Bridge, Dispatch, Executor, NotSent, Outcome, Unknown

log = logging.getLogger(__name__)

_TOO_LATE = (
    "This process was held up for too long between its intent and the call, so nothing was sent. Ask again."
)
_KNOWN_BY_KEY = frozenset({EffectClass.IDEMPOTENT, EffectClass.PROBEABLE})


def _nobody(_run: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """The way out of this process. `timeout` is how long a call may take, in seconds.

    `asks_people(run)` says whether people are asked what a tool server asks for during a call.
    """

    executor: Executor
    timeout: float
    clock: Clock
    asks_people: Callable[[str], bool] = _nobody

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Return how the call ended. An executor that raises leaves the outcome unknown."""
        try:
            return await self.executor.execute(dispatch, bridge)
        except Exception as error:
            log.exception("the executor failed")
            return Unknown(message=f"The call broke off ({type(error).__name__}); its outcome is not known.")

    def read(self, proposal: Proposal, bridge: Bridge | None) -> Awaitable[Outcome]:
        """Send an allowed read, which has no action."""
        server, _, tool = proposal.tool.partition(".")
        people = self.asks_people(proposal.principal.run)
        dispatch = Dispatch(
            action=None,
            server=server,
            tool=tool,
            arguments=proposal.arguments,
            principal=proposal.principal,
            timeout=self.timeout,
            input_responses=None if people else proposal.foreseen,  # no client answers in their place
            people=people,
        )
        return self.execute(dispatch, bridge)

    async def action(
        self,
        action: Action,
        bridge: Bridge | None,
        *,
        leased: float,
        responses: Mapping[str, Json] | None,
        upstream_state: str | None,
    ) -> Outcome:
        """Send an action whose intent is on disk, with the input and the state that its tool asked for.

        `leased` is when its lease was asked for, on this process's own clock. When little of it is left the
        call does not begin, and it never takes longer than what is left (invariant 1).
        """
        left = lease.time_to_send(
            lease=action.lease_until - action.updated_at,
            spent=round((self.clock.monotonic() - leased) * SECOND),
            timeout=round(self.timeout * SECOND),
        )
        if left is None:
            return NotSent(message=_TOO_LATE)
        server, _, tool = action.tool.partition(".")
        dispatch = Dispatch(
            action=action.id,
            server=server,
            tool=tool,
            arguments=action.arguments,
            principal=actions.principal_of(action),
            timeout=left / SECOND,
            approved=bool(action.approval),
            input_responses=responses,
            request_state=upstream_state,
            idempotency_key=key_of(action) if action.effect in _KNOWN_BY_KEY else "",
            people=self.asks_people(action.run),
        )
        return await self.execute(dispatch, bridge)
