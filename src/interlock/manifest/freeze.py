"""A checked model of `manifest.kinds` to the frozen document of the core that says the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from interlock.core import document as core
from interlock.core.document import AnyDocument
from interlock.core.model import Verdict
from interlock.manifest import kinds, provider, runbook, spending
from interlock.manifest.field import Strict

_FROZEN: dict[type[Strict], type[Any]] = {
    kinds.CredentialsSpec: core.Credentials,
    kinds.VariantSpec: core.Variant,
    kinds.BlastRadiusSpec: core.BlastRadius,
    kinds.PreviewSpec: core.Companion,
    kinds.UndoSpec: core.Companion,
    kinds.GrantSpec: core.Grant,
    kinds.HoursSpec: core.Hours,
    kinds.ApprovalsSpec: core.Approvals,
    kinds.BreakerSpec: core.BreakerLimits,
    spending.BudgetSpec: core.Budget,
    spending.ModelsSpec: core.Models,
    spending.DegradedSpec: core.Degraded,
    spending.CompressionSpec: core.Compression,
    spending.CustomerSpec: core.Customer,
    provider.ProviderCredentialsSpec: core.ProviderCredentials,
    provider.ProviderModelSpec: core.ProviderModel,
    provider.TimeoutsSpec: core.Timeouts,
    runbook.BaselineSpec: core.Baseline,
    runbook.FailureModeSpec: core.FailureMode,
}


def freeze(name: str, environment: str | None, kind: str, spec: Strict) -> AnyDocument:
    """Return the document that `spec` describes."""
    values = _values(spec)
    if isinstance(spec, kinds.ToolSpec):
        values["cost_per_call"] = spec.cost.per_call if spec.cost else 0
        del values["cost"]
    if isinstance(spec, provider.ProviderSpec):
        values["fallbacks"] = {model: tuple(others) for model, others in spec.fallbacks.items()}
    return core.KINDS[kind](name=name, environment=environment, **values)


def _values(spec: Strict) -> dict[str, Any]:
    return {name: _value(getattr(spec, name)) for name in type(spec).model_fields}


def _value(value: object) -> Any:
    match value:
        case kinds.RuleSpec():
            values: dict[str, Any] = {**_values(value), "then": Verdict(value.then)}
            return core.Rule(**values)
        case provider.PriceSpec():
            tiers = tuple(core.DeclaredTier(above=each.above, rates=_rates(each)) for each in value.tiers)
            return core.DeclaredPrice(rates=_rates(value), tiers=tiers, tools=value.tools)
        case Strict() if type(value) in _FROZEN:
            return _FROZEN[type(value)](**_values(value))
        case list():
            return tuple(_value(each) for each in cast("list[object]", value))
        case _:
            return value


def _rates(spec: provider.RatesSpec) -> core.DeclaredRates:
    return core.DeclaredRates(**{name: getattr(spec, name) for name in provider.RatesSpec.model_fields})


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
    own = {each.name for each in fields(core.Document)}
    return ("metadata",) if path and path[0] in own else ("spec",)
