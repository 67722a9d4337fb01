"""What becomes of one request of a run beyond its hard limit: planned, applied, remembered (B4).

`treat` is the whole ladder over a decoded body. In shadow it changes nothing and says what it would have
done. What a run keeps from call to call is a value: the models swapped, and where its histories are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from interlock.core.conversation import Kind, WireFormat, history_of, parts
from interlock.core.degradation import plan
from interlock.core.ladder import Call, Finish, Plan, Situation, Skipped, Step, SwapModel, TrimContext
from interlock.core.model import Json
from interlock.core.rewrite import rewrite
from interlock.core.shape import Expected, shape_of
from interlock.core.trimming import Cut, Keeping, Trimmed, digest, trim
from interlock.core.weight import weigh

HISTORIES = 16
"""How many histories of one run keep their cut: an agent and its helpers talk in several."""

_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a run keeps: the requested models whose place another took, and the cut of each history."""

    swapped: frozenset[str] = frozenset()
    cuts: Mapping[str, Cut] = field(default_factory=dict[str, Cut])

    def __bool__(self) -> bool:
        """Whether the next call must be treated even under every limit."""
        return bool(self.swapped or self.cuts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """The body to send, the plan as it was carried out, and what the run keeps.

    In shadow, `body` and `remembered` are as they were, and `plan` is what would have been done.
    """

    body: Mapping[str, Json]
    plan: Plan
    remembered: Remembered


def treat(
    body: Mapping[str, Json],
    wire: WireFormat,
    *,
    expected: Expected,
    situation: Situation,
    remembered: Remembered,
    pinned: frozenset[int] | None = frozenset(),
) -> Treated:
    """Take a request down the ladder as far as `situation` asks, and as this run went before.

    `expected` is of the body as it came; `pinned` are indices of items that stay whole; None pins all. A
    context that cannot be cut without breaking it stays uncut, and the step is among the skipped.
    """
    keeping = (
        Keeping(groups=_NO_LIMIT)
        if pinned is None
        else Keeping(groups=situation.terms.keep_groups, pinned=pinned)
    )
    name = _name_of(body, wire)
    cut = remembered.cuts.get(name)
    kept = trim(body, wire, target=_NO_LIMIT, low=_NO_LIMIT, keeping=keeping, cut=cut)
    asked = _sized(shape_of(body, wire, expected, keeping), kept.weight, weigh(body))
    planned = plan(asked, situation, swapped=remembered.swapped)
    step = next((each for each in planned.steps if isinstance(each, TrimContext)), None)
    trimmed = kept
    if step is not None and not asked.remote:
        target, low = (tokens * kept.weight // max(asked.input, 1) for tokens in (step.tokens, step.low))
        trimmed = trim(body, wire, target=target, low=low, keeping=keeping, cut=cut)
    call = replace(planned.call, input=_sized(asked, trimmed.weight, kept.weight).input)
    done = _as_done(planned, step, call, trimmed, situation)
    if situation.terms.shadow:
        return Treated(body=body, plan=done, remembered=remembered)
    others = [each for each in done.steps if asked.remote or not isinstance(each, TrimContext)]
    swapped = {asked.model} if any(isinstance(each, SwapModel) for each in done.steps) else set[str]()
    return Treated(
        body=rewrite(trimmed.body, others, wire),
        plan=done,
        remembered=Remembered(
            swapped=remembered.swapped | swapped, cuts=_cuts(remembered.cuts, name, trimmed.cut)
        ),
    )


def _as_done(
    planned: Plan, step: TrimContext | None, call: Call, trimmed: Trimmed, situation: Situation
) -> Plan:
    """Return the plan with what trimming came to: less than planned, or nothing, or the cut of before."""
    after = planned.after if call == planned.call else situation.price(call)
    taken = trimmed.cut is not None or (step is not None and call.remote)
    context = step or TrimContext(tokens=call.input, low=call.input)
    saves = context.saves + (planned.after or 0) - (after or 0)
    steps: list[Step] = [each for each in planned.steps if not isinstance(each, TrimContext | Finish)]
    steps += [replace(context, saves=saves)] if taken else []
    steps += [each for each in planned.steps if isinstance(each, Finish)]
    missed = [] if taken or step is None else [Skipped(step=step.name, why=trimmed.why or "")]
    allowance = situation.allowance
    return replace(
        planned,
        call=call,
        steps=tuple(steps),
        skipped=(*planned.skipped, *missed),
        after=after,
        fits=allowance is None or (after is not None and after <= allowance),
    )


def _sized(call: Call, weight: int, whole: int) -> Call:
    """Return `call` with the input of a body that weighs so much where the whole was expected."""
    size = call.input * weight // whole
    return replace(call, input=size, cached=min(call.cached, size), fixed=min(call.fixed, size))


def _cuts(cuts: Mapping[str, Cut], name: str, cut: Cut | None) -> Mapping[str, Cut]:
    """Return the cuts of a run with that of one history, the longest unused forgotten."""
    if cut is None:
        return cuts
    kept = [(each, held) for each, held in cuts.items() if each != name]
    return dict([*kept[1 - HISTORIES :], (name, cut)])


def _name_of(body: Mapping[str, Json], wire: WireFormat) -> str:
    """Return what tells the histories of a run apart: the digest of the task, which stays as they grow."""
    items = history_of(body, wire) or []
    found = parts(items, wire) or []
    task = next((item for item, part in zip(items, found, strict=False) if part.kind is Kind.USER), None)
    return "" if task is None else digest([task])
