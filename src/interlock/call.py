"""One governed call, from proposal to answer: admit, execute, settle, in that order, in this one place.

An answer is a value; every way a call can end has its own. What happens to a call that waits is the table
in `docs/explanation/waiting-calls.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.core.model import Decision, Json, Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The caller's answer to a call that asked for input: its responses, and the state we gave it."""

    request_state: str
    input_responses: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One tool call as an agent proposes it. `digest` is of the canonical arguments."""

    principal: Principal
    tool: str
    arguments: Mapping[str, Json]
    digest: str
    continuation: Continuation | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The tool answered. `recorded` says that this is the stored answer of an earlier execution.

    `revised` holds the arguments that ran when a person changed them before approving.
    """

    action: str | None
    payload: dict[str, Json]
    recorded: bool = False
    revised: Mapping[str, Json] | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedDown:
    """A person or the end of its time stopped it: rejected, expired, cancelled or superseded."""

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
    """It did not happen, and not because anybody said no: unreachable, timed out, or the store is down."""

    message: str
    action: str = ""
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAsked:
    """The tool asks for input: `payload` is the MCP InputRequiredResult, with our own request state."""

    action: str
    payload: dict[str, Json]


Answer = Completed | Refused | Waiting | TurnedDown | InDoubt | Broken | InputAsked
