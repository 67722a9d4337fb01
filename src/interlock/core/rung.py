"""The rungs of the ladder, one function each: what the step would make of a call, or why it is not for it.

A rung answers an `Offer`, `Skipped` with the reason, or None where there is nothing to do. Whether an
offer saves enough is decided in `degradation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from interlock.core.conversation import WireFormat
from interlock.core.ladder import (
    Call,
    CapOutput,
    FewerServerTools,
    LowerEffort,
    ModelFacts,
    OneAnswer,
    PlainTier,
    ServerTools,
    Situation,
    Skipped,
    Step,
    SwapModel,
    TrimContext,
)
from interlock.core.model import OnHard

LEAST_THINKING = 1_024
LOW = "low"
_MODEST = frozenset({"none", "minimal", LOW})
_LEFT_OF_REASONING = 4
_PER_MILLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A step that could be taken and what it makes of the call.

    It must save `margin` per mille of the cost; a `free` one need save nothing.
    """

    step: Step
    call: Call
    margin: int = 0
    free: bool = False


Rung = Callable[[Call, Situation], Offer | Skipped | None]


def mapped_model(call: Call, situation: Situation) -> Offer | Skipped:
    """Swap the model for the one it is mapped to; the new model's cache is cold."""
    return _swap(replace(call, cached=0), situation)


def kept_model(call: Call, situation: Situation) -> Offer | Skipped:
    """Go on with the mapped model, whose cache is warm, as this run did before: that is never too little."""
    offer = _swap(call, situation)
    return replace(offer, margin=0, free=True) if isinstance(offer, Offer) else offer


def lower_effort(call: Call, situation: Situation) -> Offer | None:
    """Ask for less reasoning, where the caller asked for more or the model is known to reason by itself."""
    by_itself = call.effort is None and situation.facts(call.model).reasons is True
    asked = call.effort is not None and call.effort not in _MODEST
    thinks = call.thinking is not None and call.thinking > LEAST_THINKING
    openai = call.wire is not WireFormat.MESSAGES
    if not (asked or thinks or (by_itself and openai)):
        return None
    left = call.reasoning // _LEFT_OF_REASONING
    effort = LOW if asked or (by_itself and openai) else call.effort
    thinking = LEAST_THINKING if thinks else call.thinking
    output = call.output - call.reasoning + left
    return Offer(
        step=LowerEffort(),
        call=replace(call, effort=effort, thinking=thinking, reasoning=left, output=output),
    )


def cap_output(call: Call, situation: Situation) -> Offer | None:
    """Cap the output, with room on top for what the model reasons before it answers."""
    terms = situation.terms
    reasons = situation.facts(call.model).reasons or call.effort is not None or call.thinking is not None
    room = max(terms.reasoning_room, call.thinking or 0) if reasons else 0
    cap = terms.output_cap + room
    if call.output_cap is not None and call.output_cap <= cap:
        return None
    return Offer(step=CapOutput(tokens=cap), call=_capped(call, cap))


def one_answer(call: Call, situation: Situation) -> Offer | None:  # noqa: ARG001 - a rung like the others
    """Ask for one answer."""
    return None if call.answers <= 1 else Offer(step=OneAnswer(), call=replace(call, answers=1))


def plain_tier(call: Call, situation: Situation) -> Offer | None:
    """Leave a dear service tier, for the slow cheap one where the terms say so and the provider has it."""
    if call.wire is WireFormat.MESSAGES:
        tier = "standard_only"
    else:
        tier = "flex" if situation.terms.flex else "default"
    dear = call.service_tier in {"priority", "auto"} or tier == "flex"
    if not dear or call.service_tier == tier:
        return None
    return Offer(step=PlainTier(tier=tier), call=replace(call, service_tier=tier))


def fewer_server_tools(call: Call, situation: Situation) -> Offer | None:
    """Limit or remove what the provider runs and charges for, where the terms say so."""
    how = situation.terms.server_tools
    if how is ServerTools.KEEP or not call.server_tools:
        return None
    if how is ServerTools.LIMIT:
        limited = {tool: min(calls, 1) for tool, calls in call.server_tools.items()}
        return Offer(step=FewerServerTools(how=how), call=replace(call, server_tools=limited))
    return Offer(step=FewerServerTools(how=how), call=replace(call, server_tools={}, cached=0))


def trimmed_context(call: Call, situation: Situation) -> Offer | None:
    """Cut the context to a low-water mark under what fits; a history at the provider it can cut itself."""
    if call.remote:
        return Offer(step=TrimContext(tokens=call.input, low=call.input), call=call, free=True)
    tokens = _affordable(call, situation)
    low = max(call.fixed, tokens * situation.terms.low_water // _PER_MILLE)
    if low >= call.input:
        return None
    return Offer(step=TrimContext(tokens=tokens, low=low), call=replace(call, input=low, cached=0))


_SOFT: tuple[Rung, ...] = (
    mapped_model,
    lower_effort,
    cap_output,
    one_answer,
    plain_tier,
    fewer_server_tools,
)
RUNGS: dict[OnHard, tuple[Rung, ...]] = {
    OnHard.NEVER: (),
    OnHard.SOFT: _SOFT,
    OnHard.FULL: (*_SOFT, trimmed_context),
}
"""The rungs of each mode, in their order."""


def _swap(call: Call, situation: Situation) -> Offer | Skipped:
    model = situation.terms.swaps.get(call.model)
    if model is None:
        return Skipped(step=SwapModel.name, why=f"no model is mapped to take the place of {call.model}")
    facts = situation.facts(model)
    why = _against(call, model, facts, situation.facts(call.model))
    if why is not None:
        return Skipped(step=SwapModel.name, why=why)
    return Offer(
        step=SwapModel(model=model, max_output=facts.max_output, reasons=facts.reasons),
        call=_served_by(call, model, facts),
        margin=situation.terms.margin,
    )


def _against(call: Call, model: str, facts: ModelFacts, own: ModelFacts) -> str | None:
    """Say what is known to speak against `model` serving `call`, or None."""
    lacking = call.needs & facts.lacks
    if lacking:
        return f"{model} lacks {', '.join(sorted(lacking))}"
    if facts.window is not None and call.input + call.output > facts.window:
        return f"the window of {model} has {facts.window} tokens"
    if own.regions and not (facts.regions and facts.regions <= own.regions):
        return f"{model} is not known to stay in {', '.join(sorted(own.regions))}"
    return None


def _served_by(call: Call, model: str, facts: ModelFacts) -> Call:
    if facts.reasons is False:
        output = call.output - call.reasoning
        call = replace(call, effort=None, thinking=None, reasoning=0, output=output)
    if facts.max_output is not None and call.output_cap is not None:
        call = _capped(call, min(call.output_cap, facts.max_output))
    return replace(call, model=model)


def _capped(call: Call, cap: int) -> Call:
    output = min(call.output, cap)
    return replace(call, output_cap=cap, output=output, reasoning=min(call.reasoning, output))


def _affordable(call: Call, situation: Situation) -> int:
    """Return the largest input, read anew, whose call fits the allowance; never less than what is fixed."""
    small, large = call.fixed, call.input
    while small < large:
        middle = (small + large + 1) // 2
        cost = situation.price(replace(call, input=middle, cached=0))
        if cost is not None and cost <= (situation.allowance or 0):
            small = middle
        else:
            large = middle - 1
    return small
