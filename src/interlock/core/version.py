"""Versions of documents (A3): what one covers, which number is next, the bundle that has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.rule import Policy
from interlock.core.document.tool import Tool, ToolServer
from interlock.core.document.workflow import Workflow

_NO_PART_OF_A_VERSION = frozenset({"budget", "runbook", "customer", "webhook"})


def parts(workflow: Workflow) -> set[tuple[str, str]]:
    """Return kind and name of what a workflow is made of, itself among them."""
    tools = {grant.tool for grant in workflow.tools}
    return {
        ("Workflow", workflow.name),
        ("Agent", workflow.agent),
        *(("Tool", tool) for tool in tools),
        *(("ToolServer", tool.partition(".")[0]) for tool in tools),
    }


def contents(documents: Iterable[AnyDocument]) -> Mapping[tuple[str, str], str]:
    """Return a digest of what each document means; a workflow's covers its tools, servers and policies.

    Its budget, runbook, customer label and webhook are no part of it: as they are now they hold for open
    runs too.
    """
    everything = tuple(documents)
    policies = [asdict(each) for each in everything if isinstance(each, Policy)]
    named = {key(each)[:2]: each for each in everything}
    return {
        name: digest(_whole(each, named, policies) if isinstance(each, Workflow) else asdict(each))
        for name, each in named.items()
    }


def _whole(
    workflow: Workflow, named: Mapping[tuple[str, str], AnyDocument], policies: list[dict[str, object]]
) -> dict[str, object]:
    covered = sorted(parts(workflow) - {("Workflow", workflow.name), ("Agent", workflow.agent)})
    found = (named.get(part) for part in covered)
    meant = {name: said for name, said in asdict(workflow).items() if name not in _NO_PART_OF_A_VERSION}
    return {
        "workflow": meant,
        "parts": [asdict(each) for each in found if isinstance(each, Tool | ToolServer)],
        "policies": policies,
    }


def next_versions(
    old: Mapping[tuple[str, str], tuple[int, str]], documents: Iterable[AnyDocument]
) -> dict[tuple[str, str], int]:
    """Return the version of every document: one more than its last where its content differs.

    `old` maps kind and name to the last version and digest, of removed documents too.
    """
    versions: dict[tuple[str, str], int] = {}
    for name, content in contents(documents).items():
        version, last = old.get(name, (0, ""))
        versions[name] = version if content == last else version + 1
    return versions


def compiled(
    documents: Iterable[AnyDocument], versions: Mapping[tuple[str, str], int], environment: str
) -> Bundle:
    """Return the bundle of `documents` with their versions. Raises `BundleInvalid`."""
    numbers = {name: version for (kind, name), version in versions.items() if kind == "Workflow"}
    return compile_bundle(documents, environment=environment, versions=numbers)
