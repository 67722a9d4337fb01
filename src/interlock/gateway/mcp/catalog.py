"""What a run may see: the tools of its workflow, narrowed to its token, as they were registered.

A tool is listed only while its server offers it exactly as it was pinned. The definitions are the
server's own but for the name, and for the result schema of a tool whose call may wait for a person: a
pending answer is an ordinary result, so that schema must allow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from interlock.core.model import Json, Principal, RiskTier
from interlock.core.workflow import CompiledWorkflow
from interlock.gateway.mcp.names import RESULT, RESUME, WireNames, split, wire_names
from interlock.services.shorten import LONGEST_PIECE
from interlock.store.memory import Memory
from interlock.upstream.mcp.pool import ToolServers
from interlock.upstream.people import People

_KEPT = 256
_LONGEST_NAME = 200

RESUME_TOOL: dict[str, Json] = {
    "name": RESUME,
    "title": "Collect a waiting call",
    "description": (
        "Collects the outcome of a call that waits for a person. Pass the approval_id of the pending answer. "
        "It never runs the call a second time."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {"approval_id": {"type": "string", "description": "The handle of the pending answer."}},
        "required": ["approval_id"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
}

RESULT_TOOL: dict[str, Json] = {
    "name": RESULT,
    "title": "Read a shortened result",
    "description": (
        "Reads the whole of a result that was shortened, part by part. Pass the reference that the short "
        "result names. It does not call the tool again."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "reference": {"type": "string", "description": "The reference in the short result."},
            "offset": {"type": "integer", "minimum": 0, "description": "The first character; 0 if left out."},
            "length": {
                "type": "integer",
                "minimum": 1,
                "maximum": LONGEST_PIECE,
                "description": "How many characters; 16000 if left out.",
            },
        },
        "required": ["reference"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
}

_PENDING: dict[str, Json] = {
    "type": "object",
    "properties": {"status": {"const": "pending_approval"}, "approval_id": {"type": "string"}},
    "required": ["status", "approval_id"],
}


@dataclass(slots=True)
class Catalog:
    """The tool lists of every workflow, kept until something they depend on changes."""

    memory: Memory
    servers: ToolServers
    people: People
    _generation: int = 0
    _settled: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])
    _names: dict[tuple[str, str], WireNames] = field(default_factory=dict[tuple[str, str], WireNames])
    _lists: dict[tuple[str, str], tuple[int, list[tuple[str, dict[str, Json]]]]] = field(
        default_factory=dict[tuple[str, str], "tuple[int, list[tuple[str, dict[str, Json]]]]"]
    )

    def settled(self, principal: Principal) -> bool:
        """Whether what the servers of the principal's workflow offer is known and registered.

        It is not for a moment after the start or an apply. A server that cannot be reached has settled too.
        """
        bundle, workflow = self.memory.bundle, self.workflow(principal)
        if bundle is None or workflow is None:
            return True
        key = bundle.digest, principal.workflow
        if key in self._settled:
            return True
        if not all(self._known(tool) for tool in workflow.grants if tool in bundle.tools):
            return False
        _make_room(self._settled)
        self._settled[key] = True
        return True

    def _known(self, tool: str) -> bool:
        server, name = split(tool)
        offered = any(each.get("name") == name for each in self._offered(server))
        return self.servers.settled(server) and (not offered or tool in self.memory.pins)

    def changed(self) -> None:
        """Build every list anew when it is next asked for."""
        self._generation += 1

    def workflow(self, principal: Principal) -> CompiledWorkflow | None:
        """Return the principal's workflow as it is in force, if it is."""
        bundle = self.memory.bundle
        return None if bundle is None else bundle.workflows.get(principal.workflow)

    def names(self, principal: Principal) -> WireNames:
        """Return the wire names of the principal's workflow."""
        bundle, workflow = self.memory.bundle, self.workflow(principal)
        if bundle is None or workflow is None:
            return WireNames()
        key = bundle.digest, principal.workflow
        names = self._names.get(key)
        if names is None:
            _make_room(self._names)
            names = self._names[key] = wire_names(workflow.grants)
        return names

    def dotted(self, principal: Principal, name: str) -> str:
        """Return the manifest's name of what the agent calls `name`; one that is not granted stays as it is.

        A bare name that exactly one registered tool bears is completed, so that a refusal names that tool.
        """
        known = self.names(principal).dotted.get(name)
        if known is not None:
            return known
        bundle = self.memory.bundle
        name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        alike = [each for each in bundle.tools if split(each)[1] == name] if bundle else []
        return alike[0] if len(alike) == 1 else name.replace("__", ".", 1)

    def tools(self, principal: Principal) -> list[dict[str, Json]]:
        """Return the tools the principal may see, by their wire names, in the order of their servers."""
        bundle, workflow = self.memory.bundle, self.workflow(principal)
        if bundle is None or workflow is None:
            return []
        key = bundle.digest, principal.workflow
        generation, listed = self._lists.get(key, (-1, []))
        if generation != self._generation:
            _make_room(self._lists)
            listed = self._build(principal, workflow)
            self._lists[key] = self._generation, listed
        scope = principal.scope
        seen = [tool for name, tool in listed if scope is None or name in scope]
        return [*seen, RESUME_TOOL, *([RESULT_TOOL] if workflow.document.compression else [])]

    def input_schema(self, principal: Principal, name: str) -> Mapping[str, Any] | None:
        """Return the pinned input schema of a wire name; None when the principal may not see it."""
        return next((each["inputSchema"] for each in self.tools(principal) if each["name"] == name), None)

    def _build(self, principal: Principal, workflow: CompiledWorkflow) -> list[tuple[str, dict[str, Json]]]:
        names = self.names(principal)
        listed: list[tuple[str, dict[str, Json]]] = []
        for server in dict.fromkeys(split(tool)[0] for tool in workflow.grants):
            for definition in self._offered(server):
                tool = f"{server}.{definition.get('name')}"
                pin = self.memory.pins.get(tool)
                if tool in workflow.grants and pin is not None and not pin.drifted:
                    listed.append((tool, self._shown(workflow, tool, definition, names.wire[tool])))
        return listed

    def _offered(self, server: str) -> list[dict[str, Json]]:
        """Return what a server offers now; nothing while it has not said."""
        return self.people.tools() if server in self.people else self.servers.tools(server) or []

    def _shown(
        self, workflow: CompiledWorkflow, tool: str, definition: Mapping[str, Json], name: str
    ) -> dict[str, Json]:
        shown = {**definition, "name": name}
        schema = definition.get("outputSchema")
        if isinstance(schema, dict) and self._may_wait(workflow, tool):
            shown["outputSchema"] = _or_pending(cast("dict[str, Any]", schema))
            if shown["outputSchema"] is None:
                del shown["outputSchema"]
        return shown

    def _may_wait(self, workflow: CompiledWorkflow, tool: str) -> bool:
        compiled = self.memory.bundle.tools.get(tool) if self.memory.bundle else None
        return compiled is None or compiled.tier is not RiskTier.READ_ONLY or bool(workflow.rules.get(tool))


def _or_pending(schema: dict[str, Any]) -> dict[str, Json] | None:
    """Return a result schema that a pending answer meets too, or None where that cannot be said safely.

    References into `$defs` still hold, because those stay at the root; any other local reference would
    point elsewhere, and then no schema is better than a wrong one.
    """
    if any(
        not each.startswith("#/$defs/") and not each.startswith("#/definitions/") for each in _refs(schema)
    ):
        return None
    roots = {key: schema[key] for key in ("$schema", "$defs", "definitions", "$id") if key in schema}
    own = {key: value for key, value in schema.items() if key not in roots}
    return {**roots, "type": "object", "anyOf": [own, _PENDING]}


def _refs(value: object) -> list[str]:
    found: list[str] = []
    queue: list[Any] = [value]
    while queue:
        each = queue.pop()
        if isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            found += [text for key in ("$ref", "$dynamicRef") if isinstance(text := members.get(key), str)]
            queue += members.values()
        elif isinstance(each, list):
            queue += cast("list[Any]", each)
    return found


def _make_room(cache: dict[Any, Any]) -> None:
    if len(cache) >= _KEPT:
        cache.clear()
