"""What undoes an action: its undo's arguments, whether it can be undone now, and in which order (E3).

An undo is built from what the manifest declares, from the arguments of the action and from its result; what
cannot be built is said in words. Nothing but a person, the end of its window and a missing value stands in
the way of an undo that was reviewed when it was declared: no breaker, kill or budget is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from interlock.core.action import Action, ActionState
from interlock.core.canonical import NotCanonical, digest, parse_object
from interlock.core.document.tool import Companion
from interlock.core.model import MINUTE, SECOND, EffectClass, Json

RECOVERY = "interlock:recovery"
"""The identity under which every undo runs."""

TRIES = 10
"""How often an undo is sent at most before a person must look: that takes about nine minutes."""

_FIRST = 1 * SECOND
_LONGEST = 5 * MINUTE
_S = ActionState


class NotBuilt(ValueError):
    """Why an undo cannot be built. The text names references and kinds, never a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What undoes one action: the call, or the `problem` that kept it from being built.

    It works until `until` (microseconds), 0 says without end.
    """

    action: str
    tool: str
    arguments: Mapping[str, Json] | None = None
    digest: str = ""
    problem: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An action that is not undone, and why: a stable code and words for people."""

    action: str
    tool: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of the actions of a run: undone in this order; waited for; kept as they are."""

    undone: tuple[Action, ...] = ()
    awaited: tuple[Action, ...] = ()
    kept: tuple[Kept, ...] = ()


def build(action: Action, declared: Companion, result: Mapping[str, Json] | None, *, ended_at: int) -> Undo:
    """Return the undo of `action`, which ended at `ended_at` with `result`; None where that is not known."""
    until = 0 if declared.within is None else ended_at + declared.within * SECOND
    try:
        arguments = render(declared.arguments, action.arguments, result)
        said = digest(arguments)
    except NotBuilt as problem:
        return Undo(action=action.id, tool=declared.tool, problem=str(problem), until=until)
    except NotCanonical:
        problem = "its arguments are not acceptable"
        return Undo(action=action.id, tool=declared.tool, problem=problem, until=until)
    return Undo(action=action.id, tool=declared.tool, arguments=arguments, digest=said, until=until)


def render(
    arguments: Mapping[str, Json], args: Mapping[str, Json], result: Mapping[str, Json] | None
) -> dict[str, Json]:
    """Return `arguments` with `$args.NAME` and `$result.NAME` replaced by these values, and `$$` read as `$`.

    A value keeps its type. Raises `NotBuilt` where there is none.
    """
    return {name: _rendered(value, args, result) for name, value in arguments.items()}


def _rendered(value: Json, args: Mapping[str, Json], result: Mapping[str, Json] | None) -> Json:
    if isinstance(value, str) and value.startswith("$"):
        return value[1:] if value.startswith("$$") else _referred(value[1:], args, result)
    if isinstance(value, Mapping):
        return render(cast("Mapping[str, Json]", value), args, result)
    if isinstance(value, list):
        return [_rendered(each, args, result) for each in cast("list[Json]", value)]
    return value


def _referred(reference: str, args: Mapping[str, Json], result: Mapping[str, Json] | None) -> Json:
    root, _, path = reference.partition(".")
    if root == "args":
        return _found(args, path, f"the call has no ${reference}")
    if result is None:
        raise NotBuilt(f"the result of the call is not known, and its undo needs ${reference}")
    return _found(said_by(result), path, f"the result of the call has no ${reference}")


def _found(whole: Json, path: str, problem: str) -> Json:
    found = whole
    for step in path.split("."):
        if isinstance(found, Mapping) and step in found:
            found = cast("Mapping[str, Json]", found)[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(cast("list[Json]", found)):
            found = cast("list[Json]", found)[int(step)]
        else:
            raise NotBuilt(problem)
    return found


def said_by(result: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the object that a tool answered: its structured content, or else its only text, read as JSON.

    Raises `NotBuilt` where it answered none.
    """
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        return cast("Mapping[str, Json]", structured)
    content = result.get("content")
    blocks = cast("list[Json]", content) if isinstance(content, list) else []
    only = blocks[0] if len(blocks) == 1 else None
    text = cast("Mapping[str, Json]", only).get("text") if isinstance(only, Mapping) else None
    try:
        return parse_object(text.encode(errors="surrogatepass") if isinstance(text, str) else b"")
    except NotCanonical:
        raise NotBuilt("the result of the call is not an object") from None


def kept(action: Action, undo: Undo | None, now: int) -> Kept | None:
    """Return why `action` cannot be undone at `now`, or None where it can be."""
    why = _why(action, undo, now)
    if why is None:
        return None
    code, message = why
    return Kept(action=action.id, tool=action.tool, code=code, message=f"{action.id} {message}")


