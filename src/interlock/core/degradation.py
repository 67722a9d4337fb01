"""Which steps of the ladder a call takes, in their order, until its expected cost fits the allowance (B4).

A model is swapped only along a mapping, and only where the cost falls by a margin with the cache counted
in: a long prefix read from the cache can be cheaper on the dear model than anew on the cheap one. A run
that was swapped once stays so, or every change of mind would pay for a cold cache.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.core.ladder import Call, Finish, Plan, Situation, Skipped, Step
from interlock.core.model import OnHard
from interlock.core.rung import RUNGS, Offer, kept_model, mapped_model

_PER_MILLE = 1_000


def allowance(*, slack: int, calls_made: int, usual_calls: int) -> int:
    """Return what one call may cost: what is left until the kill, shared by the calls a run still makes.

    Amounts are nano-dollars. A run that has made its `usual_calls` is thought to make one more.
    """
    return max(slack, 0) // max(usual_calls - calls_made, 1)


def plan(call: Call, situation: Situation, *, swapped: frozenset[str] = frozenset()) -> Plan:
    """Return the steps for `call`. Without an allowance only what the run keeps is done.

    `swapped` holds the requested models whose place another has taken in this run.
    """
    climb = _Climb(call, situation)
    kept = call.model in swapped
    if kept:
        climb.consider(kept_model(call, situation))
    if situation.allowance is not None:
        climb.go(swapped=kept)
    return climb.plan()


class _Climb:
    """One way down the ladder; `call` is what the steps so far have made of it."""

    def __init__(self, call: Call, situation: Situation) -> None:
        self._call = call
        self._situation = situation
        self._before = self._cost = situation.price(call)
        self._steps: list[Step] = []
        self._skipped: list[Skipped] = []

    @property
    def fits(self) -> bool:
        """Whether the call may go as it is now. What has no price fits no allowance."""
        allowance = self._situation.allowance
        return allowance is None or (self._cost is not None and self._cost <= allowance)

    def go(self, *, swapped: bool) -> None:
        """Take the steps in order, each only while the cost does not fit."""
        terms = self._situation.terms
        for rung in RUNGS[terms.mode]:
            if self.fits:
                break
            if not (swapped and rung is mapped_model):
                self.consider(rung(self._call, self._situation))
        if terms.mode is OnHard.FULL and terms.tell and (self._steps or not self.fits):
            self._steps.append(Finish())

    def consider(self, offer: Offer | Skipped | None) -> None:
        """Take an offer that is worth it; keep the reason of one that is not."""
        if isinstance(offer, Offer):
            offer = self._judged(offer)
        if isinstance(offer, Skipped):
            self._skipped.append(offer)
        elif offer is not None:
            self._steps.append(offer.step)
            self._call, self._cost = offer.call, self._situation.price(offer.call)

    def plan(self) -> Plan:
        """Return what was decided."""
        return Plan(
            call=self._call,
            steps=tuple(self._steps),
            skipped=tuple(self._skipped),
            before=self._before,
            after=self._cost,
            fits=self.fits,
        )

    def _judged(self, offer: Offer) -> Offer | Skipped:
        cost, own = self._situation.price(offer.call), self._cost
        if cost is None or own is None:
            return Skipped(step=offer.step.name, why=f"{offer.call.model} has no price")
        saves, terms = own - cost, self._situation.terms
        if not offer.free and saves < max(terms.least, own * offer.margin // _PER_MILLE):
            return Skipped(step=offer.step.name, why="it would save too little")
        return replace(offer, step=replace(offer.step, saves=saves))
