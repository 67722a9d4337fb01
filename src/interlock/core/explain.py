"""A decision as lines that a person or a model can read: the verdict, who said so, what would have passed."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.core.model import Decision, NearMiss, Reason, Verdict

_OPENING = {
    Verdict.ALLOW: "Allowed.",
    Verdict.ALLOW_WITH_REVIEW: "Allowed; a person reviews it afterwards.",
    Verdict.REQUIRE_APPROVAL: "Not executed yet: a person must approve it first.",
    Verdict.DENY: "Refused; nothing was executed.",
}


def explain(decision: Decision) -> tuple[str, ...]:
    """Return the decision as lines, what determined it first."""
    return tuple(_lines(decision))


def near_miss(miss: NearMiss) -> str:
    """Return a near miss as one line: "args.amount_cents: up to 50000; this was 90000"."""
    return f"{miss.field}: {miss.expected}; this was {miss.actual}"


def _lines(decision: Decision) -> Iterator[str]:
    yield f"{decision.verdict.value}: {_OPENING[decision.verdict]}"
    for reason in decision.reasons:
        yield f"  {_source(reason)}: {reason.message}"
        for miss in reason.near_misses:
            yield f"    {near_miss(miss)}"


def _source(reason: Reason) -> str:
    rule = f" {reason.rule}" if reason.rule else ""
    return f"{reason.gate.value}{rule} [{reason.code}]"
