"""The shop of the torture test: tools that write, once only or known by a key, asked for or not."""

from __future__ import annotations

from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import BreakerLimits, Grant
from interlock.core.model import EffectClass, RiskTier
from support.engine import a_manifest, a_tool

_LIMITED, _HIGH = RiskTier.LIMITED_WRITE, RiskTier.HIGH_BLAST_RADIUS
TOOLS = (
    a_tool("shop.once", _LIMITED, EffectClass.ONCE),
    a_tool("shop.asked", _HIGH, EffectClass.ONCE),
    a_tool("shop.keyed", _LIMITED, EffectClass.IDEMPOTENT),
    a_tool("shop.both", _HIGH, EffectClass.IDEMPOTENT),
    a_tool("shop.after", _LIMITED, EffectClass.ONCE, delay=1),
)
NAMES = tuple(each.name for each in TOOLS)
KEYED = frozenset(each.name for each in TOOLS if each.effect is EffectClass.IDEMPOTENT)
ASKED_FOR = frozenset(each.name for each in TOOLS if each.tier is _HIGH)
_NEVER = 1_000_000_000


def manifest() -> list[AnyDocument]:
    """Return the shop's documents. Its breakers stay closed: thousands of calls fail here."""
    return a_manifest(
        *TOOLS,
        grants=(Grant(tool="shop.read"), *(Grant(tool=each) for each in NAMES)),
        breaker=BreakerLimits(tool_failures=_NEVER, identical_calls=_NEVER),
    )
