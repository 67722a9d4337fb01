"""Servers that are not ours, behind the gateway as it is shipped: a git repository behind `mcp-server-git`,
and `@modelcontextprotocol/server-everything` over stdio and over streamable HTTP.

The clients are the SDK's own, in both protocol eras, and reach the gateway as a program under `interlock run`
does. Node comes from the wheel; nothing here is ever skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import mcp_types as types
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from tests.conformance import gateway as served
from tests.conformance import node
from tests.conformance.children import free_port, running, wait_for_port

pytestmark = pytest.mark.long(30, together=True)

Result = TypeVar("Result")
ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
EVERYTHING = (
    "echo",
    "get-sum",
    "get-tiny-image",
    "get-structured-content",
    "trigger-elicitation-request",
    "trigger-long-running-operation",
    "trigger-sampling-request",
)
ARCHITECTURE = "demo://resource/static/document/architecture.md"


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True, timeout=30
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "config", "user.name", "Release agent")
    git(folder, "config", "user.email", "agent@example.com")
    (folder / "CHANGES").write_text("first\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "The first commit")
    return folder


@pytest.fixture(scope="module")
def everything_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The everything server over streamable HTTP."""
    log = tmp_path_factory.mktemp("everything") / "everything.log"
    port = free_port()
    command = [*_everything(), "streamableHttp"]
    with running(command, log=log, environment={**os.environ, "PORT": str(port)}) as child:
        wait_for_port(child, port, log=log)
        yield f"http://127.0.0.1:{port}/mcp"


def _everything() -> list[str]:
    return node.ready().script("@modelcontextprotocol/server-everything/dist/index.js")


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "interlock/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _tool(name: str, tier: str, effect: str, **more: Any) -> dict[str, Any]:
    reach = {"widest_scope": "one repository", "impact": "a wrong commit", "reversible": "window"}
    return _document("Tool", name, {"tier": tier, "effect": effect, "blast_radius": reach, **more})


