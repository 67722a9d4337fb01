"""The gateway on a real socket, with SDK clients and tool servers of both protocol eras on both sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError
from pydantic import FileUrl

from interlock.core.bundle import compile_bundle
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Rule
from interlock.core.document.tool import Companion, Tool
from interlock.core.document.workflow import Grant
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.core.undo_check import check_undos
from interlock.services.close_run import close_run
from interlock.store import pins
from interlock.store.schema import audit
from mcp import Client
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop

BOTH = [("auto", []), ("auto", ["--legacy"]), ("legacy", []), ("legacy", ["--legacy"])]
IDS = ["modern-modern", "modern-legacy", "legacy-modern", "legacy-legacy"]
TOOLS = (
    "echo",
    "count",
    "fail",
    "progress",
    "log",
    "ask",
    "sample",
    "roots",
    "rich",
    "touch",
    "drift",
    "slow",
)
Story = Callable[[Gateway], Awaitable[None]]


def tools(*names: str, server: str = "shop", tier: RiskTier = RiskTier.READ_ONLY) -> list[Tool]:
    return [a_tool(f"{server}.{name}", tier) for name in names]


def play(documents: tuple[AnyDocument, ...], data: Path, story: Story, **settings: Any) -> None:
    async def run() -> None:
        async with a_gateway(documents, data, **{"inline_wait": 0, "call_timeout": 5, **settings}) as gateway:
            await story(gateway)

    asyncio.run(run())


async def elicit(_context: Any, _params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Zoe"})


async def sample(_context: Any, _params: Any) -> types.CreateMessageResult:
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(type="text", text="a thought"), model="m"
    )


async def roots(_context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///home"))])


ANSWERS: dict[str, Any] = {
    "elicitation_callback": elicit,
    "sampling_callback": sample,
    "list_roots_callback": roots,
}


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], types.TextContent)
    return result.content[0].text


@pytest.mark.parametrize(("mode", "era"), BOTH, ids=IDS)
def test_everything_passes_between_all_eras(mode: str, era: list[str], tmp_path: Path) -> None:
    heard: list[Any] = []
    steps: list[float] = []

    async def log(params: types.LoggingMessageNotificationParams) -> None:
        heard.append(params.data)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def story(gateway: Gateway) -> None:
        level = {"log_level": "debug"} if mode == "auto" else {}
        token = await gateway.token()
        async with gateway.client(token, mode=mode, logging_callback=log, **ANSWERS, **level) as client:
            result = await client.call_tool("echo", {"text": "hi"})
            assert result.content == [types.TextContent(type="text", text="hi")]
            assert (result.meta or {})["example.com/kept"] == 1
            assert (await client.call_tool("fail", {})).is_error is True
            assert (await client.call_tool("rich", {})).structured_content == {"n": 7}
            assert await said(client, "ask") == "accept: Zoe"
            assert await said(client, "sample") == "a thought"
            assert await said(client, "roots") == "file:///home"
            await client.call_tool("progress", {}, progress_callback=on_progress)
            assert steps == [1, 2, 3]
            await client.call_tool("log", {})
            assert heard == ["careful"]
            uris = [each.uri for each in (await client.list_resources()).resources]
            assert uris == ["shop://a", "shop://b"]
            read = await client.read_resource("shop://items/3")
            assert read.contents[0].text == "shop shop://items/3"  # pyright: ignore[reportAttributeAccessIssue]
            assert [each.name for each in (await client.list_prompts()).prompts] == ["greet"]
            prompt = await client.get_prompt("greet", {"who": "Ada"})
            assert prompt.messages[0].content.text == "shop greets Ada"  # pyright: ignore[reportAttributeAccessIssue]
            done = await client.complete(types.PromptReference(name="greet"), {"name": "who", "value": "A"})
            assert done.completion.values == ["A!"]

    documents = a_manifest(
        [workshop("shop", *era)],
        tools(*TOOLS),
        resources=("shop://*",),
        prompts=("greet",),
        sampling=True,
        elicitation=True,
        completion=True,
    )
    play(documents, tmp_path, story)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_what_is_not_granted_is_not_there(mode: str, tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        token = await gateway.token(scope=frozenset({"shop.echo", "shop.ask"}))
        async with gateway.client(token, mode=mode, **ANSWERS) as client:
            listed = [each.name for each in (await client.list_tools()).tools]
            assert listed == ["echo", "ask", "interlock_resume"]
            refused = await client.call_tool("count", {})
            assert refused.is_error is True
            assert (refused.structured_content or {})["status"] == "denied"
            assert (refused.structured_content or {})["gate"] == "scope"
            assert (await client.call_tool("no_such_tool", {})).is_error is True
            asked = await client.call_tool("ask", {})
            assert asked.is_error is True
            assert (await client.list_resources()).resources == []
            assert (await client.list_prompts()).prompts == []
            for request in (
                client.read_resource("shop://a"),
                client.get_prompt("greet", {"who": "x"}),
                client.complete(types.PromptReference(name="greet"), {"name": "who", "value": "A"}),
            ):
                with pytest.raises(MCPError) as error:
                    await request
                assert error.value.error.code == types.INVALID_PARAMS

    play(a_manifest([workshop("shop")], tools("echo", "count", "ask")), tmp_path, story)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_waiting_call_is_answered_pending_and_collected_later(mode: str, tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token(), mode=mode) as client:
            await client.list_tools()  # a strict client now checks results against their schemas
            waiting = await client.call_tool("rich", {})
            pending = waiting.structured_content or {}
            assert waiting.is_error is False
            assert pending["status"] == "pending_approval"
            again = await client.call_tool("rich", {})
            assert (again.structured_content or {})["approval_id"] == pending["approval_id"]
            collected = await client.call_tool("interlock_resume", {"approval_id": pending["approval_id"]})
            assert (collected.structured_content or {})["status"] == "pending_approval"
        async with gateway.client(await gateway.token("other"), mode=mode) as stranger:
            foreign = await stranger.call_tool("interlock_resume", {"approval_id": pending["approval_id"]})
            assert foreign.is_error is True

    play(a_manifest([workshop("shop")], tools("rich", tier=RiskTier.HIGH_BLAST_RADIUS)), tmp_path, story)


def test_a_refusal_says_which_rule_and_what_next(tmp_path: Path) -> None:
    rule = Rule(id="no-shouting", tool="shop.echo", when={"args.text": "HEY"}, then=Verdict.DENY)

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            refused = await client.call_tool("echo", {"text": "HEY"})
            assert refused.is_error is True
            assert (refused.structured_content or {})["rule"] == "no-shouting"
            assert "Nothing was sent" in str(refused.content[0])

    play(a_manifest([workshop("shop")], tools("echo"), rules=(rule,)), tmp_path, story)


def test_agents_share_no_state_of_a_server(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as one:
            assert [await said(one, "count") for _ in range(2)] == ["1", "2"]
        async with gateway.client(await gateway.token("other")) as two:
            assert await said(two, "count") == "1"

    play(a_manifest([workshop("shop")], tools("count")), tmp_path, story)


def test_a_closed_run_is_refused_on_its_next_call(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        token = await gateway.token()
        wired = gateway.wired
        async with gateway.client(token) as client:
            assert await said(client, "echo", text="x") == "x"
            run = wired.authenticator.verify(token).run
            await close_run(store=wired.store, memory=wired.memory, run=run, reason="stop", by="test")
            with pytest.raises(MCPError):
                await client.call_tool("echo", {"text": "x"})

    play(a_manifest([workshop("shop")], tools("echo")), tmp_path, story)


@pytest.mark.parametrize("era", [[], ["--legacy"]], ids=["modern", "legacy"])
def test_a_tool_that_changes_is_disabled_until_a_person_accepts_it(era: list[str], tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        wired = gateway.wired
        async with gateway.client(await gateway.token()) as client:
            assert await said(client, "echo", text="x") == "x"
            before = wired.memory.pins["shop.echo"].digest
            await client.call_tool("drift", {})
            async with asyncio.timeout(10):
                while not wired.memory.pins["shop.echo"].drifted:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert "echo" not in [each.name for each in (await client.list_tools()).tools]
            refused = await client.call_tool("echo", {"text": "x"})
            assert refused.is_error is True
            await wired.registrar.accept("shop.echo", person="deng", reason="the new field is harmless")
            assert wired.memory.pins["shop.echo"].digest != before
            assert await said(client, "echo", text="again") == "again"
        kinds = await wired.store.read(lambda each: [row.kind for row in each.execute(audit.select())])
        assert {"tool.registered", "tool.drifted", "tool.accepted"} <= set(kinds)

    stateless = workshop("shop", *era, stateless=True)
    play(a_manifest([stateless], tools("echo", "drift")), tmp_path, story)


@pytest.mark.parametrize("era", [[], ["--legacy"]], ids=["modern", "legacy"])
def test_undos_are_held_against_what_a_tool_last_said_of_its_results(era: list[str], tmp_path: Path) -> None:
    server, mapped = workshop("shop", *era, stateless=True), tools("rich", "restate")
    undo = Companion(tool="shop.note", arguments={"text": "$result.n", "file": "a"})
    note = replace(a_tool("shop.note", RiskTier.LIMITED_WRITE), effect=EffectClass.IDEMPOTENT)
    undone = replace(a_tool("shop.rich", RiskTier.LIMITED_WRITE), undo=undo)
    declared = a_manifest([server], [undone, note, mapped[1]])

    async def story(gateway: Gateway) -> None:
        wired = gateway.wired
        bundle = compile_bundle(declared, environment="production")

        async def told() -> list[str]:
            shapes = await wired.store.read(pins.shapes)
            return [each.message for each in check_undos(bundle, shapes)]

        assert await told() == ["shop.note takes 'text' as string, not as integer"]
        async with gateway.client(await gateway.token()) as client:
            await client.call_tool("restate", {})
            async with asyncio.timeout(10):
                while await told() != ["the tool's result has no 'n'"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert not wired.memory.pins["shop.rich"].drifted

    play(a_manifest([server], [*mapped, *tools("note")]), tmp_path, story)


def test_clashing_names_are_told_apart(tmp_path: Path) -> None:
    documents = a_manifest(
        [workshop("one"), workshop("two")],
        [*tools("echo", "fail", server="one"), *tools("echo", server="two")],
        resources=("shop://*",),
        prompts=("one.greet", "two.greet"),
    )

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            names = [each.name for each in (await client.list_tools()).tools]
            assert names == ["one__echo", "fail", "two__echo", "interlock_resume"]
            read = await client.read_resource("two+shop://a")
            assert read.contents[0].text == "two shop://a"  # pyright: ignore[reportAttributeAccessIssue]
            prompt = await client.get_prompt("one__greet", {"who": "Ada"})
            assert prompt.messages[0].content.text == "one greets Ada"  # pyright: ignore[reportAttributeAccessIssue]

    play(documents, tmp_path, story)


def test_a_legacy_session_belongs_to_its_run(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        mine, theirs = await gateway.token(), await gateway.token("other")
        async with httpx2.AsyncClient(verify=False) as http:
            opened = await _post(http, gateway, mine, _initialize())
            session = opened.headers["mcp-session-id"]
            body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
            stolen = await _post(http, gateway, theirs, body, **{"mcp-session-id": session})
            assert stolen.status_code == 404

    play(a_manifest([workshop("shop")], tools("echo")), tmp_path, story)


BAD = [
    (b"{not json", 400, -32700),
    (b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]', 400, -32600),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}', 400, -32600),
    (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * 90 + b"1" + b"}" * 91,
        400,
        -32600,
    ),
    (b'{"x":"' + b"y" * 200_000 + b'"}', 413, -32600),
    (b"\xff\xfe", 400, -32700),
]


def test_what_is_not_understood_is_not_let_in(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        token = await gateway.token()
        async with httpx2.AsyncClient(verify=False) as http:
            for body, status, code in BAD:
                answer = await _post(http, gateway, token, body)
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    play(a_manifest([], []), tmp_path, story, max_body=100_000)


def test_nobody_gets_in_without_a_token_or_from_another_site(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        token = await gateway.token()
        async with httpx2.AsyncClient(verify=False) as http:
            nobody = await _post(http, gateway, "", _initialize())
            assert nobody.status_code == 401
            assert "resource_metadata=" in nobody.headers["www-authenticate"]
            forged = await _post(http, gateway, token[:-6] + "AAAAAA", _initialize())
            assert forged.status_code == 401
            metadata = nobody.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
            assert (await http.get(metadata)).json()["resource"] == gateway.url
            for header in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
                assert (await _post(http, gateway, token, _initialize(), **header)).status_code == 403

    play(a_manifest([], []), tmp_path, story)


def _initialize() -> dict[str, Any]:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


async def _post(
    http: httpx2.AsyncClient, gateway: Gateway, token: str, body: Any, **headers: str
) -> httpx2.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    if token:
        sent["authorization"] = f"Bearer {token}"
    return await http.post(gateway.url, content=raw, headers=sent)


def test_a_grant_may_narrow_a_tool_by_its_arguments(tmp_path: Path) -> None:
    granted = (Grant(tool="shop.echo", where={"args.text": {"prefix": "ok"}}),)

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            assert await said(client, "echo", text="ok then") == "ok then"
            refused = await client.call_tool("echo", {"text": "no"})
            assert (refused.structured_content or {})["near_misses"]

    play(a_manifest([workshop("shop")], tools("echo"), granted=granted), tmp_path, story)
