"""What a change of the declared documents does to authority, in words, and the part that may act at once.

Every difference widens authority, narrows it, or does neither. Whatever is not provably narrowing widens
(A3, invariant 3). `Comparison.meet` holds every narrowing and every harmless change of the new documents
and nothing that is wider than the old ones, so that a narrowing acts at once while a widening waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from interlock.core import judgement, merge, narrowing
from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider
from interlock.core.document.rule import Conditions, Policy, Rule
from interlock.core.document.runbook import Runbook
from interlock.core.document.tool import Tool, ToolServer, Variant
from interlock.core.document.workflow import Workflow
from interlock.core.merge import NARROWS, NEITHER, WIDENS, Change, Direction, Merge, Merged
from interlock.core.model import RiskTier

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that changes: in which document, in which field, in words, in which direction."""

    document: Key
    field: str
    words: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.document[0]} {self.document[1]}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All differences, and the documents of which only the narrowing and harmless part has been taken."""

    differences: tuple[Difference, ...]
    meet: tuple[AnyDocument, ...]

    @property
    def widens(self) -> bool:
        """Whether anything widens, so that a person other than the author must agree."""
        return any(each.direction is Direction.WIDENS for each in self.differences)

    @property
    def narrows(self) -> bool:
        """Whether anything narrows."""
        return any(each.direction is Direction.NARROWS for each in self.differences)


def compare(
    old: Iterable[AnyDocument], new: Iterable[AnyDocument], *, additions: bool = True, removals: bool = True
) -> Comparison:
    """Compare two sets of documents of one environment.

    With `additions` or `removals` False the meet leaves harmless new documents out, or keeps removed ones:
    for when one kept document still refers to another.
    """
    before, after = _by_key(old), _by_key(new)
    differences: list[Difference] = []
    met: list[AnyDocument] = []
    for name in (*before, *(each for each in after if each not in before)):
        kept, changes = _pair(before.get(name), after.get(name), _Context(before, after))
        if name not in before and not (additions or isinstance(kept, Policy)):
            kept = None
        if name not in after and not (removals or isinstance(before[name], Workflow)):
            kept = before[name]
        met.extend([] if kept is None else [kept])
        differences += [
            Difference(document=name, field=each.field, words=each.words, direction=each.direction)
            for each in changes
        ]
    return Comparison(differences=tuple(differences), meet=tuple(met))


@dataclass(frozen=True, slots=True)
class _Context:
    old: Mapping[Key, AnyDocument]
    new: Mapping[Key, AnyDocument]

    def granted(self, tool: str) -> bool:
        """Whether a workflow of the old documents may call `tool`."""
        flows = (each for each in self.old.values() if isinstance(each, Workflow))
        return any(grant.tool == tool for flow in flows for grant in flow.tools)

    def reads(self, field: str) -> bool:
        """Whether any condition, old or new, reads `field`."""
        return any(field in conditions for conditions in self._conditions(rules=True))

    def reads_outside_rules(self, field: str) -> bool:
        """Whether a condition that is not a rule's reads `field`."""
        return any(field in conditions for conditions in self._conditions(rules=False))

    def _conditions(self, *, rules: bool) -> Iterator[Conditions]:
        for each in (*self.old.values(), *self.new.values()):
            if isinstance(each, Workflow):
                yield from (grant.where for grant in each.tools)
            if isinstance(each, Tool):
                yield from (variant.when for variant in each.variants)
            if rules and isinstance(each, Workflow | Policy):
                yield from (rule.when for rule in each.rules)

    def rules_for(self, tool: str) -> list[Rule]:
        """Return every rule, old and new, that can apply to `tool`."""
        documents = (*self.old.values(), *self.new.values())
        holders = (each for each in documents if isinstance(each, Workflow | Policy))
        return [rule for holder in holders for rule in holder.rules if rule.tool in {tool, "*"}]


def _by_key(documents: Iterable[AnyDocument]) -> dict[Key, AnyDocument]:
    return {(type(each).__name__, each.name): each for each in documents}


def _pair(old: AnyDocument | None, new: AnyDocument | None, context: _Context) -> Merged:
    if new is None:
        return _removed(cast("AnyDocument", old))
    if old is None:
        return _added(new, context)
    document, changes = _changed(old, new, context)
    return replace(document, environment=new.environment), changes


def _changed(old: AnyDocument, new: AnyDocument, context: _Context) -> Merged:
    if isinstance(old, Tool) and isinstance(new, Tool):
        return _tool(old, new, context)
    table = judgement.FIELDS[type(old)]
    if isinstance(old, ToolServer) and context.reads("tool.source"):
        table = {**table, "source": merge.value("source")}
    if isinstance(old, Team) and old.budget is not None:
        table = {**table, "members": merge.value("members")}  # who leaves spends it no more
    return merge.record(old, new, table)


