"""One entry of the blast-radius map, compiled: tier, variants, what rules read about the tool (A1, A2).

A tool without a complete entry counts as `high_blast_radius`. A tool that writes and names neither an undo,
a settlement that voids it, nor a real delay is irreversible, and always needs a person (E5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.core.document.tool import PEOPLE, Companion, Tool, ToolServer, Variant
from interlock.core.model import SECOND, EffectClass, Json, RiskTier
from interlock.core.policy.condition import Clause, Setting, compile_conditions, judge
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws

REAL_DELAY = 600
"""Seconds. A shorter delay gives nobody the time to cancel, so it does not count as an undo (E5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledVariant:
    """Calls whose reach is smaller, and their tier."""

    name: str
    tier: RiskTier
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTool:
    """A tool as decisions see it. `fields` holds what rules read as `tool.*`, one for each rank of tier.

    `person` says that its answer is a person's: every call of it waits for one.
    """

    name: str
    document: Tool | None
    mapped: bool
    tier: RiskTier
    effect: EffectClass
    environment: str
    undoable: bool
    cost_per_call: int
    variants: tuple[CompiledVariant, ...]
    fields: tuple[Mapping[str, Json], ...]
    preview: Companion | None = None
    person: bool = False

    @property
    def settled(self) -> dict[str, Json]:
        """The `tool.*` fields that are the same for every call of this tool."""
        fields = self.fields[self.tier.rank]
        return {f"tool.{name}": fields[name] for name in fields if name != "tier" or not self.variants}

    @property
    def delay(self) -> int:
        """How long a call of this tool stays cancellable before it is sent, in microseconds."""
        return 0 if self.document is None else self.document.delay * SECOND

    def tier_of(self, facts: Facts) -> RiskTier:
        """Return the tier of this very call: its first matching variant's, else the tool's own.

        A variant that cannot be told does not match, so that doubt keeps the higher tier.
        """
        for variant in self.variants:
            if judge(variant.clauses, facts) is True:
                return variant.tier
        return self.tier

    def irreversible(self, tier: RiskTier) -> bool:
        """Whether a call of `tier` changes something that nothing here can take back (E5)."""
        return tier is not RiskTier.READ_ONLY and self.effect is not EffectClass.READ and not self.undoable

    @property
    def rests_on_undo(self) -> bool:
        """Whether an undo, and no delay, is what takes a call of it back."""
        return self.undoable and self.document is not None and self.document.delay < REAL_DELAY


def server_of(tool: str) -> str:
    """Return the server's part of a dotted tool name."""
    return tool.partition(".")[0]


def fields_of(tools: Mapping[str, CompiledTool], name: str) -> Mapping[str, Json]:
    """Return what rules read as `tool.*` for a named tool; nothing for "*" or an unknown one."""
    tool = tools.get(name)
    return {} if tool is None else tool.fields[tool.tier.rank]


def unmeasured(tools: Mapping[str, CompiledTool], name: str) -> str:
    """Return the name of a tool that has no preview to measure its reach; "" if it has, or for "*"."""
    tool = tools.get(name)
    return "" if tool is None or tool.preview is not None else name


def compile_tool(
    name: str, document: Tool | None, server: ToolServer | None, flaws: Flaws, *, environment: str
) -> CompiledTool:
    """Compile a map entry, or stand in for a missing one; note every flaw."""
    person = server is not None and server.transport == PEOPLE
    mapped = person or (document is not None and document.mapped)
    tier = (document.tier if document is not None and mapped else None) or RiskTier.HIGH_BLAST_RADIUS
    effect = (document.effect if document is not None else None) or EffectClass.ONCE
    if person:  # whatever is answered, nothing is changed by it
        tier, effect = RiskTier.READ_ONLY, EffectClass.READ
    declared = (document.environment if document else None) or (server.environment if server else None)
    base = _fields(name, document, server) | {"effect": effect.value, "mapped": mapped}
    base["env"] = declared or environment
    return CompiledTool(
        name=name,
        document=document,
        mapped=mapped,
        tier=tier,
        effect=effect,
        environment=declared or environment,
        undoable=document is not None
        and (document.taken_back_by is not None or document.delay >= REAL_DELAY),
        cost_per_call=document.cost_per_call if document is not None else 0,
        variants=_variants(document, tier, flaws) if document is not None and mapped else (),
        fields=tuple(base | {"tier": each.value} for each in RiskTier),
        preview=document.preview if document is not None else None,
        person=person,
    )


def _fields(name: str, document: Tool | None, server: ToolServer | None) -> dict[str, Json]:
    fields: dict[str, Json] = {"name": name, "server": server_of(name)}
    if server is not None:
        fields["source"] = server.source.value
    if document is not None and document.blast_radius is not None:
        fields["reversible"] = document.blast_radius.reversible
    return fields


def _variants(document: Tool, tier: RiskTier, flaws: Flaws) -> tuple[CompiledVariant, ...]:
    setting = Setting(scope={}, unmeasured="" if document.preview is not None else document.name)
    variants: list[CompiledVariant] = []
    for index, variant in enumerate(document.variants):
        here = flaws.at("variants", index)
        _check_variant(variant, tier, here)
        clauses = compile_conditions(variant.when, here.at("when"), setting)
        variants.append(CompiledVariant(name=variant.name, tier=variant.tier, clauses=clauses))
    return tuple(variants)


def _check_variant(variant: Variant, tier: RiskTier, flaws: Flaws) -> None:
    if variant.tier.rank > tier.rank:
        message = f"a variant can only have a smaller tier than the tool's own {tier}, not {variant.tier}"
        flaws.at("tier").add(message)
    if not variant.when:
        flaws.at("when").add("a variant without conditions would be every call: give the tool that tier")
