"""The worst call is a concrete request: the real validator of the tool's own schema accepts it (A4)."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.document.tool import BlastRadius
from interlock.core.document.workflow import Grant
from interlock.core.model import RiskTier, Verdict
from interlock.core.worst import WorstCall, report
from interlock.services.register import schema_check
from support.policies import NOW, a_bundle, a_tool, a_workflow

REFUND: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["amount", "currency", "ticket", "lines", "notify", "when", "tags", "limits"],
    "$defs": {
        "Line": {
            "type": "object",
            "required": ["sku", "count"],
            "properties": {
                "sku": {"type": "string", "minLength": 8},
                "count": {"type": "integer", "minimum": 1},
            },
        }
    },
    "properties": {
        "amount": {"type": "integer", "exclusiveMinimum": 0, "maximum": 1_000_000},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "ticket": {"type": "string", "pattern": "^T-[0-9]+$"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 2},
        "notify": {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]},
        "when": {"type": ["string", "null"], "format": "date"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 1},
        "limits": {"type": "object", "required": ["day"], "properties": {"day": {"const": 5}}},
        "note": {"type": "string"},
    },
}


def worst(where: dict[str, Any], schema: dict[str, Any] = REFUND) -> WorstCall:
    radius = BlastRadius(widest_scope="one", impact="money", reversible="none", money="$args.amount")
    tool = a_tool(tier=RiskTier.HIGH_BLAST_RADIUS, blast_radius=radius)
    found = a_bundle(a_workflow(Grant(tool="crm.update", where=where)), tools=(tool,))
    check = schema_check(schema)
    [call] = report(
        found, found.workflows["refunds"], NOW, schemas={"crm.update": schema}, checks={"crm.update": check}
    ).calls
    assert not call.valid or check(call.arguments) is None
    return call


@pytest.mark.parametrize(
    ("where", "amount"),
    [({}, 1_000_000), ({"args.amount": {"le": 50_000}, "args.currency": {"in": ["EUR", "USD"]}}, 50_000)],
)
def test_the_worst_call_passes_schema_and_scope(where: dict[str, Any], amount: int) -> None:
    call = worst(where)
    assert call.verdict is Verdict.REQUIRE_APPROVAL
    assert call.arguments["amount"] == amount
    assert set(call.arguments) == set(REFUND["required"])


def test_a_schema_that_no_call_can_meet_is_said() -> None:
    call = worst({"args.currency": "euros"})
    assert not call.valid
    assert "do not fit" in call.because


def test_tools_whose_schema_is_not_known_are_named() -> None:
    found = a_bundle(a_workflow(Grant(tool="crm.update")), tools=(a_tool(),))
    assert report(found, found.workflows["refunds"], NOW).unchecked == ("crm.update",)
