"""What the suite's fixture server offers that needs no conversation: names, schemas, fixed content.

The names and shapes are the suite's own; its scenarios look for exactly these.
"""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
TONE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
SWITCHED_TOOL = "test_switched_tool"
SWITCHED_PROMPT = "test_switched_prompt"

_EMPTY: dict[str, Any] = {"type": "object", "properties": {}}

# Keywords beyond the plain subset: a server, and a gateway, must hand them on untouched.
_RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _one(name: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind, "description": description}},
        "required": [name],
    }


def _tool(name: str, description: str, schema: dict[str, Any] | None = None) -> types.Tool:
    return types.Tool(name=name, description=description, input_schema=schema or _EMPTY)


# The first entry takes no arguments: the header scenarios call whatever is listed first.
TOOLS: tuple[types.Tool, ...] = (
    _tool("test_simple_text", "Returns one text"),
    _tool("test_image_content", "Returns an image"),
    _tool("test_audio_content", "Returns audio"),
    _tool("test_embedded_resource", "Returns an embedded resource"),
    _tool("test_multiple_content_types", "Returns text, image and resource"),
    _tool("test_error_handling", "Always fails"),
    _tool("test_tool_with_logging", "Logs three times while it runs"),
    _tool("test_tool_with_progress", "Reports progress three times"),
    _tool("test_logging_tool", "Logs once; on 2026-07-28 only if the request asked for it"),
    _tool("test_sampling", "Asks the client's model", _one("prompt", "string", "What to ask")),
    _tool("test_elicitation", "Asks the user", _one("message", "string", "What to show the user")),
    _tool("test_elicitation_sep1034_defaults", "Asks with a default for every primitive"),
    _tool("test_elicitation_sep1330_enums", "Asks with every form of enum"),
    _tool("test_streaming_elicitation", "Reports progress, then asks the user"),
    _tool("test_reconnection", "Closes its stream before it answers"),
    _tool("test_missing_capability", "Needs a client that declares sampling"),
    _tool("test_trigger_tool_change", f"Adds or removes {SWITCHED_TOOL}"),
    _tool("test_trigger_prompt_change", f"Adds or removes {SWITCHED_PROMPT}"),
    _tool(SWITCHED_TOOL, "Comes and goes"),
    _tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", _RICH_SCHEMA),
    _tool(
        "test_x_mcp_header",
        "Mirrors an argument into a request header",
        {
            "type": "object",
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
            "required": ["region"],
        },
    ),
    _tool("test_input_required_result_elicitation", "Needs the user's name"),
    _tool("test_input_required_result_sampling", "Needs the client's model"),
    _tool("test_input_required_result_list_roots", "Needs the client's roots"),
    _tool("test_input_required_result_request_state", "Needs a confirmation and its own state"),
    _tool("test_input_required_result_multiple_inputs", "Needs three inputs at once"),
    _tool("test_input_required_result_multi_round", "Needs two rounds of input"),
    _tool("test_input_required_result_tampered_state", "Refuses a state it did not sign"),
    _tool("test_input_required_result_capabilities", "Asks only for what the client can give"),
    _tool("greet", "Greets at once; never a task", _one("name", "string", "Whom to greet")),
    _tool(
        "slow_compute",
        "Takes the given seconds; a task where the client knows tasks",
        {
            "type": "object",
            "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
            "required": ["seconds"],
        },
    ),
    _tool("failing_job", "A task that ends in a tool error"),
    _tool("protocol_error_job", "A task that ends in a protocol error"),
    _tool("confirm_delete", "A task that asks once", _one("filename", "string", "What to delete")),
    _tool("multi_input", "A task that asks twice at the same time"),
    _tool("test_tool_with_task", "Asks first, then goes on as a task"),
)

RESOURCES: tuple[types.Resource, ...] = (
    types.Resource(
        uri="test://static-text",
        name="Static Text Resource",
        description="A static text resource for testing",
        mime_type="text/plain",
    ),
    types.Resource(
        uri="test://static-binary",
        name="Static Binary Resource",
        description="A static binary resource (image) for testing",
        mime_type="image/png",
    ),
    types.Resource(
        uri="test://watched-resource",
        name="Watched Resource",
        description="A resource that can be subscribed to",
        mime_type="text/plain",
    ),
)

