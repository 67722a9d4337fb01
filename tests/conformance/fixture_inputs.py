"""Fixture tools that need something from the client: the user's answer, its model, its roots.

One question, two ways to put it: on 2026-07-28 the tool answers with an input-required result and is called
again; on earlier revisions it sends the request on the open stream and waits.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from tests.conformance.fixture_content import done

Context = ServerRequestContext[Any, Any]
Params = types.CallToolRequestParams | types.GetPromptRequestParams
Asked = types.InputRequests
Answers = dict[str, Any]

_KEY = secrets.token_bytes(32)


def is_modern(context: Context) -> bool:
    """Whether the caller speaks 2026-07-28."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def sign(state: str) -> str:
    """Return `state` with a MAC, to be handed to the client and back."""
    mac = hmac.new(_KEY, state.encode(), hashlib.sha256).hexdigest()
    return f"{state}.{mac}"


def unsign(signed: str) -> str:
    """Return the state that was signed; raises `MCPError` for any other text."""
    state, _, _ = signed.rpartition(".")
    if not hmac.compare_digest(sign(state), signed):
        raise MCPError(types.INVALID_PARAMS, "requestState fails its integrity check")
    return state


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> types.ElicitRequest:
    """Return a form to be shown to the user."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = list(properties) if required is None else required
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    """Return a question to the client's model."""
    content = types.TextContent(type="text", text=words)
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(
            messages=[types.SamplingMessage(role="user", content=content)], max_tokens=max_tokens
        )
    )


async def ask(
    context: Context, params: Params, asked: Asked, *, state: str | None = None
) -> types.InputRequiredResult | Answers:
    """Return the answers to `asked`, or what to answer the client so that it brings them."""
    if not is_modern(context):
        return {key: await _ask_now(context, request) for key, request in asked.items()}
    if params.request_state is not None:
        unsign(params.request_state)
    given = params.input_responses or {}
    if not asked.keys() <= given.keys():
        return types.InputRequiredResult(
            input_requests=asked, request_state=None if state is None else sign(state)
        )
    return {key: given[key] for key in asked}


async def _ask_now(context: Context, request: types.InputRequest) -> Any:
    metadata = ServerMessageMetadata(related_request_id=context.request_id)
    match request:
        case types.ElicitRequest():
            return await context.session.send_request(request, types.ElicitResult, metadata=metadata)
        case types.CreateMessageRequest():
            return await context.session.send_request(request, types.CreateMessageResult, metadata=metadata)
        case types.ListRootsRequest():
            return await context.session.send_request(request, types.ListRootsResult, metadata=metadata)


def _name() -> types.ElicitRequest:
    return form("What is your name?", {"name": {"type": "string"}})


def _defaults() -> types.ElicitRequest:
    return form(
        "Please review the form",
        {
            "name": {"type": "string", "description": "User name", "default": "John Doe"},
            "age": {"type": "integer", "description": "User age", "default": 30},
            "score": {"type": "number", "description": "User score", "default": 95.5},
            "status": {
                "type": "string",
                "description": "User status",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": {"type": "boolean", "description": "Verification status", "default": True},
        },
        [],
    )


def _enums() -> types.ElicitRequest:
    plain = ["option1", "option2", "option3"]
    titled = [
        {"const": f"value{number}", "title": f"{word} option"}
        for number, word in enumerate(("First", "Second", "Third"), 1)
    ]
    return form(
        "Please choose",
        {
            "untitledSingle": {"type": "string", "enum": plain},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        },
        [],
    )


def _questions(tool: str, arguments: dict[str, Any]) -> tuple[Asked, str | None] | None:
    """What a tool of one round asks, and whether it hands out a state."""
    match tool:
        case "test_sampling":
            return {"answer": sample(str(arguments.get("prompt", "")))}, None
        case "test_elicitation":
            properties = {
                "username": {"type": "string", "description": "User's response"},
                "email": {"type": "string", "description": "User's email address"},
            }
            return {"answer": form(str(arguments.get("message", "")), properties)}, None
        case "test_elicitation_sep1034_defaults":
            return {"answer": _defaults()}, None
        case "test_elicitation_sep1330_enums":
            return {"answer": _enums()}, None
        case "test_input_required_result_elicitation" | "test_streaming_elicitation":
            return {"user_name": _name()}, None
        case "test_input_required_result_sampling":
            return {"capital_question": sample("What is the capital of France?")}, None
        case "test_input_required_result_list_roots":
            return {"client_roots": types.ListRootsRequest()}, None
        case "test_input_required_result_request_state" | "test_input_required_result_tampered_state":
            return {"confirm": form("Please confirm", {"ok": {"type": "boolean"}})}, tool
        case "test_input_required_result_multiple_inputs":
            roots = types.ListRootsRequest()
            greeting = sample("Generate a greeting", 50)
            return {"user_name": _name(), "greeting": greeting, "client_roots": roots}, tool
        case _:
            return None


def _shown(answers: Answers) -> str:
    return json.dumps(
        {
            key: answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            for key, answer in answers.items()
        }
    )


async def interactive_result(
    context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult | None:
    """Run a tool that asks the client; None for all others."""
    if params.name == "test_input_required_result_multi_round":
        return await _two_rounds(context, params)
    if params.name == "test_input_required_result_capabilities":
        return await _what_the_client_can(context, params)
    questions = _questions(params.name, params.arguments or {})
    if questions is None:
        return None
    asked, state = questions
    if params.name == "test_streaming_elicitation":
        await context.session.report_progress(1, 2)
    outcome = await ask(context, params, asked, state=state)
    if isinstance(outcome, types.InputRequiredResult):
        return outcome
    return done(f"{params.name}: {'state-ok ' if state else ''}{_shown(outcome)}")


async def _two_rounds(
    context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    first: Asked = {"step1": form("Step 1: What is your name?", {"name": {"type": "string"}})}
    second: Asked = {"step2": form("Step 2: What is your favorite color?", {"color": {"type": "string"}})}
    if params.request_state is not None and unsign(params.request_state).startswith("round-2"):
        outcome = await ask(context, params, second, state="round-2")
    else:
        outcome = await ask(context, params, first, state="round-1")
        if not isinstance(outcome, types.InputRequiredResult):
            outcome = await ask(context, params, second, state="round-2:" + _shown(outcome))
    if isinstance(outcome, types.InputRequiredResult):
        return outcome
    return done(f"{params.name}: {_shown(outcome)}")


async def _what_the_client_can(
    context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    can = context.session.client_capabilities or types.ClientCapabilities()
    asked: Asked = {}
    if can.sampling is not None:
        asked["greeting"] = sample("Generate a greeting", 50)
    if can.elicitation is not None:
        asked["user_name"] = _name()
    if can.roots is not None:
        asked["client_roots"] = types.ListRootsRequest()
    outcome = await ask(context, params, asked)
    return outcome if isinstance(outcome, types.InputRequiredResult) else done(_shown(outcome))


async def prompt_with_input(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    """Run the prompt that needs the user's words."""
    asked: Asked = {
        "user_context": form("What context should the prompt use?", {"context": {"type": "string"}})
    }
    outcome = await ask(context, params, asked)
    if isinstance(outcome, types.InputRequiredResult):
        return outcome
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=_shown(outcome)))
    return types.GetPromptResult(messages=[message])
