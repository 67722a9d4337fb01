"""An agent's assertion is for this environment, for now, and for once."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.assertion import MAX_AHEAD, Assertion, claimed_agent, read_assertion
from interlock.core.model import SECOND
from interlock.core.token import SKEW, Refused

NOW = 1_767_225_600
SAID: dict[str, Any] = {"iss": "bot", "sub": "bot", "aud": "urn:x", "jti": "1", "iat": NOW, "exp": NOW + 60}


def read(**changes: Any) -> Assertion | Refused:
    return read_assertion(SAID | changes, audience="urn:x", now=NOW * SECOND)


def test_a_good_assertion_names_the_agent_and_how_long_its_jti_must_be_remembered() -> None:
    expected = Assertion(agent="bot", jti="1", expires_at=(NOW + 60) * SECOND + SKEW)
    assert read() == expected
    assert read(aud=["urn:x"]) == expected
    assert read(iat=NOW + 30) == expected


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "other"}, "malformed"),
        ({"sub": 1}, "malformed"),
        ({"sub": "", "iss": ""}, "malformed"),
        ({"aud": "urn:y"}, "foreign_audience"),
        ({"aud": ["urn:x", "urn:y"]}, "foreign_audience"),
        ({"jti": None}, "malformed"),
        ({"jti": ""}, "malformed"),
        ({"jti": "x" * 129}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"iat": -1}, "malformed"),
        ({"iat": "now"}, "malformed"),
        ({"exp": NOW - 30}, "expired"),
        ({"exp": NOW + MAX_AHEAD // SECOND + 31}, "too_long"),
        ({"iat": NOW + 31}, "not_yet_valid"),
    ],
)
def test_anything_else_is_refused_with_its_reason(changes: dict[str, Any], code: str) -> None:
    refused = read(**changes)
    assert isinstance(refused, Refused)
    assert refused.code == code


def test_a_clock_thirty_seconds_off_is_allowed() -> None:
    assert isinstance(read(exp=NOW - 29), Assertion)
    assert isinstance(read(exp=NOW + 330), Assertion)


def test_the_claimed_agent_is_only_a_claim() -> None:
    assert claimed_agent(SAID) == "bot"
    assert claimed_agent({}) is None
