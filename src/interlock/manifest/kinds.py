"""Every kind of the manifest, each with the pydantic model that says exactly its fields.

Models refuse unknown fields and convert nothing silently. Quantities become integers there (seconds, basis
points, nano-dollars); `manifest.freeze` turns a checked model into the documents of the core.
"""

from __future__ import annotations

import re

from pydantic import Field

from interlock.manifest.field import LETTERS, NAME, PERSON, TOOL, Duration, Name, Strict, Text
from interlock.manifest.identity import AgentSpec, PersonSpec, RotationSpec, TeamSpec
from interlock.manifest.provider import ProviderSpec
from interlock.manifest.rule import PolicySpec
from interlock.manifest.runbook import RunbookSpec
from interlock.manifest.spending import BudgetSpec
from interlock.manifest.tool import ToolServerSpec, ToolSpec
from interlock.manifest.workflow import WorkflowSpec

API_VERSION = "interlock/v1"


class OrganisationSpec(Strict):
    budget: BudgetSpec | None = Field(None, description="limits for all workflows together")
    keep_originals: Duration = Field(
        7 * 86_400, description="how long the originals of shortened tool results are kept"
    )


class Metadata(Strict):
    name: Text = Field(description="unique within its kind and environment")
    environment: Name | None = Field(None, description="the one environment it is meant for; none means all")


SPECS: dict[str, type[Strict]] = {
    "Person": PersonSpec,
    "Team": TeamSpec,
    "Rotation": RotationSpec,
    "ToolServer": ToolServerSpec,
    "Tool": ToolSpec,
    "Agent": AgentSpec,
    "Workflow": WorkflowSpec,
    "Policy": PolicySpec,
    "Organisation": OrganisationSpec,
    "Provider": ProviderSpec,
    "Runbook": RunbookSpec,
}
LATER = ("AlertRule", "PromptVersion", "Dataset")
NAMES: dict[str, tuple[re.Pattern[str], str]] = {
    "Person": (PERSON, "a name of letters, digits, dots, - and _"),
    "Tool": (TOOL, "a tool as server.tool, such as payments.refund"),
}
ANY_NAME = (NAME, f"a name of {LETTERS}")
