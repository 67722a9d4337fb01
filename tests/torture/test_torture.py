"""Engines are killed, stopped and lied to by their clocks: every count that must be zero is zero."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("TORTURE_SECONDS", "40")


@pytest.mark.long(65)
@pytest.mark.timeout(float(SECONDS) + 330)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_engines_that_are_killed_at_random_lose_nothing_and_do_nothing_twice_or_unasked(
    database: str,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--database", database, "--seconds", SECONDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "violations                                                 0" in ended.stdout
