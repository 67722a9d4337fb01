"""Builders for the documents and requests that decision tests are about: a small refunds workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interlock.core.admission import Approved, RunFacts, Snapshot, any_arguments, decide
from interlock.core.budget import Account, AccountKey, Limits, ScopeKind
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.tool import BlastRadius, Companion, Tool, ToolServer
from interlock.core.document.workflow import Approvals, Grant, Workflow
from interlock.core.model import Decision, EffectClass, Pin, Principal, Request, RiskTier, Source, Verdict
from interlock.core.window import Window

NOW = 1_900_000_000_000_000
MAP = BlastRadius(widest_scope="one record", impact="a wrong record", reversible="yes")


def a_tool(name: str = "crm.update", **changes: Any) -> Tool:
    """Return a complete map entry: a limited write that can be undone."""
    values: dict[str, Any] = {
        "name": name,
        "tier": RiskTier.LIMITED_WRITE,
        "effect": EffectClass.IDEMPOTENT,
        "blast_radius": MAP,
        "delay": 600,
    }
    return Tool(**values | changes)


def a_reading_tool(name: str = "crm.lookup", **changes: Any) -> Tool:
    """Return the map entry of a tool that only reads."""
    return a_tool(name, tier=RiskTier.READ_ONLY, effect=EffectClass.READ, delay=0, **changes)


def a_rule(id: str = "rule", tool: str = "*", then: Verdict = Verdict.DENY, **changes: Any) -> Rule:
    """Return a rule that denies everything unless told otherwise."""
    return Rule(id=id, tool=tool, then=then, **changes)


def a_workflow(*grants: Grant, name: str = "refunds", **changes: Any) -> Workflow:
    """Return a workflow of refund-bot."""
    values: dict[str, Any] = {
        "name": name,
        "agent": "refund-bot",
        "owner": "maria",
        "tools": grants or (Grant(tool="crm.lookup"), Grant(tool="crm.update")),
        "approvals": Approvals(approvers=("maria",)),
    }
    return Workflow(**values | changes)


def documents(
    workflow: Workflow | None = None, *more: AnyDocument, tools: tuple[Tool, ...] | None = None
) -> list[AnyDocument]:
    """Return a whole manifest: two people, an agent, a server, tools and one workflow."""
    return [
        Person(name="maria", email="maria@example.com", roles=("approver",)),
        Person(name="deng", email="deng@example.com"),
        Agent(name="refund-bot", owner="maria", backup="deng"),
        ToolServer(name="crm", transport="stdio", command=("crm",), source=Source.INTERNAL),
        *((a_reading_tool(), a_tool()) if tools is None else tools),
        workflow or a_workflow(),
        *more,
    ]


def a_bundle(
    workflow: Workflow | None = None,
    *more: AnyDocument,
    tools: tuple[Tool, ...] | None = None,
    environment: str = "dev",
    version: int = 7,
) -> Bundle:
    """Return the compiled manifest."""
    every = documents(workflow, *more, tools=tools)
    names = [each.name for each in every if isinstance(each, Workflow)]
    return compile_bundle(every, environment=environment, versions=dict.fromkeys(names, version))


def a_principal(**changes: Any) -> Principal:
    """Return a valid caller of refunds@7."""
    values: dict[str, Any] = {
        "agent": "refund-bot",
        "owner": "maria",
        "workflow": "refunds",
        "workflow_version": 7,
        "run": "run_1",
        "environment": "dev",
        "token_id": "tok_1",
        "key_id": "key_1",
        "epoch": 1,
        "expires_at": NOW + 600_000_000,
    }
    return Principal(**values | changes)


def a_request(tool: str = "crm.lookup", principal: Principal | None = None, **arguments: Any) -> Request:
    """Return one proposed call."""
    return Request(
        tool=tool, arguments=arguments, digest=digest(arguments), principal=principal or a_principal()
    )


def a_run(**changes: Any) -> RunFacts:
    """Return an open run of refunds@7 that has done nothing yet."""
    values: dict[str, Any] = {"run": "run_1", "workflow": "refunds", "version": 7, "started_at": NOW}
    return RunFacts(**values | changes)


def a_snapshot(bundle: Bundle | None = None, tool: str = "crm.lookup", **changes: Any) -> Snapshot:
    """Return what a decision about `tool` reads when all is well."""
    values: dict[str, Any] = {
        "environment": "dev",
        "bundle": bundle or a_bundle(),
        "run": a_run(),
        "pin": Pin(tool=tool, digest="pin-1", seen="pin-1"),
        "schema_problem": any_arguments,
    }
    return Snapshot(**values | changes)


def decided(
    tool: str = "crm.lookup",
    arguments: Mapping[str, Any] | None = None,
    *,
    bundle: Bundle | None = None,
    principal: Principal | None = None,
    now: int = NOW,
    **snapshot: Any,
) -> Decision:
    """Return the decision about one call when all else is well."""
    request = a_request(tool, principal, **(arguments or {}))
    return decide(request, a_snapshot(bundle, tool, **snapshot), now)


def an_approval(decision: Decision, **changes: Any) -> Approved:
    """Return a person's yes to exactly what was decided."""
    approved = Approved(
        approval="apr_1",
        digest=decision.digest,
        pin=decision.pin,
        bundle=decision.bundle,
        by="maria",
        tier=decision.tier,
    )
    return replace(approved, **changes)


__all__ = [
    "MAP",
    "NOW",
    "Companion",
    "Grant",
    "Policy",
    "a_bundle",
    "a_principal",
    "a_reading_tool",
    "a_request",
    "a_rule",
    "a_run",
    "a_snapshot",
    "a_tool",
    "a_workflow",
    "an_approval",
    "decided",
    "documents",
]


def an_account(held: int, *, spent: int = 0) -> Account:
    """Return the account of a run with a ceiling of 100."""
    key = AccountKey(kind=ScopeKind.RUN, name="run_1", window=Window.RUN)
    return Account(key=key, limits=Limits(limit=100, kill=1_000), spent=spent, held_max=held)
