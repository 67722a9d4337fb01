"""`python -m tests.simulation --seeds 10000` tells many stories; `--seed N --trace` replays one exactly.

`--sweep` tells two small stories again and again, each time killed before another step.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.story import Plan, Story, Told, tell

SWEPT = {"smooth": Plan.smooth(seed=3), "eventful": Plan.eventful(seed=65)}
"""Stories that are killed before each of their steps. In the second, runs are undone and breakers open."""


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return how many seeds failed, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell this story alone")
    parser.add_argument("--trace", action="store_true", help="with what happens, as it happens")
    parser.add_argument("--seeds", type=int, default=200, help="how many stories (default: 200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--sweep", action="store_true", help="kill two small stories before every step")
    asked = parser.parse_args()
    if asked.sweep:
        for name in SWEPT:
            say(f"{name}: killed before each of {sweep(name)} steps, and nothing was lost")
        return 0
    if asked.seed is not None:
        told = tell(asked.seed, trace=say if asked.trace else None)
        say(summary(told))
        return bool(told.violations)
    return bool(many(range(asked.first, asked.first + asked.seeds)))


def sweep(name: str, *, every: int = 1, first: int = 1) -> int:
    """Kill a story before every step of some; return how often. Raises `AssertionError` where it matters."""
    kills = 0
    for step in range(first, 10_000, every):
        told = Story.of(SWEPT[name].killed_at(step)).tell()
        assert not told.violations, f"{name}, killed before step {step}:\n{summary(told)}"
        if not told.kills:  # the story is shorter
            break
        kills += 1
    return kills


def many(seeds: range) -> int:
    """Tell the stories of `seeds`, with progress; return how many had violations."""
    failed, began, effects, kills = 0, time.monotonic(), 0, 0
    for done, seed in enumerate(seeds, 1):
        told = tell(seed)
        failed, effects, kills = failed + bool(told.violations), effects + told.effects, kills + told.kills
        if told.violations:
            say(summary(told))
        if done % 500 == 0 or done == len(seeds):
            spent = time.monotonic() - began
            counts = f"{failed} failed, {effects} effects, {kills} kills"
            say(f"{done} of {len(seeds)} seeds, {counts}, {spent:.0f} s")
    return failed


def summary(told: Told) -> str:
    """Return how a story ended and, where something did not hold, how to replay it."""
    line = (
        f"seed {told.seed}: {told.actions} actions, {told.effects} effects, {told.kills} kills, "
        f"{told.steps} steps, fingerprint {told.fingerprint[:16]}"
    )
    if not told.violations:
        return line
    wrong = "".join(f"\n  {each}" for each in told.violations[:10])
    return f"{line}{wrong}\n  replay: python -m tests.simulation --seed {told.seed} --trace"


if __name__ == "__main__":
    sys.exit(main())
