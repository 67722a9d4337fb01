"""The third act of the demonstration cannot flatter itself: what is wrong turns its step red (E1, E3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from interlock.demo.mending import Mended, judge
from interlock.testing.desk import fresh


def an_archive(*tools: str, order: tuple[str, str] = ("N-2", "N-1")) -> dict[str, Any]:
    archive = fresh()
    archive["effects"] = [{"tool": each, "arguments": {"ticket": "T-1"}} for each in tools]
    archive["effects"] += [{"tool": "remove_note", "arguments": {"note": each}} for each in order]
    return archive


SEEN = Mended(
    said={"mail cancelled": {"status": "cancelled", "ok": False}, "close T-1": {"ok": False}},
    status=1,
    archive=an_archive("add_note", "add_note"),
    actions=[{"tool": "archive.add_note", "state": "compensated"}] * 2,
    tripped={"state": "open", "why": "3 failures in a row"},
    signed={"state": "closed", "sign_offs": [{"person": "deng"}, {"person": "deng"}]},
)


def with_archive(change: Callable[[dict[str, Any]], None]) -> Mended:
    archive = an_archive("add_note", "add_note")
    change(archive)
    return replace(SEEN, archive=archive)


def test_what_went_as_it_should_is_green() -> None:
    assert all(each.ok for each in judge(SEEN))


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (with_archive(lambda archive: archive["mails"].append({"mail": "M-1"})), 0),
        (replace(SEEN, said={"close T-1": {"ok": False}}), 0),
        (replace(SEEN, tripped={"state": "closed", "why": ""}), 1),
        (replace(SEEN, said={**SEEN.said, "close T-1": {"ok": True}}), 1),
        (with_archive(lambda archive: archive["tickets"]["T-1"].update(status="closed")), 1),
        (replace(SEEN, status=0), 2),
        (with_archive(lambda archive: archive["tickets"]["T-1"]["notes"].update({"N-1": "left"})), 2),
        (replace(SEEN, archive=an_archive("add_note", "add_note", order=("N-1", "N-2"))), 2),
        (replace(SEEN, archive=an_archive("add_note")), 2),
        (replace(SEEN, actions=[{"tool": "archive.add_note", "state": "succeeded"}] * 2), 2),
        (replace(SEEN, signed={"state": "half_open", "sign_offs": [{"person": "deng"}]}), 3),
        (replace(SEEN, signed={"state": "closed", "sign_offs": []}), 3),
    ],
)
def test_what_went_wrong_is_red(seen: Mended, step: int) -> None:
    assert not judge(seen)[step].ok
