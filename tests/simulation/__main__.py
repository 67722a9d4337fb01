"""`python -m tests.simulation --seeds 10000` tells many stories; `--seed N --trace` replays one exactly."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.story import Told, tell


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
    asked = parser.parse_args()
    if asked.seed is not None:
        told = tell(asked.seed, trace=say if asked.trace else None)
        say(summary(told))
        return bool(told.violations)
    return bool(many(range(asked.first, asked.first + asked.seeds)))


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
