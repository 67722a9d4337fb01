"""A client under a workflow that grants little: what is granted works, all else is not there.

Run as the program of `interlock run narrowed -- python -m tests.conformance.narrowed`; prints one JSON object
per check: name, passed, detail.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import AnyUrl
from tests.conformance.fixture_content import PROMPTS, RESOURCES, TOOLS
from tests.conformance.manifests import NARROWED_PROMPTS, NARROWED_RESOURCES, NARROWED_TOOLS

ERAS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
#: What Interlock itself adds to a listing.
OWN_TOOLS = frozenset({"interlock_resume"})
_FULL_ARGUMENTS: dict[str, Any] = {
    "name": "x",
    "prompt": "x",
    "message": "x",
    "filename": "x",
    "seconds": 0,
    "region": "x",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that came back as an error or as an error result."""

    said: str


async def _attempt(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        result = await call()
    except MCPError as error:
        return Refused(f"{error.error.code}: {error.error.message}")
    if isinstance(result, types.CallToolResult) and result.is_error:
        return Refused(" ".join(part.text for part in result.content if isinstance(part, types.TextContent)))
    return result


class Observer:
    """Collects checks."""

    def __init__(self, era: str) -> None:
        self._era = era

    def see(self, truth: str, holds: bool, detail: object = "") -> None:
        """Print one check."""
        shown = "" if holds else str(detail)[:500]
        sys.stdout.write(
            json.dumps({"name": f"{truth} ({self._era})", "passed": holds, "detail": shown}) + "\n"
        )


async def _lists(client: Client, observer: Observer) -> None:
    tools = {tool.name for tool in (await client.list_tools()).tools} - OWN_TOOLS
    observer.see("only granted tools are listed", tools == set(NARROWED_TOOLS), sorted(tools))
    resources = {str(each.uri) for each in (await client.list_resources()).resources}
    observer.see("only granted resources are listed", resources == set(NARROWED_RESOURCES), sorted(resources))
    templates = (await client.list_resource_templates()).resource_templates
    observer.see("no resource template is listed", not templates, templates)
    prompts = {each.name for each in (await client.list_prompts()).prompts}
    observer.see("only granted prompts are listed", prompts == set(NARROWED_PROMPTS), sorted(prompts))


async def _granted(client: Client, observer: Observer) -> None:
    text = await _attempt(lambda: client.call_tool("test_simple_text", {}))
    observer.see("a granted tool can be called", isinstance(text, types.CallToolResult), text)
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    await _attempt(lambda: client.call_tool("test_tool_with_progress", {}, progress_callback=note))
    observer.see("progress of a granted tool arrives", seen == [0, 50, 100], seen)
    content = await _attempt(lambda: client.read_resource(NARROWED_RESOURCES[0]))
    observer.see("a granted resource can be read", isinstance(content, types.ReadResourceResult), content)
    prompt = await _attempt(lambda: client.get_prompt(NARROWED_PROMPTS[0]))
    observer.see("a granted prompt can be had", isinstance(prompt, types.GetPromptResult), prompt)


async def _asking(client: Client, observer: Observer, asked: list[str]) -> None:
    for tool, arguments in (
        ("test_sampling", {"prompt": "x"}),
        ("test_elicitation", {"message": "x"}),
        ("test_input_required_result_capabilities", {}),
    ):
        await _attempt(lambda name=tool, given=arguments: client.call_tool(name, given))
    observer.see("no server asks the client's model or user where that is not granted", not asked, asked)


async def _withheld(client: Client, observer: Observer) -> None:
    passed: list[str] = []
    for tool in TOOLS:
        if tool.name in NARROWED_TOOLS:
            continue
        wanted = tool.input_schema.get("properties", {})
        arguments = {name: value for name, value in _FULL_ARGUMENTS.items() if name in wanted}
        name = tool.name
        if not isinstance(
            await _attempt(lambda name=name, given=arguments: client.call_tool(name, given)), Refused
        ):
            passed.append(name)
    observer.see("every other tool is refused", not passed, passed)
    uris = [*(str(each.uri) for each in RESOURCES), "test://template/1/data"]
    read = [
        uri
        for uri in uris
        if uri not in NARROWED_RESOURCES
        and not isinstance(await _attempt(lambda uri=uri: client.read_resource(str(AnyUrl(uri)))), Refused)
    ]
    observer.see("every other resource is refused", not read, read)
    had = [
        prompt.name
        for prompt in PROMPTS
        if prompt.name not in NARROWED_PROMPTS
        and not isinstance(await _attempt(lambda name=prompt.name: client.get_prompt(name, {})), Refused)
    ]
    observer.see("every other prompt is refused", not had, had)
    missing = await _attempt(lambda: client.read_resource("test://nothing-of-this-name"))
    held = await _attempt(lambda: client.read_resource("test://static-binary"))
    same = isinstance(missing, Refused) and isinstance(held, Refused)
    same = same and missing.said.replace("nothing-of-this-name", "static-binary") == held.said
    observer.see("a withheld resource looks like one that does not exist", same, (missing, held))
    ref = types.PromptReference(name=NARROWED_PROMPTS[0])
    completed = await _attempt(lambda: client.complete(ref, {"name": "arg1", "value": "te"}))
    observer.see("completion is refused where it is not granted", isinstance(completed, Refused), completed)


async def main() -> None:
    """Check both eras."""
    url = os.environ["INTERLOCK_MCP_URL"]
    for era, mode in ERAS.items():
        observer = Observer(era)
        asked: list[str] = []

        async def sampled(context: Any, params: Any, asked: list[str] = asked) -> types.CreateMessageResult:
            asked.append("sampling")
            content = types.TextContent(type="text", text="x")
            return types.CreateMessageResult(role="assistant", content=content, model="x")

        async def elicited(context: Any, params: Any, asked: list[str] = asked) -> types.ElicitResult:
            asked.append("elicitation")
            return types.ElicitResult(action="accept", content={"username": "x", "email": "x", "name": "x"})

        async with Client(url, mode=mode, sampling_callback=sampled, elicitation_callback=elicited) as client:
            await _lists(client, observer)
            await _granted(client, observer)
            await _asking(client, observer, asked)
            await _withheld(client, observer)


if __name__ == "__main__":
    asyncio.run(main())
