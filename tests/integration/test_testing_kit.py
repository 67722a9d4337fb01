"""The public test kit does what a test expects of it."""

from __future__ import annotations

import anyio
import pytest
from mcp.client import Client

from interlock import testing
from interlock.testing import FixedClock, Stub, StubServer


def test_the_public_names_of_the_test_kit_are_pinned() -> None:
    servers = ["ModelServer", "Received", "Reply", "Stub", "StubServer", "ToolCall", "UsageAt"]
    assert sorted(testing.__all__) == ["FixedClock", *servers]


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(5)
    assert clock.now() == clock.now() == 5
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (1_500_005, 1.5)
    clock.step_to(1)
    assert (clock.now(), clock.monotonic()) == (1, 1.5)
    with pytest.raises(ValueError, match="step_to"):
        clock.advance(-1)


def test_stubs_answer_from_their_script_and_keep_every_call() -> None:
    def refuse(_arguments: object) -> dict[str, object]:
        raise ValueError("not today")

    stubs = StubServer(
        "crm", [Stub(name="lookup", answer={"name": "Ada"}), Stub(name="delete", answer=refuse)]
    )

    async def story() -> None:
        async with Client(stubs.server) as client:
            found = await client.call_tool("lookup", {"id": 1})
            assert found.structured_content == {"name": "Ada"}
            assert (await client.call_tool("delete", {})).is_error
            assert (await client.call_tool("unknown", {})).is_error

    anyio.run(story)
    assert stubs.calls == [("lookup", {"id": 1}), ("delete", {})]


def test_two_stubs_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        StubServer("crm", [Stub(name="a", answer={}), Stub(name="a", answer={})])
