"""What a call whose outcome is not known becomes, by the effect class of its tool (invariant 5).

A machine repeats only what is safe to repeat: a tool that knows the call's key does not do it twice. It
repeats a few times, later and later, and only for as long as the tool remembers keys.
"""

from __future__ import annotations

from hashlib import sha256

from interlock.core.action import Action, ActionState
from interlock.core.model import HOUR, SECOND, EffectClass

TRIES = 5
"""How often an idempotent call is sent at most before it is in doubt."""

WINDOW = 24 * HOUR
"""How long a tool is taken to remember a key that does not say how long, in microseconds."""

_FIRST = 1 * SECOND


def after_unknown(action: Action, *, now: int, window: int) -> tuple[ActionState, int]:
    """Return where an action belongs whose call ended without an answer, and when it is due again (or 0).

    `window` is how long the tool remembers the call's key. A read had no effect to be in doubt about.
    """
    if action.effect is EffectClass.READ:
        return ActionState.FAILED, 0
    due_at = now + _FIRST * 2 ** max(0, action.attempt - 1)
    again = action.effect is EffectClass.IDEMPOTENT and action.attempt < TRIES
    if again and due_at < action.began_at + window:
        return ActionState.RETRY, due_at
    return ActionState.IN_DOUBT, 0


def repeatable(action: Action, *, now: int, window: int) -> bool:
    """Whether an action that waits for its next attempt may still be sent: its tool still knows the key."""
    return action.effect is EffectClass.IDEMPOTENT and now < action.began_at + window


def key_of(action: Action) -> str:
    """Return the key by which a tool knows this call again, the same for each attempt of the action.

    It stands for the run, the caller's own key or else this very action, the tool and the arguments.
    """
    step = action.idempotency_key or action.id
    said = "\x1f".join((action.run, step, action.tool, action.digest))
    return sha256(said.encode()).hexdigest()