def _why(action: Action, undo: Undo | None, now: int) -> tuple[str, str] | None:
    if action.comp_of:
        return "is_an_undo", "is an undo itself: an undo is not undone."
    if action.state in _SAYS:
        return _SAYS[action.state]
    if action.effect is EffectClass.READ:
        return "read", "only read: there is nothing to undo."
    if undo is None:
        return "no_undo", f"cannot be undone: the manifest names no undo of {action.tool}."
    if undo.problem:
        return "not_built", f"cannot be undone by {undo.tool}: {undo.problem}."
    if undo.until and now > undo.until:
        return "window", "cannot be undone any more: the window of its undo has ended."
    return None


_HAPPENED_NOT = ("never_happened", "never happened: there is nothing to undo.")
_UNSENT = ("not_sent", "was not sent yet: cancel it instead (interlock actions cancel).")
_SAYS: Mapping[ActionState, tuple[str, str]] = {
    _S.COMPENSATING: ("being_undone", "is being undone already."),
    _S.COMPENSATED: ("undone", "was undone already."),
    _S.EXECUTING: ("under_way", "is under way: how it ends is not known yet."),
    _S.IN_DOUBT: (
        "in_doubt",
        "is in doubt: say first whether it happened (interlock actions resolve).",
    ),
    _S.SETTLED: ("settled", "was settled, which is final."),
    _S.VOIDED: ("voided", "was voided: there is nothing left to undo."),
    **dict.fromkeys((_S.FAILED, _S.DENIED, _S.REJECTED, _S.EXPIRED), _HAPPENED_NOT),
    **dict.fromkeys((_S.CANCELLED, _S.SUPERSEDED), _HAPPENED_NOT),
    **dict.fromkeys((_S.WAITING_APPROVAL, _S.SCHEDULED, _S.APPROVED, _S.PARKED, _S.AWAITING_INPUT), _UNSENT),
}
AWAITED = frozenset({_S.EXECUTING, _S.IN_DOUBT})
"""What may have happened and may still turn out so: its undo begins when that is known."""


def plan(found: Iterable[tuple[Action, Undo | None]], now: int) -> Plan:
    """Say what becomes of the actions of a run that is undone at `now`. What never happened is left out."""
    undone: list[Action] = []
    awaited: list[Action] = []
    left: list[Kept] = []
    for action, undo in found:
        why = kept(action, undo, now) or _failed_before(action)
        if why is None:
            undone.append(action)
        elif why.code in _AWAITED:
            awaited.append(action)
        elif why.code not in _NOTHING_TO_SAY:
            left.append(why)
    return Plan(undone=tuple(in_order(undone)), awaited=tuple(awaited), kept=tuple(left))


def _failed_before(action: Action) -> Kept | None:
    """Say that an undo which failed, or may have happened, is not sent again with its run."""
    if action.state is not _S.COMPENSATION_FAILED:
        return None
    said = f"{action.id} was to be undone, and that failed: look, then have it tried again by itself."
    return Kept(action=action.id, tool=action.tool, code="undo_failed", message=said)


_AWAITED = frozenset(_SAYS[state][0] for state in AWAITED)
_NOTHING_TO_SAY = frozenset({_HAPPENED_NOT[0], _UNSENT[0], "is_an_undo", "read", "voided"})


def in_order(found: Sequence[Action]) -> list[Action]:
    """Return actions in the order in which they are undone: what ended last first, then what began last.

    What was sent and may still land has not ended, and comes before all that has.
    """
    return sorted(found, key=lambda each: (each.ended_at or _LATEST, each.began_at, each.id), reverse=True)


_LATEST = 1 << 62


def begins_at(action: Action, now: int) -> int:
    """Return when the undo of `action` may begin, 0 for at once: not while a call that was sent can land.

    That such a call was sent is said even where by the clock it can land no more: a clock may be set.
    """
    return max(now, action.lease_until) if action.state is _S.RETRY else 0


def effect_of(declared: EffectClass) -> EffectClass:
    """Return the effect class of an undo whose tool has the class `declared`.

    One that only reads does no harm when it is repeated; one that may happen once is never repeated by a
    machine, though it undoes (invariant 5).
    """
    return EffectClass.IDEMPOTENT if declared is EffectClass.READ else declared


def after_no_answer(undo: Action, *, now: int) -> tuple[ActionState, int]:
    """Return where an undo belongs that got no answer, and when it is due again (or 0): later and later."""
    again = undo.effect is EffectClass.IDEMPOTENT and undo.attempt < TRIES
    return (_S.RETRY, _later(undo, now)) if again else (_S.IN_DOUBT, 0)


def after_unsent(undo: Action, *, now: int) -> int:
    """Return when an undo is due again that did not leave this process, or 0 once it was tried enough."""
    return _later(undo, now) if undo.attempt < TRIES else 0


def _later(undo: Action, now: int) -> int:
    return now + min(_LONGEST, _FIRST * 2 ** max(0, undo.attempt - 1))
