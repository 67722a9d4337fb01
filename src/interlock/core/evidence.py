"""What a number of trials proves about a success rate, and when it has fallen (F3).

A bound is exact, an e-process may be looked at after every trial without promoting by luck, and a CUSUM finds
a rate that has become worse. All three are functions of counts and of one whole number; a rate is told as
the failures it leaves: 0.01 stands for "over 99 % correct".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

PROOF = 20.0
"""The evidence at which a promotion is proposed: 1 / 0.05, so at most one in twenty is proposed by luck."""

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""The failure rates that the evidence bets on, as shares of the one that is to be beaten."""

HALF_LIFE = 1000
"""Trials after which one counts half in what is shown. Never in what is tested: that begins anew instead."""

FORGOTTEN = 90
"""Days after which a trial is no longer shown."""

OLD_SHARE = 0.25
"""The most that trials of an earlier version weigh in what is shown."""

_MICRO = 1_000_000


def tail(failures: int, trials: int, rate: float) -> float:
    """Return the chance of at most `failures` in `trials` where each fails with `rate`; exact."""
    if failures >= trials or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    bad, good, whole = log(rate), log1p(-rate), lgamma(trials + 1)
    return min(
        1.0,
        sum(
            exp(whole - lgamma(k + 1) - lgamma(trials - k + 1) + k * bad + (trials - k) * good)
            for k in range(failures + 1)
        ),
    )


def lower_bound(trials: int, failures: int, *, confidence: float = 0.95) -> float:
    """Return the success rate that is exceeded with `confidence`: one-sided, exact (Clopper-Pearson).

    It is the inverse of the regularised incomplete beta function, found by bisection on the binomial tail.
    """
    if failures >= trials:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if tail(failures, trials, 1.0 - middle) < 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def needed(rate: float, failures: int = 0, *, confidence: float = 0.95) -> int:
    """Return how many trials with so many `failures` prove less than `rate` at one look of a fixed size."""
    low, high = failures, failures + 1
    while tail(failures, high, rate) >= 1.0 - confidence:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail(failures, middle, rate) >= 1.0 - confidence else (low, middle)
    return high


def log_ratios(clean: int, failed: int, rate: float) -> tuple[float, ...]:
    """Return the five numbers of the e-process: the log likelihood ratio of each alternative to `rate`."""
    return tuple(clean * (log1p(-rate * share) - log1p(-rate)) + failed * log(share) for share in SHARES)


def log_evidence(clean: int, failed: int, rate: float) -> float:
    """Return the logarithm of the evidence that trials fail less often than `rate`.

    The evidence is the mean of five likelihood ratios: whoever fails at `rate` or more ever reaches `PROOF`
    with a chance of at most one in twenty, whenever and however often it is looked at. It depends on the
    counts alone, so these are what is kept.
    """
    logs = log_ratios(clean, failed, rate)
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs) / len(logs))


def proven(clean: int, failed: int, rate: float) -> bool:
    """Whether the evidence suffices to propose a promotion."""
    return log_evidence(clean, failed, rate) >= log(PROOF)


def clean_needed(failed: int, rate: float) -> int:
    """Return how many clean trials it takes beside `failed` ones until the evidence suffices."""
    high = 1
    while not proven(high, failed, rate):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proven(middle, failed, rate) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A CUSUM: from the failure rate `fine` to `worse`, with the alarm at `limit`, in nats."""

    fine: float
    worse: float
    limit: float

    @property
    def failure(self) -> int:
        """What a failure adds, in millionths."""
        return round(log(self.worse / self.fine) * _MICRO)

    @property
    def success(self) -> int:
        """What a clean trial takes away, in millionths."""
        return -round((log1p(-self.worse) - log1p(-self.fine)) * _MICRO)

    def after(self, total: int, *, failed: bool) -> int:
        """Return the sum after one more trial, in millionths. Whole numbers, so every machine agrees."""
        return total + self.failure if failed else max(0, total - self.success)

    def alarmed(self, total: int) -> bool:
        """Whether the sum says that the rate is no longer what it was."""
        return total >= round(self.limit * _MICRO)


FULL = Watch(fine=0.005, worse=0.03, limit=3.5)
"""For what runs without anybody looking."""

REVIEWED = Watch(fine=0.02, worse=0.08, limit=4.0)
"""For what runs first and is looked at afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One counted trial as it is shown: `age` in days, `old` where it is of an earlier version."""

    failed: bool
    age: float
    old: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is shown of a record: how many trials it is worth, and the success rate among them."""

    weight: float
    rate: float | None


def shown(newest_first: Sequence[Seen]) -> Shown:
    """Return a record as it is shown: old trials fade, those of earlier versions weigh a quarter at most."""
    own = old = own_failed = old_failed = 0.0
    for place, each in enumerate(newest_first):
        if each.age > FORGOTTEN:
            continue
        weight = 0.5 ** (place / HALF_LIFE)
        if each.old:
            old, old_failed = old + weight, old_failed + weight * each.failed
        else:
            own, own_failed = own + weight, own_failed + weight * each.failed
    most = own * OLD_SHARE / (1 - OLD_SHARE)
    scale = min(1.0, most / old) if old else 0.0
    weight = own + old * scale
    if not weight:
        return Shown(weight=0.0, rate=None)
    return Shown(weight=weight, rate=1 - (own_failed + old_failed * scale) / weight)
