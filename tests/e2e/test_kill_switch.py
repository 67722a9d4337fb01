"""The kill switch over real processes: from press to refusal, what is told, and without a database (B5).

A server, its tool server, an SDK client that goes on calling, commands of two people, a webhook receiver.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import statistics
import subprocess
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp import Client
from support.receivers import Hook, hook
from support.served import (
    SHOP,
    Served,
    apply,
    environment,
    read_tool,
    served,
    serving,
    status,
    text,
    tool,
    until,
    workflow,
)  # fmt: skip
from support.stores import PostgresForTests
from support.warm import INTERLOCK, REAL

UNDO = ", undo: {tool: shop.echo, arguments: {}}"
DENG = """---
apiVersion: interlock/v1
kind: Person
metadata: {name: deng}
spec:
  email: deng@example.com
  roles: [operator]
  channels: {webhook: "HOOK"}
---
apiVersion: interlock/v1
kind: Team
metadata: {name: oncall}
spec: {members: [deng]}
"""
ESCALATION = ", approvals: {approvers: [maria], escalation: [oncall]}"
KEY = "a key between us and the receiver"
FLOOR = 1.0
MASTER = b64encode(b"m" * 32).decode()
STARTING = 3.0
"""What a loaded machine may need to start a Python process; the press itself is measured through the API."""


def a_manifest(receiver: str = "https://hooks.example.com") -> str:
    tools = read_tool("shop.echo") + tool("shop.hang", "limited_write", "once", UNDO)
    people = DENG.replace("HOOK", receiver)
    return SHOP + people + tools + workflow("shop.echo", "shop.hang", more=ESCALATION)


def cut_off(server: PostgresForTests, name: str) -> None:
    """Let nobody reach a database any more, as if its server were gone."""
    server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


async def refused_after(client: Client, press: Any) -> float:
    """Go on calling until a call is refused; return the seconds since it was pressed."""
    pressing = asyncio.ensure_future(asyncio.to_thread(press))
    for number in itertools.count():  # the same call again and again would open a breaker
        result = await client.call_tool("echo", {"text": f"{time.monotonic()} {number}"})
        if status(result) == "denied":
            seen = time.monotonic()
            assert "stopped" in text(result)
            return seen - await pressing
    raise AssertionError("nothing was refused")


def test_from_press_to_refusal_of_the_next_call_takes_less_than_a_second(
    tmp_path: Path, postgres_server: PostgresForTests
) -> None:
    """The server is one process, who presses another; the command's own start counts in its figure."""
    database = {"INTERLOCK_DATABASE": postgres_server.database(), "INTERLOCK_SELF_APPROVE": "1"}
    with served(tmp_path / "d", a_manifest(), **database) as server:
        headers = {"Authorization": f"Bearer {server.person()}"}

        def through_the_api() -> float:
            began = time.monotonic()
            order = {"scope": "tool", "name": "shop.echo", "reason": "a drill"}
            httpx2.post(
                f"{server.url}/api/v1/kills", json=order, headers=headers, timeout=30
            ).raise_for_status()
            return began

        def through_the_command() -> float:
            began = time.monotonic()
            assert server.cli("kill", "tool", "shop.echo", "--reason", "a drill").returncode == 0
            return began

        def through_the_file() -> float:
            began = time.monotonic()
            done = server.cli("kill", "tool", "shop.echo", "--reason", "a drill", "--offline")
            assert done.returncode == 0, done.stderr
            return began

        async def story() -> dict[str, float]:
            found: dict[str, float] = {}
            async with server.over_http(server.token("work")) as client:
                ways = {"api": through_the_api, "command": through_the_command, "file": through_the_file}
                for way, press in ways.items():
                    taken: list[float] = []
                    for _ in range(5 if way == "api" else 1):
                        taken.append(await refused_after(client, press))
                        await asyncio.to_thread(resume_all, server)
                    found[way] = statistics.median(taken)
            return found

        medians = asyncio.run(story())
        print(medians)  # noqa: T201 - shown with -s, for whoever measures
        assert medians["api"] < FLOOR, medians
        assert medians["file"] < FLOOR + STARTING, medians
        assert medians["command"] < FLOOR + STARTING, medians


