"""A proposed call and every way it can end, as values. A refusal is an answer, not an exception.

Which answer is given in which situation is the table in `docs/explanation/waiting-calls.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.approval import NEVER, Approval
from interlock.core.model import Decision, Json, Principal, Request, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The caller's answer to a call that asked for input: its responses, and the state we gave it.

    No state means that nobody asked yet: the responses came with the call itself.
    """

    request_state: str
    input_responses: Mapping[str, Json]


@value
class Proposal:
    """One tool call as an agent proposes it. `digest` is of the canonical arguments."""

    principal: Principal
    tool: str
    arguments: Mapping[str, Json]
    digest: str
    continuation: Continuation | None = None
    idempotency_key: str = ""

    @property
    def request(self) -> Request:
        """What is decided."""
        return Request(tool=self.tool, arguments=self.arguments, digest=self.digest, principal=self.principal)

    @property
    def foreseen(self) -> Mapping[str, Json] | None:
        """Responses that came with the call itself, before its tool asked for them."""
        given = self.continuation
        return None if given is None or given.request_state else given.input_responses


@value
class Completed:
    """The tool answered. `recorded` says that this is the stored answer of an earlier execution.

    `tool` is its dotted name where an action is on record. `revised` holds the arguments that ran when a
    person changed them before approving. `settles_by` says when a
    provisional one is voided unless a person confirms it.
    """

    action: str | None
    payload: dict[str, Json]
    recorded: bool = False
    tool: str = ""
    revised: Mapping[str, Json] | None = None
    settles_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The decision was no. Nothing was sent."""

    decision: Decision
    action: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not executed yet: `state` says what it waits for. A timeout of the wait, not an answer."""

    approval: str
    action: str
    expires_at: int
    state: str = "waiting_approval"
    due_at: int = 0

    @property
    def ends_at(self) -> int:
        """When the request expires, in microseconds; 0 where it never does."""
        return self.expires_at if self.expires_at < NEVER else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedDown:
    """A person or the end of its time stopped it, or it was undone after it had happened."""

    approval: str
    state: str
    reason: str
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """It was sent and its outcome is not known. A person resolves it; no machine repeats it."""

    action: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """It did not happen, and not because anybody said no: unreachable, timed out, or the store is down.

    `absent`: the caller named a call that is not there for it.
    """

    message: str
    action: str = ""
    recorded: bool = False
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAsked:
    """The tool asks for input: `payload` is the MCP InputRequiredResult, with our own request state."""

    action: str
    payload: dict[str, Json]


_TURNED_DOWN = frozenset(
    {
        ActionState.REJECTED,
        ActionState.EXPIRED,
        ActionState.CANCELLED,
        ActionState.SUPERSEDED,
        ActionState.VOIDED,
        ActionState.COMPENSATING,
        ActionState.COMPENSATED,
        ActionState.COMPENSATION_FAILED,
    }
)

Answer = Completed | Refused | Waiting | TurnedDown | InDoubt | Broken | InputAsked


def answer_of(
    action: Action,
    decision: Decision | None,
    *,
    approval: Approval | None = None,
    recorded: bool = False,
    revised: bool = False,
) -> Answer:
    """Return what a caller is told about an action as it stands; `decision` is needed for a denied one.

    Raises `ValueError` where it is missing.
    """
    match action.state:
        case (
            ActionState.SUCCEEDED | ActionState.FAILED | ActionState.PENDING_SETTLEMENT | ActionState.SETTLED
        ):
            return _ended(action, recorded=recorded, revised=revised)
        case ActionState.IN_DOUBT:
            return InDoubt(action=action.id, message=action.error)
        case ActionState.DENIED:
            if decision is None:
                raise ValueError("a denied action is told with its decision")
            return Refused(decision=decision, action=action.id)
        case state if state in _TURNED_DOWN:
            return TurnedDown(
                approval=action.approval,
                state=action.state.value,
                reason=action.error or (approval.reason if approval else ""),
                action=action.id,
            )
        case ActionState.AWAITING_INPUT:
            return InputAsked(action=action.id, payload=dict(action.result or {}))
        case _:
            return Waiting(
                approval=action.approval,
                action=action.id,
                expires_at=approval.expires_at if approval else 0,
                state=action.state.value,
                due_at=action.due_at,
            )


def _ended(action: Action, *, recorded: bool, revised: bool) -> Completed | Broken:
    if action.result is None:
        return Broken(message=action.error, action=action.id, recorded=recorded)
    return Completed(
        action=action.id,
        payload=dict(action.result),
        recorded=recorded,
        tool=action.tool,
        revised=action.arguments if revised else None,
        settles_by=action.due_at if action.state is ActionState.PENDING_SETTLEMENT else 0,
    )
