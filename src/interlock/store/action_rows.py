"""The rows of actions: an action as its table keeps it, and back.

Which columns never change, which every move writes and which a decision writes is said here once.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.model import EffectClass, RiskTier, Verdict

_JSON = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(dict[str, Any])
MOVES_ALWAYS = (
    "state", "fence", "updated_at", "approval", "result", "error", "input_state", "successor", "due_at",
    "lease_until", "owner_process", "attempt", "began_at", "ended_at", "undo_until",
)  # fmt: skip
MOVES_DECIDED = ("verdict", "tier", "bundle", "pin", "decision")


def action_of(row: sa.RowMapping) -> Action:
    """Return the action of a row."""
    return Action(
        id=row["id"],
        run=row["run"],
        agent=row["agent"],
        workflow=row["workflow"],
        workflow_version=row["workflow_version"],
        tool=row["tool"],
        arguments=object_of(row["arguments"]),
        digest=row["digest"],
        state=ActionState(row["state"]),
        effect=EffectClass(row["effect"]),
        tier=RiskTier(row["tier"]),
        verdict=Verdict(row["verdict"]),
        bundle=row["bundle"],
        pin=row["pin"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        fence=row["fence"],
        approval=row["approval"] or "",
        principal=object_of(row["principal"]),
        decision=object_of(row["decision"]),
        result=None if row["result"] is None else object_of(row["result"]),
        error=row["error"] or "",
        idempotency_key=row["idempotency_key"] or "",
        input_state=row["input_state"] or "",
        successor=row["successor"] or "",
        collected=bool(row["collected"]),
        due_at=row["due_at"] or 0,
        lease_until=row["lease_until"] or 0,
        attempt=row["attempt"],
        began_at=row["began_at"] or 0,
        ended_at=row["ended_at"] or 0,
        comp_of=row["comp_of"] or "",
        undo_until=row["undo_until"] or 0,
        follows=row["follows"] or "",
    )


def fixed(action: Action) -> dict[str, Any]:
    """Return what never changes after the action was written."""
    return {
        "id": action.id,
        "run": action.run,
        "agent": action.agent,
        "workflow": action.workflow,
        "workflow_version": action.workflow_version,
        "tool": action.tool,
        "arguments": text_of(action.arguments),
        "digest": action.digest,
        "effect": action.effect.value,
        "idempotency_key": action.idempotency_key or None,
        "created_at": action.created_at,
        "principal": text_of(action.principal),
        "comp_of": action.comp_of or None,
        "follows": action.follows or None,
    }


def moving(action: Action, process: str) -> dict[str, Any]:
    """Return what every move writes; `process` is who executes it now."""
    return {
        "state": action.state.value,
        "fence": action.fence,
        "updated_at": action.updated_at,
        "approval": action.approval or None,
        "result": None if action.result is None else text_of(action.result),
        "error": action.error or None,
        "input_state": action.input_state or None,
        "successor": action.successor or None,
        "due_at": action.due_at or None,
        "lease_until": action.lease_until or None,
        "owner_process": process or None,
        "attempt": action.attempt,
        "began_at": action.began_at or None,
        "ended_at": action.ended_at or None,
        "undo_until": action.undo_until or None,
    }


def decided(action: Action) -> dict[str, Any]:
    """Return what a decision writes."""
    return {
        "verdict": action.verdict.value,
        "tier": action.tier.value,
        "bundle": action.bundle,
        "pin": action.pin,
        "decision": text_of(action.decision),
    }


def move_of(action: Action, was: str, *, at: int, by: str, reason: str) -> dict[str, Any]:
    """Return the row of the move that brought `action` where it is; `was` is "" for the first."""
    return {
        "action": action.id,
        "seq": action.fence,
        "from_state": was or None,
        "to_state": action.state.value,
        "at": at,
        "by": by,
        "reason": reason,
    }


def object_of(text: str) -> dict[str, Any]:
    """Return a JSON object that a column keeps as text."""
    return _OBJECT.decode(text)


def text_of(value: object) -> str:
    """Return a value as the text of its column."""
    return _JSON.encode(value).decode()
