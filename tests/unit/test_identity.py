"""Whether a token still counts, and that authority only narrows (H1, H2, H5, invariants 3 and 10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.identity import Revocations, check_principal, narrow
from support.policies import NOW, a_principal

scopes = st.none() | st.frozensets(st.sampled_from("abcde"))
EVERYTHING = frozenset("abcde")


def test_a_valid_token_has_no_reason_against_it() -> None:
    assert check_principal(a_principal(), Revocations(), environment="dev", now=NOW) is None


@pytest.mark.parametrize(
    ("revoked", "principal", "code"),
    [
        ({}, {"expires_at": NOW}, "token_expired"),
        ({"tokens": frozenset({"tok_1"})}, {}, "token_revoked"),
        ({"runs": frozenset({"run_1"})}, {}, "run_revoked"),
        ({"keys": frozenset({"key_1"})}, {}, "key_revoked"),
        ({"agents": {"refund-bot": 2}}, {}, "agent_revoked"),
        ({}, {"environment": "staging"}, "environment_mismatch"),
    ],
)
def test_what_was_withdrawn_is_refused(revoked: dict[str, Any], principal: dict[str, Any], code: str) -> None:
    reason = check_principal(a_principal(**principal), Revocations(**revoked), environment="dev", now=NOW)
    assert reason is not None
    assert reason.code == code


def test_an_agent_that_enrolled_anew_is_not_held_back_by_its_old_epoch() -> None:
    revoked = Revocations(agents={"refund-bot": 2})
    assert check_principal(a_principal(epoch=2), revoked, environment="dev", now=NOW) is None


@given(scopes, scopes)
def test_narrowing_only_narrows(parent: frozenset[str] | None, requested: frozenset[str] | None) -> None:
    child = narrow(parent, requested)
    held = EVERYTHING if child is None else child
    assert held <= (EVERYTHING if parent is None else parent)
    assert held <= (EVERYTHING if requested is None else requested)