def _added(new: AnyDocument, context: _Context) -> Merged:
    match new:
        case Person():
            direction = WIDENS if new.roles else NEITHER
            words = f"added with the roles {', '.join(new.roles)}" if new.roles else "added"
        case Team():
            direction, words = (WIDENS if new.members else NEITHER), "added"
        case Rotation():
            direction, words = WIDENS, f"rotation added with {', '.join(new.members)}"
        case ToolServer():
            direction, words = WIDENS, "tool server added"
        case Tool():
            direction, words = (WIDENS if context.granted(new.name) else NEITHER), "tool added to the map"
        case Agent():
            direction, words = NEITHER, f"agent added, owned by {new.owner}"
        case Workflow():
            tools = ", ".join(grant.tool for grant in new.tools) or "no tools"
            direction, words = WIDENS, f"workflow added with {tools}{_models(new)}"
        case _:
            direction, words = _added_beside(new)
    return (None if direction is WIDENS else new), [Change("", words, direction)]


def _models(workflow: Workflow) -> str:
    named = {**dict.fromkeys(workflow.models.pin.values()), **dict.fromkeys(workflow.models.allow)}
    return f", and the models {', '.join(named)}" if named else ""


def _added_beside(new: Policy | Organisation | Provider | Runbook) -> tuple[Direction, str]:
    """Return what a new document does that names neither people nor tools."""
    match new:
        case Policy():
            return (NARROWS if new.rules else NEITHER), f"added with {_rules(new)}"
        case Organisation():
            return (NARROWS if new.budget else NEITHER), "added"
        case Provider():
            served = ", ".join(model.name for model in new.models) or "no models"
            return WIDENS, f"model provider added with {served}"
        case _:
            return NEITHER, "runbook added"


def _removed(old: AnyDocument) -> Merged:
    if isinstance(old, Policy):
        direction = WIDENS if old.rules else NEITHER
        return (old if old.rules else None), [Change("", f"removed with {_rules(old)}", direction)]
    if isinstance(old, Team | Organisation) and old.budget is not None:
        return old, [Change("", "removed with its budget", WIDENS)]
    if isinstance(old, Rotation):  # a team may still name it, as long as that has not been agreed to
        return old, [Change("", "rotation removed", WIDENS)]
    if isinstance(old, Runbook):
        return None, [Change("", "removed", NEITHER)]
    return None, [Change("", "removed", NARROWS)]


def _rules(policy: Policy) -> str:
    return "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"


def _tool(old: Tool, new: Tool, context: _Context) -> Merged:
    rules = context.rules_for(old.name)

    def tier(before: RiskTier | None, after: RiskTier | None) -> Direction:
        if context.reads_outside_rules("tool.tier"):
            return WIDENS
        return _tier_step(before, after, rules)

    left = new.tier if tier(old.tier, new.tier) is not WIDENS else old.tier

    def variants(before: tuple[Variant, ...], after: tuple[Variant, ...]) -> Merged:
        return _variants(before, after, lambda each, other=left: tier(each, other), tier)

    table: dict[str, Merge] = {
        **judgement.FIELDS[Tool],
        "tier": merge.value("tier", tier),
        "variants": variants,
    }
    if context.reads("tool.mapped") or context.reads("tool.reversible"):
        table |= {"blast_radius": merge.value("map entry"), "undo": merge.value("undo")}
    return merge.record(old, new, table)


def _tier_step(old: RiskTier | None, new: RiskTier | None, rules: list[Rule]) -> Direction:
    """A higher tier narrows, unless a rule that catches the old tier may let the new one go."""
    if old is new:
        return NEITHER
    if old is None or new is None:  # an entry without a tier is not mapped at all
        return NARROWS if new is None and not any("tool.tier" in rule.when for rule in rules) else WIDENS
    if new.rank < old.rank:
        return WIDENS
    return NARROWS if all(_still_caught_at(rule, old, new) for rule in rules) else WIDENS


def _still_caught_at(rule: Rule, before: RiskTier, after: RiskTier) -> bool:
    if "tool.tier" not in rule.when:
        return True
    asked = rule.when["tool.tier"]
    if not narrowing.literal(asked):
        return False
    return narrowing.field_implies(after.value, asked) or not narrowing.field_implies(before.value, asked)


Step = Callable[[RiskTier], Direction]
Steps = Callable[[RiskTier | None, RiskTier | None], Direction]


def _variants(old: tuple[Variant, ...], new: tuple[Variant, ...], leave: Step, step: Steps) -> Merged:
    """Merge variants, each of which lowers the tier of some calls; with several, their order matters too.

    `leave` judges what happens to a call that a variant no longer catches.
    """
    if not new:
        direction = WIDENS if any(leave(each.tier) is WIDENS for each in old) else NARROWS
        return (old if direction is WIDENS else new), [Change("", "variants removed", direction)]
    if len(old) == len(new) == 1 and old[0].name == new[0].name:
        direction = _variant(old[0], new[0], leave, step)
        words = f"variant {new[0].name} changed"
        return (old if direction is WIDENS else new), [Change("", words, direction)]
    return old, [Change("", "variants added or changed", WIDENS)]


def _variant(old: Variant, new: Variant, leave: Step, step: Steps) -> Direction:
    if not narrowing.implies(new.when, old.when):
        return WIDENS
    stays = narrowing.implies(old.when, new.when) or leave(old.tier) is not WIDENS
    return NARROWS if stays and step(old.tier, new.tier) is not WIDENS else WIDENS
