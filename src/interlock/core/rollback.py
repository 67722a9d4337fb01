"""What a version of a workflow left behind, action by action: what can be undone, what to look at (E4).

An action was touched later where another run did something on the same server that names the same thing: a
word or number that this action was called with or answered with. That is a guess on the safe side: it asks a
person to look, and forbids nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from interlock.core.action import Action, ActionState
from interlock.core.model import EffectClass, Json
from interlock.core.tool import server_of


class Mark(StrEnum):
    """What can be said of an action that a rollback finds."""

    UNDOABLE = "undoable"
    UNDONE = "undone"
    IRREVERSIBLE = "irreversible"
    IN_DOUBT = "in_doubt"
    TOUCHED = "touched"
    UNDER_WAY = "under_way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One action with its mark, and why; `by` are the later actions that touched the same thing."""

    action: Action
    mark: Mark
    why: str
    by: tuple[str, ...] = ()


_S = ActionState
_HAPPENED = frozenset({_S.SUCCEEDED, _S.PENDING_SETTLEMENT, _S.SETTLED})
_UNDER_WAY = frozenset({_S.APPROVED, _S.SCHEDULED, _S.PARKED, _S.WAITING_APPROVAL, _S.AWAITING_INPUT})
_UNSURE = frozenset({_S.IN_DOUBT, _S.EXECUTING, _S.RETRY})
_PLAIN: Mapping[ActionState, tuple[Mark, str]] = {
    _S.COMPENSATED: (Mark.UNDONE, "it was undone"),
    _S.COMPENSATING: (Mark.UNDONE, "it is being undone"),
    _S.VOIDED: (Mark.UNDONE, "it was voided before it was settled"),
    _S.COMPENSATION_FAILED: (Mark.IN_DOUBT, "undoing it failed: look at it, and undo it by hand"),
}
_SHORT = 3
"""A word of fewer letters, and a number below 1000, names nothing in particular."""


def found(
    actions: Iterable[Action], later: Sequence[Action], irreversible: Mapping[str, str]
) -> Iterator[Found]:
    """Yield what there is to decide about `actions`, in their order; what never happened is left out.

    `irreversible` says, by action, why it cannot be undone; `later` are the actions of all runs since.
    """
    for action in actions:
        if action.effect is EffectClass.READ or action.comp_of:
            continue
        if action.state in _PLAIN:
            mark, why = _PLAIN[action.state]
            yield Found(action=action, mark=mark, why=why)
        elif action.state in _UNSURE:
            yield Found(action=action, mark=Mark.IN_DOUBT, why="nobody knows yet whether it happened")
        elif action.state in _UNDER_WAY:
            yield Found(
                action=action, mark=Mark.UNDER_WAY, why="it has not been sent: cancel it, or let it go"
            )
        elif action.state in _HAPPENED:
            yield _happened(action, later, irreversible)


def _happened(action: Action, later: Sequence[Action], irreversible: Mapping[str, str]) -> Found:
    why = irreversible.get(action.id)
    if why is not None:
        return Found(action=action, mark=Mark.IRREVERSIBLE, why=why)
    by = tuple(each.id for each in later if _touches(each, action))
    if by:
        said = f"{len(by)} later action{'s' if len(by) > 1 else ''} of other runs may have built on it"
        return Found(action=action, mark=Mark.TOUCHED, why=said, by=by)
    return Found(action=action, mark=Mark.UNDOABLE, why="its declared undo takes it back")


def _touches(later: Action, action: Action) -> bool:
    return (
        later.id != action.id
        and later.run != action.run
        and later.comp_of != action.id
        and later.began_at >= action.ended_at > 0
        and server_of(later.tool) == server_of(action.tool)
        and not _things(later.arguments).isdisjoint(_things(action.arguments) | _things(action.result or {}))
    )


def _things(value: Json) -> frozenset[str]:
    """Return the words and numbers in a value that could name a thing."""
    return frozenset(_leaves(value))


def _leaves(value: Json) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= _SHORT:
        yield value
    elif isinstance(value, int | float) and abs(value) >= 10**_SHORT:
        yield str(value)
    elif isinstance(value, Mapping):
        for each in cast("Mapping[str, Json]", value).values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in cast("list[Json]", value):
            yield from _leaves(each)


def undecided(everything: Iterable[Found], decided: Mapping[str, str]) -> tuple[Found, ...]:
    """Return what a person still has to decide: what was undone needs no word, nor what somebody kept."""
    return tuple(
        each for each in everything if each.action.id not in decided and each.mark is not Mark.UNDONE
    )
