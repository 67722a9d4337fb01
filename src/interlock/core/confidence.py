"""What speaks for a write that no person is asked about: the run's score, and trials that were clean (F1).

A workflow that declares a floor, or how many clean trials make a tool familiar, asks for them before each
write. What is not known counts as low. It only tightens: without doubts everything else still has its say.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.document.workflow import Autonomy

MOST_TRIALS = 50
"""The most clean trials that a workflow may ask for; it takes more than that to be promoted."""

BEST = 10_000
"""The highest score, in basis points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """What a workflow asks for: a score of at least `floor` (basis points), and clean `trials` of a tool."""

    floor: int | None
    trials: int

    @property
    def in_words(self) -> tuple[str, ...]:
        """When a person is asked on top of everything else."""
        said = () if self.floor is None else (f"a person below a quality score of {_share(self.floor)}",)
        return (*said, f"a person until {self.trials} of its trials were clean") if self.trials else said


def asked(declared: Autonomy) -> Confidence | None:
    """Return what a workflow asks for, None where it asks for nothing."""
    if declared.confidence_floor is None and declared.familiar_after is None:
        return None
    return Confidence(floor=declared.confidence_floor, trials=declared.familiar_after or 0)


def low_score(asked: Confidence, score: int | None) -> str:
    """Say what is wrong with a run's score, "" where nothing is."""
    if asked.floor is None:
        return ""
    if score is None:
        return "The run has no quality score yet: unknown counts as low, so a person decides (F1)."
    if score >= asked.floor:
        return ""
    low, floor = _share(score), _share(asked.floor)
    return f"The run's quality score {low} is below {floor}, so a person decides (F1)."


def novel(asked: Confidence, tool: str, trials: int) -> str:
    """Say that a tool is still new to the workflow, "" where it is not."""
    if trials >= asked.trials:
        return ""
    return (
        f"{tool} is new to this version of the workflow: {trials} of {asked.trials} clean trials, "
        "so a person decides (F1)."
    )


def _share(points: int) -> str:
    return f"{points / BEST:g}"