def _workflow(name: str, tools: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    spec = {"agent": "release-bot", "owner": "deng", "tools": tools, "approvals": {"approvers": ["maria"]}}
    return _document("Workflow", name, {**spec, **more})


def _manifest(repository: Path, everything_url: str) -> str:
    here = {"args.repo_path": str(repository)}
    unstage = {"tool": "git.git_reset", "arguments": {"repo_path": "$args.repo_path"}, "within": "24h"}
    servers = {
        "git": [sys.executable, "-m", "mcp_server_git", "--repository", str(repository)],
        "local": [*_everything(), "stdio"],
    }
    granted = {
        server: [{"tool": f"{server}.{tool}"} for tool in EVERYTHING] for server in ("local", "remote")
    }
    asking = {"sampling": True, "elicitation": True}
    beside = {"resources": [ARCHITECTURE], "prompts": ["simple-prompt"], **asking}
    documents = [
        _document("Person", "maria", {"email": "maria@example.com", "roles": ["admin", "approver"]}),
        _document("Person", "deng", {"email": "deng@example.com", "roles": ["agent_owner"]}),
        _document("Agent", "release-bot", {"owner": "deng", "purpose": "Keeps the change log"}),
        *(
            _document("ToolServer", name, {"transport": "stdio", "command": command})
            for name, command in servers.items()
        ),
        _document("ToolServer", "remote", {"transport": "http", "url": everything_url}),
        *(_tool(f"git.{name}", "read_only", "read") for name in ("git_status", "git_log")),
        _tool("git.git_add", "limited_write", "idempotent", undo=unstage),
        _tool("git.git_reset", "limited_write", "idempotent"),
        _tool("git.git_commit", "limited_write", "once"),
        _tool("git.git_create_branch", "limited_write", "once"),
        *(
            _tool(f"{server}.{tool}", "read_only", "read")
            for server in ("local", "remote")
            for tool in EVERYTHING
        ),
        _workflow(
            "release",
            [
                *({"tool": f"git.{name}", "where": here} for name in ("git_status", "git_log", "git_add")),
                {"tool": "git.git_commit", "where": here},
            ],
        ),
        _workflow("stdio", granted["local"], **beside),
        _workflow("http", granted["remote"], **beside),
        _workflow("both", granted["local"] + granted["remote"]),
    ]
    return "".join(f"---\n{json.dumps(document)}\n" for document in documents)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, everything_url: str
) -> Generator[served.Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with served.serving(folder, _manifest(repository, everything_url), INTERLOCK_INLINE_WAIT="1") as running_:
        yield running_


@pytest.fixture(scope="module")
def addresses(gateway: served.Gateway) -> Generator[Callable[[str], str]]:
    """The address of a run of each workflow, opened when first asked for."""
    with ExitStack() as stack:
        known: dict[str, str] = {}

        def address(workflow: str) -> str:
            if workflow not in known:
                known[workflow] = stack.enter_context(served.run_of(gateway, workflow))
            return known[workflow]

        yield address


def use(url: str, era: str, work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Connect an SDK client of one era and do `work` with it."""

    async def connected() -> Result:
        async with Client(url, mode=era) as client:
            return await asyncio.wait_for(work(client), 30)

    return asyncio.run(connected())


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


async def refusal(call: Awaitable[types.CallToolResult]) -> str:
    """Return why a call was refused, as an error or as an error result; fails if it was not."""
    try:
        result = await call
    except MCPError as error:
        return error.error.message
    assert result.is_error, f"not refused: {result}"
    return text_of(result)


@ERAS
def test_reads_of_a_real_repository_pass(addresses: Callable[[str], str], repository: Path, era: str) -> None:
    async def read(client: Client) -> tuple[str, str]:
        where = {"repo_path": str(repository)}
        status = await client.call_tool("git_status", where)
        log = await client.call_tool("git_log", {**where, "max_count": 100})
        return text_of(status), text_of(log)

    status, log = use(addresses("release"), era, read)
    assert "On branch main" in status
    assert "The first commit" in log


@ERAS
def test_tools_out_of_scope_are_neither_listed_nor_called(
    addresses: Callable[[str], str], repository: Path, era: str
) -> None:
    async def overstep(client: Client) -> tuple[set[str], str]:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        branch = {"repo_path": str(repository), "branch_name": "sneaky"}
        return listed, await refusal(client.call_tool("git_create_branch", branch))

    listed, why = use(addresses("release"), era, overstep)
    assert listed - {"interlock_resume"} == {"git_status", "git_log", "git_add", "git_commit"}
    assert why
    assert "sneaky" not in git(repository, "branch", "--list")


@ERAS
def test_another_repository_is_refused_with_the_one_that_is_granted(
    addresses: Callable[[str], str], repository: Path, tmp_path: Path, era: str
) -> None:
    async def stray(client: Client) -> str:
        return await refusal(client.call_tool("git_status", {"repo_path": str(tmp_path)}))

    assert str(repository) in use(addresses("release"), era, stray)


@ERAS
def test_a_commit_waits_for_its_approver_and_happens_once(
    gateway: served.Gateway, addresses: Callable[[str], str], repository: Path, era: str
) -> None:
    message = f"Written by an agent that was asked to wait ({era})"
    commit = {"repo_path": str(repository), "message": message}
    (repository / f"CHANGES-{era}").write_text("second\n")

    async def propose(client: Client) -> types.CallToolResult:
        await client.call_tool("git_add", {"repo_path": str(repository), "files": [f"CHANGES-{era}"]})
        return await client.call_tool("git_commit", commit)

    waiting = use(addresses("release"), era, propose)
    assert waiting.structured_content is not None
    approval = waiting.structured_content["approval_id"]
    assert waiting.structured_content["status"] == "pending_approval"
    assert message not in git(repository, "log")

    gateway.call("approvals", "approve", approval, "--reason", "The change log is right")

    async def collect(client: Client) -> types.CallToolResult:
        first = await client.call_tool("interlock_resume", {"approval_id": approval})
        await client.call_tool("interlock_resume", {"approval_id": approval})
        return first

    done = use(addresses("release"), era, collect)
    assert not done.is_error, text_of(done)
    assert git(repository, "log", "--format=%s").splitlines().count(message) == 1


@ERAS
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_everything_server_works_through_the_gateway(
    addresses: Callable[[str], str], transport: str, era: str
) -> None:
    async def exercise(client: Client) -> None:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed - {"interlock_resume"} == set(EVERYTHING)
        assert "hello" in text_of(await client.call_tool("echo", {"message": "hello"}))
        assert "5" in text_of(await client.call_tool("get-sum", {"a": 2, "b": 3}))
        image = await client.call_tool("get-tiny-image", {})
        assert any(isinstance(part, types.ImageContent) for part in image.content)
        weather = await client.call_tool("get-structured-content", {"location": "Chicago"})
        assert weather.structured_content
        assert await refusal(client.call_tool("get-env", {}))

    use(addresses(transport), era, exercise)


@ERAS
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_real_server_may_ask_the_clients_user_and_model_where_that_is_granted(
    addresses: Callable[[str], str], transport: str, era: str
) -> None:
    async def elicited(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Alice", "check": True})

    async def sampled(context: object, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        content = types.TextContent(type="text", text="It is Paris.")
        return types.CreateMessageResult(role="assistant", content=content, model="a-model")

    async def exercise() -> tuple[str, str]:
        url = addresses(transport)
        async with Client(url, mode=era, elicitation_callback=elicited, sampling_callback=sampled) as client:
            form = await client.call_tool("trigger-elicitation-request", {})
            words = await client.call_tool("trigger-sampling-request", {"prompt": "Where?"})
        return text_of(form), text_of(words)

    form, words = asyncio.run(asyncio.wait_for(exercise(), 30))
    assert "Name: Alice" in form
    assert "It is Paris." in words


@ERAS
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_progress_of_a_real_server_arrives(addresses: Callable[[str], str], transport: str, era: str) -> None:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async def run(client: Client) -> types.CallToolResult:
        arguments = {"duration": 0.4, "steps": 4}
        return await client.call_tool("trigger-long-running-operation", arguments, progress_callback=note)

    assert not use(addresses(transport), era, run).is_error
    assert seen == sorted(seen)
    assert len(seen) >= 3


@ERAS
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_granted_resources_and_prompts_of_a_real_server_pass_and_no_others(
    addresses: Callable[[str], str], transport: str, era: str
) -> None:
    async def exercise(client: Client) -> None:
        assert [str(each.uri) for each in (await client.list_resources()).resources] == [ARCHITECTURE]
        assert (await client.read_resource(ARCHITECTURE)).contents
        with pytest.raises(MCPError):
            await client.read_resource(ARCHITECTURE.replace("architecture", "features"))
        assert [each.name for each in (await client.list_prompts()).prompts] == ["simple-prompt"]
        assert (await client.get_prompt("simple-prompt")).messages
        with pytest.raises(MCPError):
            await client.get_prompt("args-prompt", {"city": "Oslo"})

    use(addresses(transport), era, exercise)


def test_a_name_that_two_servers_offer_is_told_apart_by_its_server(
    addresses: Callable[[str], str],
) -> None:
    async def exercise(client: Client) -> set[str]:
        for server in ("local", "remote"):
            said = await client.call_tool(f"{server}__echo", {"message": server})
            assert server in text_of(said)
        return {tool.name for tool in (await client.list_tools()).tools}

    listed = use(addresses("both"), "2026-07-28", exercise)
    assert {f"{server}__{tool}" for server in ("local", "remote") for tool in EVERYTHING} <= listed
