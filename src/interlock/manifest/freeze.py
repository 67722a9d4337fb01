"""A checked model of a kind to the frozen document of the core that says the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from interlock.core.document.identity import DigestTime
from interlock.core.document.kind import KINDS, AnyDocument
from interlock.core.document.named import Document
from interlock.core.document.provider import (
    DeclaredPrice,
    DeclaredRates,
    DeclaredTier,
    ProviderCredentials,
    ProviderModel,
    Timeouts,
)
from interlock.core.document.rule import Hours, Rule
from interlock.core.document.runbook import Baseline, FailureMode
from interlock.core.document.spending import Budget, Compression, Customer, Degraded, Models
from interlock.core.document.tool import (
    BlastRadius,
    Companion,
    Credentials,
    Exercise,
    FollowUp,
    Probe,
    Settlement,
    Variant,
)
from interlock.core.document.workflow import Approvals, Autonomy, BreakerLimits, Grant, Webhook
from interlock.core.model import RiskTier, Verdict
from interlock.manifest import identity, provider, rule, runbook, spending, tool, workflow
from interlock.manifest.field import Strict

_FROZEN: dict[type[Strict], type[Any]] = {
    tool.CredentialsSpec: Credentials,
    tool.VariantSpec: Variant,
    tool.BlastRadiusSpec: BlastRadius,
    tool.PreviewSpec: Companion,
    tool.UndoSpec: Companion,
    tool.ExerciseSpec: Exercise,
    tool.FollowUpSpec: FollowUp,
    tool.CallSpec: Companion,
    tool.SettlementSpec: Settlement,
    tool.ProbeSpec: Probe,
    workflow.GrantSpec: Grant,
    rule.HoursSpec: Hours,
    workflow.BreakerSpec: BreakerLimits,
    workflow.AutonomySpec: Autonomy,
    workflow.WebhookSpec: Webhook,
    identity.DigestSpec: DigestTime,
    spending.BudgetSpec: Budget,
    spending.ModelsSpec: Models,
    spending.DegradedSpec: Degraded,
    spending.CompressionSpec: Compression,
    spending.CustomerSpec: Customer,
    provider.ProviderCredentialsSpec: ProviderCredentials,
    provider.ProviderModelSpec: ProviderModel,
    provider.TimeoutsSpec: Timeouts,
    runbook.BaselineSpec: Baseline,
    runbook.FailureModeSpec: FailureMode,
}


def freeze(name: str, environment: str | None, kind: str, spec: Strict) -> AnyDocument:
    """Return the document that `spec` describes."""
    values = _values(spec)
    if isinstance(spec, tool.ToolSpec):
        values["cost_per_call"] = spec.cost.per_call if spec.cost else 0
        del values["cost"]
    if isinstance(spec, provider.ProviderSpec):
        values["fallbacks"] = {model: tuple(others) for model, others in spec.fallbacks.items()}
    if isinstance(spec, workflow.WorkflowSpec) and spec.elicitation == "client":
        values["elicitation"] = True
    return KINDS[kind](name=name, environment=environment, **values)


def _values(spec: Strict) -> dict[str, Any]:
    return {name: _value(getattr(spec, name)) for name in type(spec).model_fields}


def _value(value: object) -> Any:
    match value:
        case rule.RuleSpec():
            values: dict[str, Any] = {**_values(value), "then": Verdict(value.then)}
            return Rule(**values)
        case provider.PriceSpec():
            tiers = tuple(DeclaredTier(above=each.above, rates=_rates(each)) for each in value.tiers)
            return DeclaredPrice(rates=_rates(value), tiers=tiers, tools=value.tools)
        case workflow.ApprovalsSpec():
            stages: dict[str, Any] = {**_values(value), "four_eyes": _four_eyes(value.four_eyes)}
            return Approvals(**stages)
        case Strict() if type(value) in _FROZEN:
            return _FROZEN[type(value)](**_values(value))
        case list():
            return tuple(_value(each) for each in cast("list[object]", value))
        case _:
            return value


def _four_eyes(said: bool | workflow.FourEyesSpec) -> tuple[RiskTier, ...]:
    if isinstance(said, bool):
        return tuple(RiskTier) if said else ()
    return tuple(said.tiers)


def _rates(spec: provider.RatesSpec) -> DeclaredRates:
    return DeclaredRates(**{name: getattr(spec, name) for name in provider.RatesSpec.model_fields})


#: Fields of the core whose name or place in the manifest is another one.
DECLARED_AS: dict[str, tuple[str, ...]] = {
    "cost_per_call": ("cost", "per_call"),
    "start": ("from",),
    "end": ("to",),
    "wire_formats": ("wire_format",),
}


def declared_path(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return where the manifest says what stands at `path` of a core document."""
    head = () if path[:1] in {("spec",), ("metadata",)} else _head(path)
    steps: list[str | int] = list(head)
    for step in path:
        steps.extend(DECLARED_AS.get(step, (step,)) if isinstance(step, str) else (step,))
    return tuple(steps)


def _head(path: tuple[str | int, ...]) -> tuple[str, ...]:
    own = {each.name for each in fields(Document)}
    return ("metadata",) if path and path[0] in own else ("spec",)
