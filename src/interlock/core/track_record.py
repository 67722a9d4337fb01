"""The track record of a workflow with one tool: what a trial changes, and when the tier moves (F1, F3).

A trial is what one run did with the tool, once the time in which people could object is over. Upwards a tier
only moves by a person, on evidence; downwards by itself. Each move begins a new record: nothing that ended
before it counts any more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from interlock.core import evidence
from interlock.core.action import Action, ActionState
from interlock.core.autonomy import lower
from interlock.core.bundle import Bundle
from interlock.core.confidence import MOST_TRIALS
from interlock.core.document.rule import Policy
from interlock.core.evidence import FULL, REVIEWED, Watch
from interlock.core.model import AutonomyTier, RiskTier
from interlock.core.symptom import Effect, effect_of
from interlock.core.workflow import ANY_TOOL

_RATES = {AutonomyTier.SYNC_APPROVAL: 0.05, AutonomyTier.ASYNC_REVIEW: 0.01}
"""The failure rate to beat before the next tier is proposed: over 95 %, then over 99 % correct (F1)."""

_WATCHES = {AutonomyTier.ASYNC_REVIEW: REVIEWED, AutonomyTier.AUTONOMOUS: FULL}


class Finding(StrEnum):
    """What a move of an action says about its trial. `HELD` says nothing yet: its time begins to run."""

    HELD = "held"
    FAILED = "failed"
    SEVERE = "severe"


class Cause(StrEnum):
    """Why a tier changed."""

    EVIDENCE = "evidence"
    ALARM = "alarm"
    SEVERE = "severe"
    PERSON = "person"
    NEW_VERSION = "new_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """How a workflow stands with a tool. `clean` and `failed` are the trials since `began_at`.

    `basis` is the version they are about. `alarm` is the sum of the CUSUM over all of them, `audit_alarm`
    over those that were audited, in millionths.
    """

    workflow: str
    tool: str
    tier: AutonomyTier
    basis: str
    began_at: int
    clean: int = 0
    failed: int = 0
    alarm: int = 0
    audit_alarm: int = 0
    proposed_at: int = 0

    @property
    def rate(self) -> float | None:
        """The failure rate to beat for the next tier; None where there is none."""
        return _RATES.get(self.tier)

    @property
    def proven(self) -> bool:
        """Whether the evidence for the next tier suffices now."""
        return self.rate is not None and evidence.proven(self.clean, self.failed, self.rate)

    @property
    def clean_needed(self) -> int:
        """How many clean trials in all it takes, with the failures that there are."""
        return 0 if self.rate is None else evidence.clean_needed(self.failed, self.rate)

    @property
    def in_words(self) -> str:
        """How far the evidence for the next tier has come, in the words of whoever owns the workflow."""
        if self.rate is None:
            return "nothing to prove: it runs on its own"
        if self.proven:
            return f"proved: {self.clean} clean trials, {self.failed} failed"
        failed = f", with {self.failed} failed" if self.failed else ""
        return f"not yet proved: {self.clean} of about {self.clean_needed} clean trials{failed}"

    @property
    def alarmed(self) -> bool:
        """Whether the rate is no longer what the tier was earned with."""
        watch = self.watch
        return watch is not None and (watch.alarmed(self.alarm) or watch.alarmed(self.audit_alarm))

    @property
    def watch(self) -> Watch | None:
        """What watches over the tier; where a person decides on every call there is nothing to lose."""
        return _WATCHES.get(self.tier)


def counted(record: TrackRecord, *, failed: bool, seen: bool, audited: bool = False) -> TrackRecord:
    """Return the record after one more trial.

    A clean trial is evidence only where somebody had it before their eyes (`seen`): what nobody looked at is
    not a success. To tell whether a rate has fallen, all count, and the audited ones by themselves as well.
    """
    watch = record.watch
    alarm, audit = record.alarm, record.audit_alarm
    if watch is not None:
        alarm = watch.after(alarm, failed=failed)
        audit = watch.after(audit, failed=failed) if audited else audit
    return replace(
        record,
        clean=record.clean + (seen and not failed),
        failed=record.failed + failed,
        alarm=alarm,
        audit_alarm=audit,
    )


def moved(record: TrackRecord, to: AutonomyTier, *, now: int, basis: str = "") -> TrackRecord:
    """Return the record in its new tier: all counts begin anew."""
    return TrackRecord(
        workflow=record.workflow, tool=record.tool, tier=to, basis=basis or record.basis, began_at=now
    )


def known_trials(record: TrackRecord, default: AutonomyTier) -> int:
    """Return the clean trials of this version that are known of (F1).

    A promotion begins a new count, and stands itself for more than any workflow may ask for: a person applied
    it on that evidence. A record of which a new version began (`began_at` is 0) has no such promotion.
    """
    promoted = record.began_at > 0 and record.tier.rank < default.rank
    return max(record.clean, MOST_TRIALS) if promoted else record.clean


def after_change(tier: AutonomyTier, default: AutonomyTier) -> AutonomyTier:
    """Return where a new version begins: one tier lower, where more was earned than its `default`.

    A change takes what was earned, not what the tool's own risk tier gives; what was lost stays lost.
    """
    return lower(tier) if tier.rank < default.rank else tier


def finding_of(was: Action | None, now: Action) -> Finding | None:
    """Return what a move of an action says about its trial; None where it says nothing.

    What a person refuses or corrects is a failure, so is what is undone. An error that the caller can correct
    says nothing, nor does an outcome that nobody knows, nor a second step, nor that nobody confirmed one.
    """
    if was is None or now.comp_of or now.follows or now.tier is RiskTier.READ_ONLY:
        return None
    if now.state in _HELD:
        return Finding.HELD
    if now.state is ActionState.COMPENSATION_FAILED:
        return Finding.SEVERE
    if was.state is ActionState.PENDING_SETTLEMENT and now.updated_at >= was.due_at:
        return None
    if now.state in _CORRECTED:
        return Finding.FAILED
    if now.state is ActionState.FAILED:
        told = was.state is ActionState.IN_DOUBT or effect_of(was, now) is Effect.FAILURE
        return Finding.FAILED if told else None
    return None


_HELD = frozenset({ActionState.SUCCEEDED, ActionState.PENDING_SETTLEMENT})
_CORRECTED = frozenset({ActionState.REJECTED, ActionState.SUPERSEDED, ActionState.COMPENSATING})


def basis_of(bundle: Bundle, workflow: str, tool: str, pin: str) -> str:
    """Return what identifies the version that trials are about: another one has to prove itself anew.

    It changes with the workflow's document (its models, prompts, scope and rules), the tool's entry in the
    map, its registered schema, and the organisation's rules that can touch it.
    """
    compiled, known = bundle.workflows[workflow], bundle.tools[tool].document
    rules = [
        asdict(rule)
        for each in bundle.documents
        if isinstance(each, Policy)
        for rule in each.rules
        if rule.tool in (ANY_TOOL, tool)
    ]
    said = {
        "workflow": compiled.version,
        "tool": None if known is None else asdict(known),
        "pin": pin,
        "rules": rules,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def provable(bundle: Bundle, workflow: str, tool: str) -> str:
    """Say why a tool can never be used without a person asked first, or "" where it can be (E5)."""
    found = bundle.tools[tool]
    if tool not in bundle.workflows[workflow].grants:
        return "the workflow has it no longer in scope"
    if found.person:
        return "its answers are a person's"
    if not found.mapped:
        return "nobody has said how far it reaches: it is not in the blast-radius map"
    if found.irreversible(found.tier):
        return "what it does cannot be undone: it names neither an undo nor a delay of ten minutes"
    return ""
