"""The manifest that puts the fixture server behind the gateway: one workflow with everything, one narrowed.

Written as JSON documents, which are YAML. All fixture tools are mapped `read_only`: nothing waits for a
person, so that what a scenario sees is the protocol and not an approval.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.conformance.fixture_content import PROMPTS, RESOURCES, TEMPLATE, TOOLS

SERVER = "fixture"
WHOLE = "conformance"
NARROWED = "narrowed"

NARROWED_TOOLS = (
    "test_simple_text",
    "test_error_handling",
    "test_tool_with_progress",
    "test_sampling",
    "test_elicitation",
    "test_input_required_result_capabilities",
)
NARROWED_RESOURCES = ("test://static-text",)
NARROWED_PROMPTS = ("test_simple_prompt",)


def manifest(upstream: str) -> str:
    """Return the documents for the fixture server that serves at `upstream`."""
    documents = [
        _document("Person", "maria", {"email": "maria@example.com", "roles": ["admin"]}),
        _document("Agent", "suite", {"owner": "maria", "purpose": "Runs the MCP conformance suite"}),
        _document("ToolServer", SERVER, {"transport": "http", "url": upstream, "source": "internal"}),
        *(_tool(tool.name) for tool in TOOLS),
        _workflow(
            WHOLE,
            tools=(tool.name for tool in TOOLS),
            resources=[*(each.uri for each in RESOURCES), TEMPLATE.uri_template.replace("{id}", "*")],
            prompts=[each.name for each in PROMPTS],
            asks=True,
        ),
        _workflow(
            NARROWED,
            tools=NARROWED_TOOLS,
            resources=list(NARROWED_RESOURCES),
            prompts=list(NARROWED_PROMPTS),
            asks=False,
        ),
    ]
    return "".join(f"---\n{json.dumps(document, indent=1)}\n" for document in documents)


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "interlock/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _tool(name: str) -> dict[str, Any]:
    reach = {"widest_scope": "nothing outside the test", "impact": "none", "reversible": "always"}
    return _document(
        "Tool", f"{SERVER}.{name}", {"tier": "read_only", "effect": "read", "blast_radius": reach}
    )


def _workflow(
    name: str, *, tools: Iterable[str], resources: list[str], prompts: list[str], asks: bool
) -> dict[str, Any]:
    return _document(
        "Workflow",
        name,
        {
            "agent": "suite",
            "owner": "maria",
            "tools": [{"tool": f"{SERVER}.{tool}"} for tool in tools],
            "resources": resources,
            "prompts": prompts,
            "sampling": asks,
            "elicitation": asks,
            "completion": asks,
            # The suite repeats itself and fails on purpose; the breaker would be right to object.
            "breaker": {"tool_failures": 1000, "identical_calls": 1000},
        },
    )
