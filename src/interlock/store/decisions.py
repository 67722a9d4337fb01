"""What is kept of a decision, and what of a person's approval the next decision reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from interlock.core.action import Action
from interlock.core.admission import Approved
from interlock.core.approval import Approval, ApprovalState
from interlock.core.model import Decision, EffectClass, Gate, Json, RiskTier, Verdict
from interlock.core.reach import numbers


def approved_by(approval: Approval | None, action: Action) -> Approved | None:
    """Return what a person approved of `action`, or None where nobody did."""
    if approval is None or approval.state is not ApprovalState.APPROVED:
        return None
    binding = approval.binding
    return Approved(
        approval=approval.id,
        digest=binding.digest,
        pin=binding.pin,
        bundle=binding.bundle,
        by=approval.decided_by,
        tier=action.tier,
        reach=reach_of(action),
    )


def reach_of(action: Action) -> Mapping[str, Json] | None:
    """Return the reach that the last decision on `action` was made on, or None where it was not known."""
    return action.decision.get("read", {}).get("reach")


def said(decision: Decision) -> str:
    """What the audit keeps of a decision: never an argument's value, nor a sentence that may quote one."""
    reasons = tuple([(each.gate, each.code, each.rule, each.verdict) for each in decision.reasons])
    common = _common(decision.verdict, reasons, decision.tier, decision.effect, decision.bundle, decision.pin)
    said = f'{common},"digest":"{decision.digest}"'
    if "reach" in decision.read:
        return f'{said},"reach":{_json(numbers(decision.read["reach"]))}}}'
    if "unmeasured" in decision.read:
        return f'{said},"unmeasured":{_json(decision.read["unmeasured"])}}}'
    return said + "}"


@lru_cache(maxsize=1024)  # the same for nearly all calls of a tool: encoding it takes five times as long
def _common(
    verdict: Verdict,
    reasons: tuple[tuple[Gate, str, str | None, Verdict], ...],
    tier: RiskTier,
    effect: EffectClass,
    bundle: str,
    pin: str,
) -> str:
    """Return the first members of the object that `said` makes."""
    names = ("gate", "code", "rule", "verdict")
    said = {
        "verdict": verdict,
        "reasons": [dict(zip(names, each, strict=True)) for each in reasons],
        "tier": tier,
        "effect": effect,
        "bundle": bundle,
        "pin": pin,
    }
    return _json(said).removesuffix("}")


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()
