"""Recorded runs of a real agent through the engine: each decision is counted and on record (A5, A6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.airline import read, replay

EXCERPT = Path(__file__).parents[1] / "data" / "tau_airline_excerpt.jsonl"


def test_every_call_is_decided_as_the_manifest_reads_and_is_on_record(tmp_path: Path) -> None:
    runs = read(EXCERPT, 100)
    calls = sum(len(each) for each in runs)
    tally = asyncio.run(replay(tmp_path, runs))
    verdicts = {name: tally.seen[name] for name in ("read", "written", "asked", "denied")}
    assert verdicts == {name: tally.expected[name] for name in verdicts}
    assert all(verdicts.values())
    assert sum(verdicts.values()) == calls
    assert tally.audited["call.denied"] == verdicts["denied"]
    assert tally.audited["call.allowed"] == tally.audited["call.outcome"] == verdicts["read"]
    assert tally.audited["action.waiting_approval"] == verdicts["asked"]
    assert tally.audited["approval.approved"] == tally.seen["Completed"]
    assert tally.audited["approval.rejected"] == tally.seen["TurnedDown"] > 0
    assert tally.audited["action.executing"] == verdicts["written"] + tally.seen["Completed"]
    assert tally.audited["action.succeeded"] == tally.audited["action.executing"]
    assert tally.effects == {"read": verdicts["read"], "write": tally.audited["action.succeeded"]}
    assert tally.verified
