"""One entry of the blast-radius map, compiled (A1, A2, E5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.document.tool import PEOPLE, Tool, ToolServer, Variant
from interlock.core.model import SECOND, EffectClass, RiskTier, Source
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws
from interlock.core.tool import CompiledTool, compile_tool, fields_of, server_of, unmeasured
from support.policies import Companion, a_bundle, a_reading_tool, a_tool

CRM = ToolServer(name="crm", transport="stdio", source=Source.TICKET)
HIGH, LIMITED, READ = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE, RiskTier.READ_ONLY


def compiled(document: Tool | None = None, server: ToolServer | None = CRM) -> CompiledTool:
    flaws = Flaws()
    tool = compile_tool("crm.update", document, server, flaws, environment="dev")
    assert not flaws.found
    return tool


@pytest.mark.parametrize("missing", ["tier", "effect", "blast_radius"])
def test_a_tool_without_a_complete_entry_counts_as_high(missing: str) -> None:
    tool = compiled(replace(a_tool(), **{missing: None}))
    assert not tool.mapped
    assert tool.tier is HIGH
    assert tool.fields[tool.tier.rank]["mapped"] is False


def test_a_tool_without_an_entry_is_never_repeated_and_cannot_be_undone() -> None:
    tool = compiled(None)
    assert (tool.tier, tool.effect, tool.undoable) == (HIGH, EffectClass.ONCE, False)
    assert "reversible" not in tool.fields[HIGH.rank]


def test_rules_read_the_tools_own_fields() -> None:
    assert compiled(a_tool()).fields[LIMITED.rank] == {
        "name": "crm.update",
        "server": "crm",
        "tier": "limited_write",
        "effect": "idempotent",
        "env": "dev",
        "source": "ticket",
        "reversible": "yes",
        "mapped": True,
    }
    assert "source" not in compiled(a_tool(), None).fields[LIMITED.rank]


def test_the_environment_of_a_tool_is_its_own_or_its_servers() -> None:
    assert compiled(a_tool(environment="staging")).environment == "staging"
    server = ToolServer(name="crm", transport="stdio", environment="staging")
    assert compiled(a_tool(), server).environment == "staging"
    assert compiled(None, server).environment == "staging"


def test_the_first_matching_variant_gives_the_tier_of_a_call() -> None:
    tool = compiled(
        a_tool(
            tier=HIGH,
            variants=(
                Variant(name="dry", when={"args.dry": True}, tier=READ),
                Variant(name="small", when={"args.n": {"le": 5}}, tier=LIMITED),
            ),
        )
    )

    def tier(**args: Any) -> RiskTier:
        return tool.tier_of(Facts(args=args, tool={}))

    assert tier(dry=True, n=5) is READ
    assert tier(dry=False, n=5) is LIMITED
    assert tier(n=5) is LIMITED
    assert tier(n=6) is HIGH
    assert tier(n=5.0) is HIGH
    assert tier() is HIGH
    assert "tool.tier" not in tool.settled
    assert "tool.tier" in compiled(a_tool()).settled


@pytest.mark.parametrize(
    ("variant", "path"),
    [
        (Variant(name="v", when={"args.a": 1}, tier=HIGH), ("variants", 0, "tier")),
        (Variant(name="v", when={}, tier=READ), ("variants", 0, "when")),
        (Variant(name="v", when={"reach.n": 1}, tier=READ), ("variants", 0, "when", "reach.n")),
        (Variant(name="v", when={"args.a": "$scope.x"}, tier=READ), ("variants", 0, "when", "args.a")),
    ],
)
def test_a_variant_only_lowers_and_only_on_conditions_that_can_be_known(
    variant: Variant, path: tuple[str, ...]
) -> None:
    flaws = Flaws()
    compile_tool("crm.update", a_tool(variants=(variant,)), CRM, flaws, environment="dev")
    assert [flaw.path for flaw in flaws.found] == [path]


def test_a_variant_may_read_what_a_preview_measured() -> None:
    preview = Companion(tool="crm.lookup", arguments={})
    compiled(a_tool(preview=preview, variants=(Variant(name="v", when={"reach.n": 1}, tier=READ),)))


def test_a_delay_is_told_in_microseconds_and_an_unmapped_tool_has_none() -> None:
    assert compiled(a_tool(delay=600)).delay == 600 * SECOND
    assert compiled(None).delay == 0


@pytest.mark.parametrize(
    ("changes", "tier", "irreversible"),
    [
        ({"delay": 0}, LIMITED, True),
        ({"delay": 599}, LIMITED, True),
        ({"delay": 600}, LIMITED, False),
        ({"delay": 0, "undo": Companion(tool="crm.update", arguments={})}, LIMITED, False),
        ({"delay": 0}, READ, False),
        ({"delay": 0, "effect": EffectClass.READ}, HIGH, False),
    ],
)
def test_a_write_without_undo_or_real_delay_is_irreversible(
    changes: dict[str, Any], tier: RiskTier, irreversible: bool
) -> None:
    assert compiled(a_tool(**changes)).irreversible(tier) is irreversible


def test_tools_are_found_by_name() -> None:
    tools = a_bundle(
        tools=(
            a_reading_tool(preview=Companion(tool="crm.lookup2", arguments={})),
            a_reading_tool("crm.lookup2"),
            a_tool(),
        )
    ).tools
    assert fields_of(tools, "crm.update")["name"] == "crm.update"
    assert fields_of(tools, "*") == {}
    assert unmeasured(tools, "crm.update") == "crm.update"
    assert unmeasured(tools, "crm.lookup") == ""
    assert unmeasured(tools, "*") == ""
    assert server_of("crm.update.all") == "crm"


def test_a_tool_of_a_server_of_people_reads_an_answer_and_nothing_else() -> None:
    people = ToolServer(name="people", transport=PEOPLE)
    asked = compile_tool("people.ask", None, people, Flaws(), environment="production")
    assert (asked.person, asked.mapped, asked.tier) == (True, True, RiskTier.READ_ONLY)
    assert asked.effect is EffectClass.READ