TEMPLATE = types.ResourceTemplate(
    uri_template="test://template/{id}/data",
    name="Resource Template",
    description="A resource template with parameter substitution",
    mime_type="application/json",
)


def _argument(name: str, description: str) -> types.PromptArgument:
    return types.PromptArgument(name=name, description=description, required=True)


PROMPTS: tuple[types.Prompt, ...] = (
    types.Prompt(name="test_simple_prompt", description="A prompt without arguments"),
    types.Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with required arguments",
        arguments=[_argument("arg1", "First test argument"), _argument("arg2", "Second test argument")],
    ),
    types.Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt that embeds a resource",
        arguments=[_argument("resourceUri", "URI of the resource to embed")],
    ),
    types.Prompt(name="test_prompt_with_image", description="A prompt with an image"),
    types.Prompt(name="test_input_required_result_prompt", description="A prompt that needs input"),
    types.Prompt(name=SWITCHED_PROMPT, description="Comes and goes"),
)


def text(words: str) -> types.TextContent:
    """Return one text content."""
    return types.TextContent(type="text", text=words)


def done(words: str, *, is_error: bool = False) -> types.CallToolResult:
    """Return a finished result of one text."""
    return types.CallToolResult(content=[text(words)], is_error=is_error)


def _embedded(uri: str, mime_type: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    )


def _image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def fixed_result(tool: str, arguments: dict[str, Any]) -> types.CallToolResult | None:
    """Return what a tool answers that asks nobody and waits for nothing; None for all others."""
    match tool:
        case "test_simple_text":
            return done("This is a simple text response for testing.")
        case "test_image_content":
            return types.CallToolResult(content=[_image()])
        case "test_audio_content":
            return types.CallToolResult(
                content=[types.AudioContent(type="audio", data=TONE, mime_type="audio/wav")]
            )
        case "test_embedded_resource":
            return types.CallToolResult(
                content=[
                    _embedded(
                        "test://embedded-resource", "text/plain", "This is an embedded resource content."
                    )
                ]
            )
        case "test_multiple_content_types":
            mixed = _embedded(
                "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
            )
            return types.CallToolResult(content=[text("Multiple content types test:"), _image(), mixed])
        case "test_error_handling":
            return done("This tool intentionally returns an error for testing", is_error=True)
        case "greet":
            return done(f"Hello, {arguments.get('name')}!")
        case "json_schema_2020_12_tool" | "test_x_mcp_header" | "test_switched_tool":
            return done(f"{tool} was called")
        case _:
            return None


def read(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    """Return the content behind `uri`, or None where there is nothing."""
    match uri:
        case "test://static-text":
            words = "This is the content of the static text resource."
            return types.TextResourceContents(uri=uri, mime_type="text/plain", text=words)
        case "test://static-binary":
            return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
        case "test://watched-resource":
            return types.TextResourceContents(
                uri=uri, mime_type="text/plain", text="Watched resource content"
            )
        case _ if uri.startswith("test://template/") and uri.endswith("/data"):
            key = uri.removeprefix("test://template/").removesuffix("/data")
            body = {"id": key, "templateTest": True, "data": f"Data for ID: {key}"}
            return types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(body))
        case _:
            return None


def _said(*parts: types.TextContent | types.ImageContent | types.EmbeddedResource) -> types.GetPromptResult:
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=part) for part in parts])


def prompt(name: str, arguments: dict[str, str]) -> types.GetPromptResult | None:
    """Return the messages of a prompt that needs no input; None where there is no such prompt."""
    match name:
        case "test_simple_prompt":
            return _said(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            one, two = arguments.get("arg1"), arguments.get("arg2")
            return _said(text(f"Prompt with arguments: arg1='{one}', arg2='{two}'"))
        case "test_prompt_with_embedded_resource":
            uri = arguments.get("resourceUri", "test://embedded-resource")
            embedded = _embedded(uri, "text/plain", "Embedded resource content for testing.")
            return _said(embedded, text("Please process the embedded resource above."))
        case "test_prompt_with_image":
            return _said(_image(), text("Please analyze the image above."))
        case "test_switched_prompt":
            return _said(text("This prompt comes and goes."))
        case _:
            return None
