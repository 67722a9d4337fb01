"""Real processes, real kill -9, an independent record of effects: nothing lost or twice (invariant 5)."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.runtime import Runtime
from interlock.store.database import Store
from interlock.store.schema import action_moves, actions, approvals
from interlock.testing import journal
from support.engine_child import ORDERS
from support.sources import TESTS, with_sources
from support.stores import a_settings
from support.warm import PYTHON


def child(data: Path, database: str, step: str) -> subprocess.Popen[str]:
    """Start a process that takes one step; where it is killed from outside, it is the interpreter itself."""
    data.mkdir(exist_ok=True)
    python = (sys.executable,) if step in ("waiting", "life") else PYTHON
    return subprocess.Popen(
        [*python, "-m", "support.engine_child", str(data), database, step],
        cwd=TESTS,
        env=with_sources(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed(data: Path, database: str, step: str) -> dict[str, Any]:
    """Propose a call in a process that is killed in this step; return what its caller was told first."""
    process = child(data, database, step)
    assert process.stdout is not None
    said = process.stdout.readline()
    if step == "waiting":
        process.kill()
    _, errors = process.communicate(timeout=40)
    assert process.returncode == -signal.SIGKILL, errors
    return json.loads(said)


def told(data: Path, database: str) -> dict[str, Any]:
    """Start the server again, propose the identical call, return what it is told."""
    process = child(data, database, "retry")
    said, errors = process.communicate(timeout=40)
    assert process.returncode == 0, errors
    return json.loads(said.splitlines()[-1])


def happened(data: Path) -> int:
    """Return how many effects have been written whole by now."""
    path = data / "effects"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def effects(data: Path) -> list[dict[str, Any]]:
    """Return what happened outside."""
    path = data / "effects"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


POINTS = {
    "waiting": ("Waiting", 0),
    "before-effect": ("InDoubt", 0),
    "after-effect": ("InDoubt", 1),
    "after-outcome": ("Completed", 1),
    "reject": ("TurnedDown", 0),
}


def play(data: Path, database: str, point: str) -> None:
    answer, times = POINTS[point]
    first = killed(data, database, point)
    assert first["answer"] == "Waiting"
    again = told(data, database)
    assert (again["answer"], again["action"]) == (answer, first["action"])
    assert again.get("approval", first["approval"]) == first["approval"]
    assert [each["action"] for each in effects(data)] == [first["action"]] * times


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_nothing_is_lost_and_nothing_runs_twice(tmp_path: Path, point: str) -> None:
    play(tmp_path, "", point)


@pytest.mark.parametrize("point", ["waiting", "after-effect", "after-outcome"])
def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str, point: str) -> None:
    play(tmp_path, postgres_url, point)


def test_killed_again_and_again_under_load(tmp_path: Path) -> None:
    chance = random.Random(7)
    for _ in range(6):
        process = child(tmp_path, "", "life")
        wanted, ends = happened(tmp_path) + chance.randint(1, 4), time.monotonic() + 10
        while happened(tmp_path) < wanted and time.monotonic() < ends:  # a life's orders may all be rejected
            time.sleep(0.005)
        time.sleep(chance.random() * 0.03)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
    said, errors = child(tmp_path, "", "work").communicate(timeout=60)
    assert "Completed" in said, errors
    check(tmp_path)


def check(data: Path) -> None:
    """Compare the record outside with the store."""
    outside = effects(data)
    per_action = Counter(each["action"] for each in outside)
    per_order = Counter(each["order"] for each in outside)
    assert set(per_action.values()) == {1}, "an effect of a once tool happened twice"
    assert set(per_order.values()) == {1}, "an order was carried out twice"
    store = Store.open(a_settings(data), Runtime.real())
    try:
        with store._dialect.readers.connect() as connection:
            rows = {row.id: row for row in connection.execute(sa.select(actions))}
            decided = {row.action: row for row in connection.execute(sa.select(approvals))}
            moves = connection.execute(sa.select(action_moves)).all()
            assert journal.check(connection) == []
    finally:
        store.close_now()
    for name, row in rows.items():
        ran = per_action[name]
        assert row.state in ("succeeded", "in_doubt", "rejected"), (name, row.state)
        assert not (row.state == "succeeded" and ran != 1), "success without an effect"
        assert not (row.state == "rejected" and ran), "an effect of a rejected action"
        if row.tool == "shop.refund" and ran:
            assert decided[name].state == "approved", "an effect without an approval"
    assert set(per_action) <= set(rows), "an effect without an intent"
    assert len({(row.action, row.seq) for row in moves}) == len(moves)
    last = {row.action: row.to_state for row in sorted(moves, key=lambda row: row.seq)}
    assert last == {name: row.state for name, row in rows.items()}
    answered = {json.loads(line)["order"] for line in (data / "told").read_text().splitlines()}
    assert answered == set(range(ORDERS)), "an order was lost"
