"""The claims of a run token say the principal and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.model import MINUTE, SECOND, Principal
from interlock.core.token import MAX_ACTORS, MAX_LIFE, Refused, claims_of, expiry, read_claims

NOW = 1_767_225_600 * SECOND
ISSUER = "urn:interlock:dev"
PRINCIPAL = Principal(
    agent="bot",
    owner="maria",
    workflow="refunds",
    workflow_version=7,
    run="run_1",
    environment="dev",
    token_id="jti_1",
    key_id="k1",
    epoch=1,
    expires_at=NOW + 10 * MINUTE,
)


def claims(**changes: Any) -> dict[str, Any]:
    return claims_of(PRINCIPAL, issuer=ISSUER, issued_at=NOW, tools=("a.b", "a.c")) | changes


def read(said: dict[str, Any], now: int = NOW) -> Principal | Refused:
    return read_claims(said, key_id="k1", issuer=ISSUER, audience=ISSUER, now=now)


def code(said: dict[str, Any], now: int = NOW) -> str:
    refused = read(said, now)
    assert isinstance(refused, Refused)
    assert refused.message
    return refused.code


names = st.text("abc.-", min_size=1, max_size=8)
scopes = st.none() | st.frozensets(names, max_size=6)
actors = st.lists(names, max_size=MAX_ACTORS).map(tuple)


@given(scope=scopes, actors=actors, epoch=st.integers(0, 1 << 40))
def test_what_is_written_is_read_back(
    scope: frozenset[str] | None, actors: tuple[str, ...], epoch: int
) -> None:
    principal = replace(PRINCIPAL, scope=scope, actors=actors, epoch=epoch)
    assert read(claims_of(principal, issuer=ISSUER, issued_at=NOW, tools=("a.b",))) == principal


def test_the_tools_are_named_unless_they_are_too_many() -> None:
    (detail,) = claims()["authorization_details"]
    assert detail["tools"] == ["a.b", "a.c"]
    many = [f"server.tool_{number:05}" for number in range(1000)]
    whole = claims_of(PRINCIPAL, issuer=ISSUER, issued_at=NOW, tools=many)
    assert "tools" not in whole["authorization_details"][0]
    assert read(whole) == PRINCIPAL
    narrowed = replace(PRINCIPAL, scope=frozenset(many))
    assert read(claims_of(narrowed, issuer=ISSUER, issued_at=NOW, tools=())) == narrowed


@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "jti", "env", "wf", "run", "own"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"]])
def test_a_text_claim_that_is_none_is_refused(name: str, value: Any) -> None:
    assert code(claims(**{name: value})) == "malformed"


@pytest.mark.parametrize("name", ["iat", "exp", "wfv", "epoch"])
@pytest.mark.parametrize("value", [None, "1", True, 1.0, -1, 1 << 60])
def test_a_number_claim_that_is_none_is_refused(name: str, value: Any) -> None:
    assert code(claims(**{name: value})) == "malformed"


KIND = "interlock_tools"
UNREADABLE: list[Any] = [
    None,
    {},
    [],
    [1],
    [{"type": "x"}],
    [{"type": KIND}],
    [{"type": KIND, "tools": [1]}],
    [{"type": KIND, "whole": 1}],
    [{"type": KIND, "whole": True}, {"type": KIND, "whole": True}],
]


@pytest.mark.parametrize("details", UNREADABLE)
def test_a_scope_that_cannot_be_read_is_refused(details: Any) -> None:
    assert code(claims(authorization_details=details)) == "malformed"


@pytest.mark.parametrize("act", [1, {}, {"sub": ""}, {"sub": 1}, {"sub": "a", "act": 1}])
def test_actors_that_cannot_be_read_are_refused(act: Any) -> None:
    assert code(claims(act=act)) == "malformed"


def test_a_chain_of_actors_has_an_end() -> None:
    act: dict[str, Any] = {"sub": "x"}
    for _ in range(MAX_ACTORS):
        act = {"sub": "x", "act": act}
    assert code(claims(act=act)) == "malformed"


def test_each_wall_in_the_claims_stands_alone() -> None:
    assert code(claims(iss="urn:interlock:staging")) == "foreign_issuer"
    assert code(claims(aud="urn:interlock:staging")) == "foreign_audience"
    assert read(claims(aud=[ISSUER])) == PRINCIPAL
    assert code(claims(client_id="other")) == "malformed"


def test_time_is_on_our_clock_and_life_is_ten_minutes() -> None:
    assert code(claims(), NOW + 10 * MINUTE) == "expired"
    assert read(claims(), NOW + 10 * MINUTE - 1) == PRINCIPAL
    assert read(claims(), NOW - 30 * SECOND) == PRINCIPAL
    assert code(claims(), NOW - 31 * SECOND) == "not_yet_valid"
    assert code(claims(exp=NOW // SECOND + 601)) == "too_long"


@given(life=st.integers(-MINUTE, 10 * MAX_LIFE), left=st.none() | st.integers(0, 2 * MAX_LIFE))
def test_a_token_never_outlives_ten_minutes_or_its_run(life: int, left: int | None) -> None:
    deadline = None if left is None else NOW + left
    end = expiry(NOW, life=life, deadline=deadline)
    assert end <= NOW + MAX_LIFE
    assert deadline is None or end <= deadline
