"""The shop of the torture test: tools that write, once only or known by a key, asked for or not, and undos.

One workflow's runs are undone when they fail, and its breakers stay closed unless an undo fails. The other's
one tool fails every other time: its breaker opens again and again, and people sign it off.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import Companion, Tool
from interlock.core.document.workflow import BreakerLimits, Grant, Workflow
from interlock.core.model import EffectClass, OnFailure, RiskTier
from support.engine import a_manifest, a_tool

_LIMITED, _HIGH = RiskTier.LIMITED_WRITE, RiskTier.HIGH_BLAST_RADIUS
_UNDO = Companion(tool="shop.back", arguments={"order": "$args.order"}, within=864_000)


def _undone(name: str, tier: RiskTier, effect: EffectClass, *, delay: int = 0) -> Tool:
    return a_tool(f"shop.{name}", tier, effect, undo=_UNDO, delay=delay)


TOOLS = (
    _undone("once", _LIMITED, EffectClass.ONCE),
    _undone("asked", _HIGH, EffectClass.ONCE),
    _undone("keyed", _LIMITED, EffectClass.IDEMPOTENT),
    _undone("both", _HIGH, EffectClass.IDEMPOTENT),
    _undone("after", _LIMITED, EffectClass.ONCE, delay=1),
)
SHAKY = _undone("shaky", _LIMITED, EffectClass.IDEMPOTENT)
BACK = a_tool("shop.back", _LIMITED, EffectClass.IDEMPOTENT)
NAMES = tuple(each.name for each in TOOLS)
ASKED_FOR = frozenset(each.name for each in TOOLS if each.tier is _HIGH)
ORDERS, TRIALS = "orders", "trials"
_NEVER = 1_000_000_000


def manifest() -> list[AnyDocument]:
    """Return the shop's documents."""
    documents = a_manifest(
        *TOOLS,
        SHAKY,
        BACK,
        grants=(Grant(tool="shop.read"), *(Grant(tool=each) for each in NAMES)),
        breaker=BreakerLimits(tool_failures=_NEVER, identical_calls=_NEVER),
        on_failure=OnFailure.UNDO,
    )
    orders = next(each for each in documents if isinstance(each, Workflow) and each.name == ORDERS)
    breaker = BreakerLimits(tool_failures=3, identical_calls=_NEVER)
    return [*documents, replace(orders, name=TRIALS, tools=(Grant(tool=SHAKY.name),), breaker=breaker)]
