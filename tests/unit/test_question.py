"""What a tool server asks is read as one bounded form, and only an answer is an answer (F2)."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.approval import ApprovalState, Kind
from interlock.core.question import LONGEST_FORM, LONGEST_TEXT, Question, read, reply
from support.asked import an_approval

FORM = {"type": "object", "properties": {"name": {"type": "string"}}}


def a_request(method: str = "elicitation/create", **params: Any) -> dict[str, Any]:
    return {"method": method, "params": {"message": "Who?", "requestedSchema": FORM} | params}


def test_one_form_is_a_question_and_its_text_is_cut() -> None:
    asked = read({"one": a_request()})
    assert isinstance(asked, Question)
    assert asked == Question(key="one", message="Who?", schema=FORM)
    assert asked.put_by("shop") == {"server": "shop", "message": "Who?", "schema": FORM}
    long = read({"one": a_request(message="x" * 9_000, mode="form")})
    assert isinstance(long, Question)
    assert len(long.message) == LONGEST_TEXT


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ({}, "one thing at a time"),
        ({"one": a_request(), "two": a_request()}, "one thing at a time"),
        ({"one": a_request("sampling/createMessage")}, "one thing at a time"),
        ({"one": "nothing"}, "one thing at a time"),
        ({"one": {"method": "elicitation/create"}}, "one thing at a time"),
        ({"one": a_request(mode="url")}, "this is none"),
        ({"one": a_request(requestedSchema="text")}, "this is none"),
        ({"one": a_request(requestedSchema={"type": "string"})}, "this is none"),
        ({"one": a_request(requestedSchema={"type": "object", "title": "x" * LONGEST_FORM})}, "longer"),
        ({"one": a_request(requestedSchema={"type": "object", "x": float("nan")})}, "longer"),
    ],
)
def test_what_is_no_single_form_is_said_to_be_none(requests: dict[str, Any], words: str) -> None:
    said = read(requests)
    assert isinstance(said, str)
    assert words in said


def test_a_no_and_a_silence_are_told_apart() -> None:
    asked = an_approval(kind=Kind.INPUT, arguments={"schema": FORM}, answer={"name": "Ann"})
    said = {state: reply(an_approval(state=state, answer=asked.answer)) for state in ApprovalState}
    assert said[ApprovalState.APPROVED] == {"action": "accept", "content": {"name": "Ann"}}
    assert said[ApprovalState.REJECTED] == {"action": "decline"}
    for state in (ApprovalState.EXPIRED, ApprovalState.CANCELLED):
        assert said[state] == {"action": "cancel"}
