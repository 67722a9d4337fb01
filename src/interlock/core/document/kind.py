"""The kinds of documents, by name, and what identifies one of them."""

from __future__ import annotations

from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.provider import Provider
from interlock.core.document.rule import Policy
from interlock.core.document.runbook import Runbook
from interlock.core.document.tool import Tool, ToolServer
from interlock.core.document.workflow import Workflow

AnyDocument = (
    Person
    | Team
    | Rotation
    | ToolServer
    | Tool
    | Agent
    | Workflow
    | Policy
    | Organisation
    | Provider
    | Runbook
)

KINDS: dict[str, type[AnyDocument]] = {
    kind.__name__: kind
    for kind in (
        Person,
        Team,
        Rotation,
        ToolServer,
        Tool,
        Agent,
        Workflow,
        Policy,
        Organisation,
        Provider,
        Runbook,
    )
}


def key(document: AnyDocument) -> tuple[str, str, str]:
    """Return what identifies a document: kind, name, environment ("" for all)."""
    return type(document).__name__, document.name, document.environment or ""
