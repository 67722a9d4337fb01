"""The sources of this test run, for the children it starts: same program, same tests, same interpreter."""

from __future__ import annotations

import os
from pathlib import Path

import interlock

TESTS = Path(__file__).parents[1]
_PROGRAM = Path(interlock.__file__).parents[1]


def with_sources(**more: str) -> dict[str, str]:
    """Return this process's environment in which `interlock` and `support` are those of this test run."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(_PROGRAM)]), **more}