def resume_all(server: Served) -> None:
    headers = {"Authorization": f"Bearer {server.person()}"}
    for kill in server.api("kills")["items"]:
        url = f"{server.url}/api/v1/kills/{kill['id']}/resume"
        httpx2.post(url, json={"reason": "the drill is over"}, headers=headers, timeout=30).raise_for_status()


def test_a_stop_is_told_reported_and_resumed_by_two(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async def story() -> None:
        async with hook() as receiver:
            settings = {"INTERLOCK_NOTIFY_PRIVATE": "1", "INTERLOCK_WEBHOOK_KEY": KEY}
            with served(tmp_path / "d", a_manifest(receiver.url), **settings) as server:
                kill = await stop_while_it_runs(server)
                await asyncio.to_thread(until, lambda: receiver.got)
                told(server, receiver, kill)
                await asyncio.to_thread(resume_by_two, server, kill)
                async with server.over_http(server.token("work")) as client:
                    assert status(await client.call_tool("echo", {"text": "x"})) == "done"

    async def stop_while_it_runs(server: Served) -> str:
        async with server.over_http(server.token("work")) as client:
            hanging = asyncio.ensure_future(client.call_tool("hang", {"file": str(notes)}))
            await asyncio.to_thread(until, notes.exists)
            pressed = ("kill", "workflow", "work", "--reason", "odd refunds")
            report = await asyncio.to_thread(server.json, *pressed)
            assert report["refusing"] is report["recorded"] is True
            assert len(report["processes"][0]["runs_ended"]) == 1
            assert status(await asyncio.wait_for(hanging, 10)) == "in_doubt"
        again = (await asyncio.to_thread(server.api, f"kills/{report['kill']}"))["report"]
        assert again["in_flight"] == []
        assert [each["what"] for each in again["in_doubt"]] == ["tool shop.hang"]
        assert any("program goes on running" in each for each in again["cannot_reach"])
        shown = await asyncio.to_thread(server.cli, "kill", "show", report["kill"])
        assert "in doubt" in shown.stdout
        return report["kill"]

    asyncio.run(story())


def _by_webhook(server: Served, event: str) -> dict[str, str]:
    shown = server.json("alerts", "show", event)
    return {each["name"]: each["state"] for each in shown["deliveries"] if each["channel"] == "webhook"}


def told(server: Served, receiver: Hook, kill: str) -> None:
    headers, body = receiver.got[0]
    stamped = headers["x-interlock-timestamp"].encode() + b"." + body
    assert headers["x-interlock-signature"] == "v1=" + hmac.new(KEY.encode(), stamped, "sha256").hexdigest()
    notice = json.loads(body)
    assert (notice["kind"], notice["facts"]["kill"]) == ("kill.pressed", kill)
    (event,) = server.api("alerts")["items"]
    until(lambda: _by_webhook(server, event["id"]) == {"deng": "delivered"})  # noted once it has answered
    assert receiver.url not in json.dumps(server.json("alerts", "show", event["id"])), (
        "the path of a webhook may be a secret"
    )
    mails = server.api("alerts/deliveries?state=given_up")["items"]
    assert {each["problem"] for each in mails} == {"no mail server is set: INTERLOCK_SMTP"}
    assert {each["runbook"] for each in server.api("alerts/rules")["items"]} == {"template"}
    (incident,) = server.api("incidents")["items"]
    assert incident["id"] == event["incident"]
    assert server.json("incidents", "close", incident["id"], "--reason", "a loop")["state"] == "closed"
    assert server.api("incidents")["items"] == []


def resume_by_two(server: Served, kill: str) -> None:
    first = server.cli("kill", "resume", kill, "--reason", "found it")
    assert "another person" in first.stdout
    assert server.cli("kill", "resume", kill, "--reason", "again").returncode == 1
    (listed,) = server.api("kills")["items"]
    assert (listed["state"], listed["proposed_by"]) == ("proposed", "maria")
    dengs = server.json("token", "create", "--person", "deng")["token"]
    as_deng = replace(server, settings={**server.settings, "INTERLOCK_TOKEN": dengs})
    second = as_deng.cli("kill", "resume", kill, "--reason", "saw it too")
    assert "Resumed: proposed by maria, confirmed by deng." in second.stdout, second.stderr
    assert server.api("kills")["items"] == []
    assert server.api("kills?all=1")["items"][0]["state"] == "resumed"


def test_what_does_not_exist_is_not_stopped_and_said_so(tmp_path: Path) -> None:
    with served(tmp_path / "d", a_manifest()) as server:
        wrong = server.cli("kill", "workflow", "wrok", "--reason", "typo")
        assert wrong.returncode != 0
        assert "Did you mean work?" in wrong.stderr
        assert server.cli("kill", "tool", "shop.echo", "--level", "pause", "--reason", "x").returncode == 2
        assert server.cli("kill", "environment", "production", "--reason", "x").returncode != 0
        assert server.cli("kill", "all", "--reason", " ").returncode == 2
        assert server.cli("kill", "workflow", "", "--reason", "x").returncode == 2
        assert server.api("kills")["items"] == []


def test_a_kill_of_everything_reaches_the_other_process_of_the_database(
    tmp_path: Path, postgres_server: PostgresForTests
) -> None:
    database = {"INTERLOCK_DATABASE": postgres_server.database(), "INTERLOCK_MASTER_KEY": MASTER}
    with served(tmp_path / "one", a_manifest(), **database) as one:
        others = {**database, "INTERLOCK_ENVIRONMENT": "staging", "INTERLOCK_TOKEN": one.person()}
        with served(tmp_path / "two", a_manifest(), **others) as two:
            headers = {"Authorization": f"Bearer {one.person()}"}

            def refusing() -> Any:
                found = httpx2.get(f"{two.url}/api/v1/kills/{kill}", headers=headers, timeout=30).json()
                return found["report"] if found["report"]["refusing"] else None

            began = time.monotonic()
            order = {"scope": "all", "reason": "a drill"}
            pressed = httpx2.post(f"{one.url}/api/v1/kills", json=order, headers=headers, timeout=30)
            kill = pressed.raise_for_status().json()["kill"]
            until(refusing)
            assert time.monotonic() - began < FLOOR + STARTING
            until(lambda: len(one.api(f"kills/{kill}")["report"]["processes"]) == 2)


def test_the_file_waits_for_a_process_that_starts_and_is_on_record_then(tmp_path: Path) -> None:
    apply(tmp_path / "d", a_manifest())

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        known = environment(tmp_path / "d")
        line = [*INTERLOCK, "kill", *words]
        return subprocess.run(line, env=known, capture_output=True, text=True, timeout=60)

    written = command("agent", "bot", "--reason", "nobody is here", "--offline")
    assert written.returncode == 3
    assert "no process has said that it obeys" in written.stdout
    (kill,) = json.loads(command("list", "--json").stdout)["items"]
    assert (kill["subject"], kill["source"], kill["reason"]) == ("agent:bot", "file", "nobody is here")
    with serving(tmp_path / "d") as server, pytest.raises(AssertionError, match="No new run may start"):
        server.token("work")


def test_it_works_with_the_database_down_and_is_on_record_once_it_is_back(
    tmp_path: Path, postgres_server: PostgresForTests
) -> None:
    url = postgres_server.database()
    name = url.partition("?")[0].rpartition("/")[2]
    with served(tmp_path / "d", a_manifest(), REAL, INTERLOCK_DATABASE=url) as server:

        async def story() -> None:
            async with server.over_http(server.token("work")) as client:
                assert status(await client.call_tool("echo", {"text": "x"})) == "done"
                await asyncio.to_thread(cut_off, postgres_server, name)
                pressed = await asyncio.to_thread(server.cli, "kill", "all", "--reason", "all is odd")
                assert pressed.returncode == 0, pressed.stdout + pressed.stderr
                assert f"Process {server.process.pid} obeys" in pressed.stdout
                refused = await client.call_tool("echo", {"text": "x"})
                assert status(refused) == "denied"
                assert "Everything is stopped" in text(refused)
                back = f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"
                await asyncio.to_thread(postgres_server.execute, back)

                def recorded() -> Any:
                    headers = {"Authorization": f"Bearer {server.person()}"}
                    found = httpx2.get(f"{server.url}/api/v1/kills", headers=headers, timeout=30)
                    return found.json()["items"] if found.is_success else None

                (kill,) = await asyncio.to_thread(until, recorded, seconds=30)
                assert (kill["source"], kill["subject"], kill["reason"]) == ("file", "*", "all is odd")
                assert kill["incident"]

        asyncio.run(story())
