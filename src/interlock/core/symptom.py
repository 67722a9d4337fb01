"""What the end of a call says about its tool, and what a move of an action trips by itself (E2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import cast

from interlock.core.action import Action, ActionState
from interlock.core.breaker import BreakerKind, Trigger
from interlock.core.model import Json, RiskTier

_NOTHING: Mapping[str, Json] = {}
_INVALID_PARAMS = -32602
_PROTOCOL_ERROR = "interlock/error"
_CORRECTABLE = "interlock/correctable"
_STATUSES: frozenset[object] = frozenset({400, 404, 405, 409, 410, 411, 412, 413, 414, 415, 416, 422})
_CODES: frozenset[object] = frozenset(
    {"invalid_argument", "invalid_params", "validation_error", "bad_request", "not_found", "out_of_range",
     "already_exists", "conflict", "failed_precondition"}
)  # fmt: skip


class Effect(StrEnum):
    """What a call that ended says about its tool."""

    CLEAN = "clean"
    FAILURE = "failure"
    NEITHER = "neither"


def effect_of(was: Action, now: Action) -> Effect:
    """Return what a move of an action says about its tool.

    An outcome that is not known counts as a failure. What never left this process says nothing, nor does an
    error that the caller can correct.
    """
    if was.state is not ActionState.EXECUTING:
        return Effect.NEITHER
    if now.state in _CLEAN:
        return Effect.CLEAN
    if now.state is ActionState.FAILED:
        sent = now.lease_until > 0
        return Effect.FAILURE if sent and not correctable(now.result) else Effect.NEITHER
    return Effect.FAILURE if now.state in _UNKNOWN else Effect.NEITHER


_CLEAN = frozenset({ActionState.SUCCEEDED, ActionState.PENDING_SETTLEMENT, ActionState.COMPENSATING})
_UNKNOWN = frozenset({ActionState.IN_DOUBT, ActionState.RETRY})


def correctable(result: Mapping[str, Json] | None) -> bool:
    """Whether a definite error is about what the caller asked for, and the tool itself is well.

    Told by the protocol's code for invalid parameters, by the server's own word (`_meta`
    `interlock/correctable`), or by a status or code of its structured content that says so. A sentence tells
    nothing: where only words came, it is a failure.
    """
    if result is None:
        return False
    meta, said = _object(result.get("_meta")), _object(result.get("structuredContent"))
    if _object(meta.get(_PROTOCOL_ERROR)).get("code") == _INVALID_PARAMS:
        return True
    own = meta.get(_CORRECTABLE)
    if isinstance(own, bool):
        return own
    error = _object(said.get("error"))
    words = [part.get(name) for part in (said, error) for name in ("status", "code")]
    return any(_tells(each) for each in words)


def _tells(word: Json) -> bool:
    if isinstance(word, str):
        return word.lower() in _CODES
    return isinstance(word, int) and word in _STATUSES


def _object(found: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", found) if isinstance(found, dict) else _NOTHING


def tripped_by(now: Action) -> tuple[BreakerKind, Trigger] | None:
    """Return what a move of an action trips by itself, whatever the counters say."""
    if now.state is ActionState.COMPENSATION_FAILED:
        return BreakerKind.TOOL, Trigger.COMPENSATION_FAILED
    if now.follows:  # nobody of the workflow asked for it: the clock did
        return None
    if now.state is ActionState.EXPIRED and now.tier is RiskTier.HIGH_BLAST_RADIUS:
        return BreakerKind.WORKFLOW, Trigger.APPROVAL_EXPIRED
    return None
