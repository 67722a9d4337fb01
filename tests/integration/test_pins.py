"""Schema checks of pinned tools: bounded, offline, and silent about values."""

from __future__ import annotations

import time
from typing import Any

import pytest

from interlock.services.register import pin_digest, schema_check

UNUSABLE = "cannot be used"


def test_a_mismatch_names_the_place_and_never_the_value() -> None:
    check = schema_check({"type": "object", "properties": {"amount": {"type": "integer"}}})
    assert check({"amount": 5}) is None
    said = check({"amount": "my-secret"})
    assert said is not None
    assert said.startswith("amount:")
    assert "my-secret" not in said


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "https://evil.example/schema.json"}, {"type": "no-such-type"}, {"pattern": "("}, None, 7],
    ids=["remote-ref", "bad-type", "bad-pattern", "missing", "number"],
)
def test_a_schema_that_cannot_be_compiled_lets_nothing_pass(schema: Any) -> None:
    assert UNUSABLE in str(schema_check(schema)({}))


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(?=(a+)+$)x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_backtracks_for_long(pattern: str) -> None:
    check = schema_check({"type": "object", "properties": {"s": {"type": "string", "pattern": pattern}}})
    started = time.perf_counter()
    assert check({"s": "a" * 60 + "!"}) is not None
    assert time.perf_counter() - started < 2


def test_the_pin_covers_name_description_and_schema_and_nothing_else() -> None:
    tool = {"name": "t", "description": "d", "inputSchema": {"type": "object"}, "title": "T"}
    assert pin_digest({**tool, "title": "other"}) == pin_digest(tool)
    for key, value in (("name", "u"), ("description", "e"), ("inputSchema", {})):
        assert pin_digest({**tool, key: value}) != pin_digest(tool)
