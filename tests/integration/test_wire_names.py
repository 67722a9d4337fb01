"""Names on the wire: one tool, one name, both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.gateway.mcp.names import RESUME, wire_names

SERVERS = st.sampled_from(["a", "b", "a__b", "help-desk"])
NAMES = st.sampled_from(["x", "y", "b__x", "x_2", "a__x", RESUME, "näme", "with.dot", "n" * 140])


def test_a_unique_tool_keeps_its_bare_name() -> None:
    names = wire_names(["crm.lookup", "payments.refund"])
    assert names.dotted == {"lookup": "crm.lookup", "refund": "payments.refund"}


def test_tools_of_one_name_are_told_apart_by_their_servers() -> None:
    names = wire_names(["git.search", "web.search", "web.open"])
    assert set(names.dotted) == {"git__search", "web__search", "open"}
    assert names.wire["git.search"] == "git__search"


def test_a_tool_named_like_another_ones_wire_name_takes_neither() -> None:
    names = wire_names(["a.search", "b.search", "c.a__search"])
    assert len(names.dotted) == 3
    assert names.dotted["a__search"] == "c.a__search"


def test_no_tool_can_pose_as_the_resume_tool() -> None:
    assert RESUME not in wire_names([f"evil.{RESUME}"]).dotted


@given(st.lists(st.tuples(SERVERS, NAMES), max_size=12))
def test_every_tool_has_exactly_one_valid_name_both_ways(tools: list[tuple[str, str]]) -> None:
    dotted = [f"{server}.{name}" for server, name in tools]
    names = wire_names(dotted)
    assert set(names.wire) == set(dotted)
    assert {names.dotted[names.wire[tool]] for tool in dotted} == set(dotted)
    assert all(len(name) > 0 for name in names.dotted)
