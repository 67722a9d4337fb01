"""Attacks on a running server: other people's handles, forged headers, misleading names, wider roles.

Each test does what an attacker would, over real sockets, and asks the tool server what reached it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.core.canonical import digest
from interlock.web.api import NOUNS
from support.rpc import Wire, said
from support.served import Served, served, until
from support.warm import INTERLOCK

LEDGER = str(Path(__file__).parents[1] / "support" / "upstreams" / "ledger.py")
ROLES = ("viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin")
_MAP = "blast_radius: {widest_scope: none, impact: none, reversible: always}"


def manifest(ledgers: Path) -> str:
    """Everybody with one role each, and servers whose tools are named to be mistaken for each other."""
    documents = [
        "kind: Person\nmetadata: {name: maria}\nspec: {email: m@example.com, roles: [agent_owner, approver]}",
        "kind: Person\nmetadata: {name: nobody}\nspec: {email: n@example.com, roles: []}",
        *(
            f"kind: Person\nmetadata: {{name: {role.replace('_', '-')}}}\n"
            f"spec: {{email: {role}@example.com, roles: [{role}]}}"
            for role in ROLES
        ),
        "kind: Agent\nmetadata: {name: bot}\nspec: {owner: maria, backup: approver, purpose: test}",
        "kind: Agent\nmetadata: {name: other-bot}\nspec: {owner: maria, backup: approver, purpose: test}",
    ]
    tools = {"a": ("b__c", "interlock_resume", "write", "read"), "a__b": ("c",), "b": ("read",)}
    for server, names in tools.items():
        command = json.dumps([sys.executable, LEDGER, str(ledgers / server), *names])
        documents.append(
            f"kind: ToolServer\nmetadata: {{name: {server}}}\nspec: {{transport: stdio, command: {command}}}"
        )
        for name in names:
            tier, effect = ("high_blast_radius", "once") if name == "write" else ("read_only", "read")
            documents.append(
                f"kind: Tool\nmetadata: {{name: {server}.{name}}}\n"
                f"spec: {{tier: {tier}, effect: {effect}, {_MAP}}}"
            )
    every = ", ".join(f"{{tool: {server}.{name}}}" for server, names in tools.items() for name in names)
    for workflow, agent in {"work": "bot", "also": "bot", "other": "other-bot"}.items():
        documents.append(
            f"kind: Workflow\nmetadata: {{name: {workflow}}}\n"
            f"spec: {{agent: {agent}, owner: maria, tools: [{every}],"
            " approvals: {approvers: [approver]}}"
        )
    return "\n---\n".join(f"apiVersion: interlock/v1\n{each}" for each in documents)


class Target:
    """A running server, everybody's tokens, and what its tool servers got."""

    def __init__(self, server: Served, ledgers: Path) -> None:
        self.server = server
        self.ledgers = ledgers
        self.http = httpx2.Client(base_url=server.url, timeout=30)
        self.people = {"admin": server.person()}
        for name in ("maria", "nobody", *(role.replace("_", "-") for role in ROLES if role != "admin")):
            made = self.api("admin", "POST", "/api/v1/tokens", json={"person": name})
            self.people[name] = made.json()["token"]

    def api(self, person: str, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask the API as a person, or as nobody at all."""
        token = self.people.get(person, person)
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **more)

    def received(self, server: str) -> list[str]:
        """Return the lines of the calls a tool server got."""
        file = self.ledgers / server
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def play(self, *workflows: str, story: Callable[..., Awaitable[None]]) -> None:
        """Open a run of each workflow and play a story with a wire for each."""
        tokens = [self.server.token(each) for each in workflows]

        async def run() -> None:
            async with httpx2.AsyncClient(timeout=30) as http:
                await story(*(Wire(http=http, url=f"{self.server.url}/mcp", token=each) for each in tokens))

        asyncio.run(run())


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for all attacks of this file."""
    home = tmp_path_factory.mktemp("attacked")
    with served(home / "d", manifest(home), INTERLOCK_INLINE_WAIT="0") as server:
        found = Target(server, home)
        until(lambda: len(found.api("admin", "GET", "/api/v1/tools/pins").json()["items"]) == 6, seconds=60)
        yield found
        found.http.close()


def waiting(result: dict[str, Any]) -> str:
    """Return the approval a pending answer names."""
    return str(result["structuredContent"]["approval_id"])


def test_a_handle_is_worth_nothing_in_another_run(target: Target) -> None:
    async def story(mine: Wire, again: Wire, sibling: Wire, stranger: Wire) -> None:
        salt = uuid.uuid4().hex
        pending = await mine.call("write", salt=salt)
        approval, action = waiting(pending), pending["structuredContent"]["action"]
        for thief in (again, sibling, stranger):
            for handle in (approval, action):
                stolen = await thief.call("interlock_resume", approval_id=handle)
                assert "no approval of that name in this run" in said(stolen)
                for method in ("tasks/get", "tasks/update", "tasks/cancel"):
                    answer = await thief.ask(method, {"taskId": handle}, mcp_name=handle)
                    assert answer["error"]["message"] == "Unknown task", method
            state = f',"requestState":"{action}.x","inputResponses":{{}}'
            forged = (await thief.call_raw("write", json.dumps({"salt": salt}), more=state)).json()
            assert "No call in this run waits for this input" in json.dumps(forged)
        assert waiting(await mine.call("interlock_resume", approval_id=approval)) == approval
        rejected = target.api(
            "approver", "POST", f"/api/v1/approvals/{approval}/reject", json={"reason": "no"}
        )
        assert rejected.status_code == 200
        assert not [each for each in target.received("a") if salt in each]

    target.play("work", "work", "also", "other", story=story)


TRICKS = [
    '{"n":18446744073709551617}',
    '{"n":9007199254740993}',
    '{"n":-0.0}',
    '{"n":1.0}',
    '{"n":1}',
    '{"n":"1"}',
    '{"n":1e22}',
    '{"n":5e-324}',
    '{"n":0.1}',
    '{"é":1}',
    '{"e\\u0301":1}',
    '{"Order":1,"order":2,"ORDER":3}',
    '{"n":"\\u202e\\u0000\\u001b[2J"}',
    '{"__proto__":{"admin":true},"constructor":null}',
    '{"deep":[[[[[[[[{"a":[{}]}]]]]]]]]}',
]


def test_what_was_decided_shown_and_sent_are_the_same_arguments(target: Target) -> None:
    async def story(wire: Wire) -> None:
        before = len(target.received("a"))
        digests: set[str] = set()
        for number, trick in enumerate(TRICKS):
            meant = json.loads(trick)
            approval = waiting((await wire.call_raw("write", trick)).json()["result"])
            view = target.api("approver", "GET", f"/api/v1/approvals/{approval}")
            shown = json.loads(view.text)["call"]
            assert repr(shown["arguments"]) == repr(meant), trick
            assert shown["digest"] == digest(meant)
            digests.add(shown["digest"])
            agreed = target.api("approver", "POST", f"/api/v1/approvals/{approval}/approve", json={})
            assert agreed.status_code == 200, agreed.text
            until(lambda wanted=before + number + 1: len(target.received("a")) == wanted)
            got = json.loads(target.received("a")[-1])["params"]["arguments"]
            assert repr(got) == repr(meant), trick
            assert digest(got) == shown["digest"]
        assert len(digests) == len(TRICKS)

    target.play("work", story=story)


def test_arguments_changed_after_the_approval_are_another_request(target: Target) -> None:
    async def story(wire: Wire) -> None:
        before = len(target.received("a"))
        first = waiting(await wire.call("write", to="friend", amount=1))
        assert (
            target.api("approver", "POST", f"/api/v1/approvals/{first}/approve", json={}).status_code == 200
        )
        other = await wire.call("write", to="friend", amount=1000)
        assert waiting(other) != first
        until(lambda: len(target.received("a")) > before)
        answers = await asyncio.gather(*(wire.call("write", to="friend", amount=1) for _ in range(8)))
        done = [each for each in answers if "structuredContent" not in each]
        assert done
        assert len(target.received("a")) == before + 1
        late = target.api("approver", "POST", f"/api/v1/approvals/{first}/approve", json={})
        assert late.status_code == 409

    target.play("work", story=story)


def test_approve_and_cancel_at_once_have_one_winner_and_at_most_one_effect(target: Target) -> None:
    async def story(wire: Wire) -> None:
        async with httpx2.AsyncClient(base_url=target.server.url, timeout=30) as http:
            for number in range(6):
                before = len(target.received("a"))
                pending = await wire.call("write", race=number, salt=uuid.uuid4().hex)
                approval, action = waiting(pending), pending["structuredContent"]["action"]
                headers = {"Authorization": f"Bearer {target.people['approver']}"}
                paths = [
                    (f"/api/v1/approvals/{approval}/approve", {}),
                    (f"/api/v1/approvals/{approval}/reject", {"reason": "no"}),
                    (f"/api/v1/actions/{action}/cancel", {"reason": "no"}),
                    (f"/api/v1/approvals/{approval}/approve", {}),
                ]
                done = await asyncio.gather(*(http.post(p, json=body, headers=headers) for p, body in paths))
                assert sorted(each.status_code for each in done)[0] == 200
                decided = [each.status_code for each in done[:2]] + [done[3].status_code]
                assert decided.count(200) <= 1
                until(
                    lambda name=action: (
                        target.api("approver", "GET", f"/api/v1/actions/{name}").json()["state"]
                        in ("succeeded", "rejected", "cancelled")
                    )
                )
                effects = len(target.received("a")) - before
                state = target.api("approver", "GET", f"/api/v1/actions/{action}").json()["state"]
                assert effects == (1 if state == "succeeded" else 0)

    target.play("work", story=story)


def test_approving_while_the_run_ends_has_at_most_one_effect_and_leaves_nothing_waiting(
    target: Target,
) -> None:
    async def story(*wires: Wire) -> None:
        async with httpx2.AsyncClient(base_url=target.server.url, timeout=30) as http:
            for wire in wires:
                salt = uuid.uuid4().hex
                pending = await wire.call("write", salt=salt)
                approval, action = waiting(pending), pending["structuredContent"]["action"]
                run = target.api("approver", "GET", f"/api/v1/actions/{action}").json()["run"]
                posts = [
                    ("approver", f"/api/v1/approvals/{approval}/approve", {}),
                    ("operator", f"/api/v1/runs/{run}/end", {"reason": "enough"}),
                ]
                await asyncio.gather(
                    *(
                        http.post(path, json=body, headers={"Authorization": f"Bearer {target.people[who]}"})
                        for who, path, body in posts
                    )
                )

                def state(name: str = action) -> str:
                    return str(target.api("approver", "GET", f"/api/v1/actions/{name}").json()["state"])

                until(lambda ask=state: ask() in ("succeeded", "cancelled", "denied", "rejected"))
                effects = sum(salt in line for line in target.received("a"))
                assert effects == (1 if state() == "succeeded" else 0)

    target.play("work", "also", "other", story=story)


def test_no_name_reaches_another_server_than_it_says(target: Target) -> None:
    async def story(wire: Wire) -> None:
        listed = (await wire.ask("tools/list", {}))["result"]["tools"]
        names = [each["name"] for each in listed]
        assert len(names) == len(set(names))
        assert names.count("interlock_resume") == 1
        ours = next(each for each in listed if each["name"] == "interlock_resume")
        assert "approval_id" in ours["inputSchema"]["properties"]
        reached: dict[str, tuple[str, str]] = {}
        for name in names:
            if name in ("interlock_resume", "write"):
                continue
            salt = uuid.uuid4().hex
            await wire.call(name, salt=salt)
            hits = [
                (server, json.loads(line)["params"]["name"])
                for server in ("a", "a__b", "b")
                for line in target.received(server)
                if salt in line
            ]
            assert len(hits) == 1, name
            reached[name] = hits[0]
        assert sorted(reached.values()) == [
            ("a", "b__c"),
            ("a", "interlock_resume"),
            ("a", "read"),
            ("a__b", "c"),
            ("b", "read"),
        ]
        for confusing in ("a.read", "a..read", "A__read", "a__b__c__d", "read ", "\u0430read", "a/read"):
            salt = uuid.uuid4().hex
            await wire.ask("tools/call", {"name": confusing, "arguments": {"salt": salt}})
            hits = [line for server in ("a__b", "b") for line in target.received(server) if salt in line]
            assert hits == [], confusing

    target.play("work", story=story)


def test_what_an_approver_reads_cannot_move_the_cursor_or_pose_as_interlock(target: Target) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold green]APPROVED by maria[/bold green]\n  why  safe\u202e\u200b\x9b1m"
    found: list[str] = []

    async def story(wire: Wire) -> None:
        found.append(waiting(await wire.call("write", note=evil, **{f"{evil}key": 1})))

    target.play("work", story=story)
    environment = {
        **target.server.environment,
        "INTERLOCK_TOKEN": target.people["approver"],
        "FORCE_COLOR": "1",
    }
    for words in (["show", found[0]], ["show", found[0], "--json"], ["list"]):
        said = subprocess.run(
            [*INTERLOCK, "approvals", *words],
            env=environment, capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said)  # the colours that rich itself sets
        assert not [each for each in plain if each != "\n" and not each.isprintable()], words
        assert "\x1b[2J" not in said
        if words[-1] != "--json":
            assert not any(each.strip().startswith("why  safe") for each in plain.splitlines())


OPEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/oauth/token"), ("POST", "/oauth/revoke"),
    ("GET", "/.well-known/jwks.json"), ("GET", "/.well-known/oauth-authorization-server"),
    ("POST", "/api/v1/sign-in"),
}  # fmt: skip
PROGRAMS = {
    ("POST", "/api/v1/actions"), ("GET", "/api/v1/actions/{id}/outcome"),
    ("POST", "/api/v1/functions/{server}/take"),
    ("POST", "/api/v1/functions/{server}/calls/{ticket}/start"),
    ("POST", "/api/v1/functions/{server}/calls/{ticket}/finish"),
}  # fmt: skip
ANYONE = frozenset({*ROLES, "nobody"})
EVERY_ROLE = frozenset(ROLES)
WATCHERS = frozenset({"auditor", "operator", "admin"})
STOPPERS = frozenset({"agent_owner", "operator", "admin"})
PROPOSERS = frozenset({"policy_author", "agent_owner", "admin", "developer"})
DECLARED: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/api/v1/actions"): EVERY_ROLE,
    ("GET", "/api/v1/actions/deliveries"): EVERY_ROLE,
    ("POST", "/api/v1/actions/deliveries/{delivery}/again"): ANYONE,  # decided by its action, as to cancel it
    ("GET", "/api/v1/actions/{id}"): EVERY_ROLE,
    ("POST", "/api/v1/actions/{id}/cancel"): ANYONE,  # decided by the action: see the tests of actions
    ("POST", "/api/v1/actions/{id}/resolve"): ANYONE,
    ("POST", "/api/v1/actions/{id}/settle"): ANYONE,
    ("POST", "/api/v1/actions/{id}/void"): ANYONE,
    ("POST", "/api/v1/actions/{id}/follow-up"): ANYONE,
    ("POST", "/api/v1/tools/{tool:path}/exercise"): frozenset({"policy_author", *STOPPERS}),
    ("GET", "/api/v1/actions/{id}/undo"): EVERY_ROLE,
    ("POST", "/api/v1/actions/{id}/undo"): ANYONE,
    ("POST", "/api/v1/actions/{id}/undo/stop"): ANYONE,
    ("POST", "/api/v1/actions/{id}/undo/done"): ANYONE,
    ("GET", "/api/v1/agents"): EVERY_ROLE,
    ("GET", "/api/v1/agents/{agent}"): EVERY_ROLE,
    ("POST", "/api/v1/agents/{agent}/enrolments"): frozenset({"agent_owner", "admin"}),
    ("POST", "/api/v1/agents/{agent}/suspend"): STOPPERS,
    ("POST", "/api/v1/agents/{agent}/resume"): STOPPERS,
    ("POST", "/api/v1/agents/{agent}/retire"): STOPPERS,
    ("GET", "/api/v1/alerts"): ANYONE,
    ("GET", "/api/v1/alerts/{event}"): ANYONE,
    ("GET", "/api/v1/alerts/deliveries"): ANYONE,
    ("GET", "/api/v1/alerts/rules"): ANYONE,
    ("GET", "/api/v1/approvals"): ANYONE,  # shows what its reader may decide
    ("GET", "/api/v1/approvals/digest"): ANYONE,  # shows what its reader may decide
    ("POST", "/api/v1/approvals/decisions"): ANYONE,  # decided by who each workflow names
    ("GET", "/api/v1/approvals/{id}"): ANYONE,
    ("POST", "/api/v1/approvals/{id}/approve"): ANYONE,  # decided by who the workflow names
    ("POST", "/api/v1/approvals/{id}/reject"): ANYONE,
    ("POST", "/api/v1/approvals/{id}/modify"): ANYONE,
    ("POST", "/api/v1/approvals/{id}/answer"): ANYONE,
    ("GET", "/api/v1/audit"): WATCHERS,
    ("GET", "/api/v1/audit/export"): WATCHERS,
    ("GET", "/api/v1/audit/verify"): WATCHERS,
    ("POST", "/api/v1/audit/checkpoints"): WATCHERS,
    ("GET", "/api/v1/autonomy"): ANYONE,
    ("GET", "/api/v1/autonomy/history"): ANYONE,
    ("GET", "/api/v1/autonomy/{workflow}/{tool:path}"): ANYONE,
    ("POST", "/api/v1/autonomy/{workflow}/{tool:path}/propose"): ANYONE,  # decided by who answers for it
    ("POST", "/api/v1/autonomy/{workflow}/{tool:path}/promote"): ANYONE,
    ("POST", "/api/v1/autonomy/{workflow}/{tool:path}/demote"): ANYONE,
    ("GET", "/api/v1/digests"): ANYONE,
    ("GET", "/api/v1/digests/{digest}"): ANYONE,
    ("POST", "/api/v1/digests/{digest}/opened"): ANYONE,  # decided by whose digest it is
    ("POST", "/api/v1/digests/items/{action}/mark"): ANYONE,
    ("GET", "/api/v1/breakers"): ANYONE,
    ("GET", "/api/v1/breakers/{breaker:path}"): ANYONE,
    ("POST", "/api/v1/breakers/{breaker:path}/trip"): ANYONE,  # decided by what is opened: see its tests
    ("POST", "/api/v1/breakers/{breaker:path}/sign-off"): ANYONE,  # operators and admins, on record
    ("GET", "/api/v1/deployments"): EVERY_ROLE,
    ("POST", "/api/v1/deployments"): frozenset({"developer", "agent_owner", "operator", "admin"}),
    ("POST", "/api/v1/deployments/{deployment}/stable"): STOPPERS,
    ("POST", "/api/v1/workflows/{workflow}/rollback"): STOPPERS,
    ("GET", "/api/v1/incidents"): ANYONE,
    ("GET", "/api/v1/incidents/{incident}"): ANYONE,
    ("POST", "/api/v1/incidents/{incident}/close"): STOPPERS,
    ("GET", "/api/v1/kills"): ANYONE,
    ("POST", "/api/v1/kills"): ANYONE,  # decided by what is to be stopped: see the tests of kills
    ("GET", "/api/v1/kills/{kill}"): ANYONE,
    ("POST", "/api/v1/kills/{kill}/resume"): ANYONE,
    ("GET", "/api/v1/manifest"): ANYONE,
    ("GET", "/api/v1/manifest/history"): ANYONE,
    ("POST", "/api/v1/manifest/plan"): ANYONE,
    ("POST", "/api/v1/manifest/apply"): PROPOSERS,
    ("GET", "/api/v1/changes"): ANYONE,
    ("GET", "/api/v1/changes/{change}"): ANYONE,
    ("POST", "/api/v1/changes/{change}/approve"): ANYONE,  # decided by what the change touches
    ("POST", "/api/v1/changes/{change}/reject"): ANYONE,
    ("GET", "/api/v1/workflows/{workflow}/blast-radius"): ANYONE,
    ("POST", "/api/v1/policy/explain"): ANYONE,
    ("GET", "/api/v1/me"): ANYONE,
    ("GET", "/api/v1/people"): WATCHERS,
    ("POST", "/api/v1/password"): ANYONE,  # one's own
    ("GET", "/api/v1/tokens"): ANYONE,  # one's own
    ("POST", "/api/v1/tokens"): ANYONE,  # one's own
    ("DELETE", "/api/v1/tokens/{token}"): ANYONE,  # one's own
    ("GET", "/api/v1/keys"): WATCHERS,
    ("POST", "/api/v1/keys"): frozenset({"admin"}),
    ("POST", "/api/v1/keys/{kid}/revoke"): frozenset({"admin"}),
    ("GET", "/api/v1/providers"): ANYONE,
    ("GET", "/api/v1/runs"): EVERY_ROLE,
    ("POST", "/api/v1/runs"): frozenset({"developer", *STOPPERS}),
    ("GET", "/api/v1/runs/{run}"): EVERY_ROLE,
    ("POST", "/api/v1/runs/{run}/end"): frozenset({"developer", *STOPPERS}),
    ("POST", "/api/v1/runs/{run}/undo"): ANYONE,  # decided by the run: see the tests of undos
    ("POST", "/api/v1/runs/{run}/scores"): frozenset({"developer", *STOPPERS}),
    ("GET", "/api/v1/tools"): ANYONE,
    ("GET", "/api/v1/tools/pins"): ANYONE,
    ("GET", "/api/v1/tools/servers"): ANYONE,
    ("POST", "/api/v1/tools/{tool:path}/accept"): frozenset({"policy_author", "admin"}),
    ("GET", "/api/v1/budgets"): ANYONE,
    ("GET", "/api/v1/budgets/history"): ANYONE,
    ("GET", "/api/v1/budgets/runs/{run}"): ANYONE,
    ("GET", "/api/v1/budgets/calls/{call}"): ANYONE,
    ("POST", "/api/v1/budgets/uncharge"): frozenset({"operator", "admin"}),
    ("GET", "/api/v1/spend"): ANYONE,
    ("POST", "/api/v1/spend/reconcile"): ANYONE,  # to see a bill beside the ledger; booking it is an admin's
    ("GET", "/api/v1/prices"): ANYONE,
    ("GET", "/api/v1/prices/{provider}/versions"): ANYONE,
    ("GET", "/api/v1/prices/offer"): ANYONE,  # the installed list; asking the newest is an admin's
    ("POST", "/api/v1/prices/update"): frozenset({"admin"}),
    ("GET", "/api/v1/runs/{run}/context"): ANYONE,
    ("GET", "/api/v1/signals/context"): ANYONE,
    ("GET", "/api/v1/state-reviews"): EVERY_ROLE,
    ("GET", "/api/v1/state-reviews/{review}"): EVERY_ROLE,
    ("POST", "/api/v1/state-reviews/{review}/keep"): frozenset({"approver", *STOPPERS}),
    ("POST", "/api/v1/state-reviews/{review}/plan"): frozenset({"approver", *STOPPERS}),
    ("POST", "/api/v1/state-reviews/{review}/undo"): frozenset({"approver", *STOPPERS}),
    ("GET", "/api/v1/signals/context/{workflow}"): ANYONE,
}  # fmt: skip


@pytest.mark.long(11)
def test_every_route_lets_in_whom_it_declares_and_nobody_else(target: Target) -> None:
    routes = {
        (method, route.path)
        for noun in NOUNS
        for route in noun.routes
        for method in (route.methods or set[str]()) - {"HEAD"}
    }
    assert routes - OPEN - PROGRAMS == set(DECLARED), "a route has to say here who may use it"
    agent = target.server.token("work")
    signs = ("POST", "/api/v1/keys")
    for (method, path), allowed in DECLARED.items():
        place = re.sub(r"\{\w+(:path)?\}", "does-not-exist", path)
        body: dict[str, Any] = {"json": {"surprise": 1}} if method == "POST" else {}
        for stranger in ("", "ilk_" + "x" * 43, agent, "Bearer x"):
            answer = target.api(stranger, method, place, **body)
            assert answer.status_code == 401, (method, path, stranger[:4])
        for role in sorted(ANYONE):
            if role in allowed and (method, path) == signs:
                continue
            status = target.api(role.replace("_", "-"), method, place, **body).status_code
            assert (status == 403) == (role not in allowed), (method, path, role, status)
            assert status != 401, (method, path, role)
            assert status < 500, (method, path, role)


def test_what_programs_may_do_lets_in_no_person(target: Target) -> None:
    for method, path in PROGRAMS:
        place = re.sub(r"\{\w+(:path)?\}", "does-not-exist", path)
        body: dict[str, Any] = {"json": {"surprise": 1}} if method == "POST" else {}
        for credential in ("", "Bearer x", target.people["admin"]):
            answer = target.api(credential, method, place, **body)
            assert answer.status_code == 401, (method, path, credential[:4])


def test_the_first_apply_is_not_repeated(target: Target) -> None:
    kept = target.server.data / "credentials.json"
    away = kept.rename(kept.with_suffix(".away"))
    try:
        text = manifest(target.ledgers).replace("roles: [viewer]", "roles: [admin]")
        file = target.ledgers / "again.yaml"
        file.write_text(text)
        again = target.server.cli("apply", "--yes", "--admin", "viewer", str(file))
        assert again.returncode != 0
        assert "No credential" in again.stderr
        assert not kept.exists()
    finally:
        away.rename(kept)
    spoofed = target.api(
        "", "POST", "/api/v1/manifest/apply", json={"files": [{"name": "m.yaml", "text": text}]},
        headers={"X-Forwarded-For": "", "Forwarded": "for=unix", "Host": "interlock"},
    )  # fmt: skip
    assert spoofed.status_code == 401


def test_a_forged_forwarding_header_dodges_no_throttle(target: Target) -> None:
    said = [
        target.api(
            "", "POST", "/api/v1/sign-in", json={"person": f"p{number}", "password": "x" * 12},
            headers={"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}"},
        ).json()["error"]["message"]
        for number in range(12)
    ]  # fmt: skip
    assert "Too many" in said[-1]


def raw(target: Target, request: bytes) -> list[bytes]:
    """Send bytes; return the status lines that come back before the server closes, as it is asked to."""
    host, port = target.server.url.removeprefix("http://").split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        while chunk := connection.recv(65536):
            got += chunk
    return re.findall(rb"HTTP/1\.1 (\d{3})", got)


def test_headers_smuggle_nothing(target: Target) -> None:
    token = target.server.token("work").encode()
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "attacker", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    call = json.dumps(asked).encode()
    size = b"Content-Length: %d\r\n" % len(call)
    good = b"Authorization: Bearer " + token + b"\r\n"
    kind = (
        b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        b"Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\nConnection: close\r\n"
    )
    here, evil = b"Host: 127.0.0.1\r\n", b"Host: evil.example\r\n"

    def post(target: bytes, *headers: bytes, end: bytes = b"\r\n" + call) -> bytes:
        return b"POST " + target + b" HTTP/1.1\r\n" + b"".join(headers) + kind + end

    attacks = {
        "another host": post(b"/mcp", evil, good, size),
        "two hosts": post(b"/mcp", here, evil, good, size),
        "no host": post(b"/mcp", good, size),
        "another origin": post(b"/mcp", here, b"Origin: http://evil.example\r\n", good, size),
        "no origin at all": post(b"/mcp", here, b"Origin: null\r\n", good, size),
        "two tokens": post(b"/mcp", here, b"Authorization: Bearer x\r\n", good, size),
        "two lengths": post(b"/mcp", here, good, size, b"Content-Length: 0\r\n"),
        "length and chunks": post(
            b"/healthz",
            here,
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            end=b"\r\n0\r\n\r\n" + post(b"/mcp", here, good, size),
        ),
        "a dotted path": post(b"/healthz/../mcp", here, size),
        "a doubled path": post(b"//mcp", here, size),
        "a path with an end": post(b"/mcp/", here, size),
        "an absolute path": post(b"http://evil.example/mcp", evil, good, size),
    }
    assert raw(target, post(b"/mcp", here, good, size)) == [b"200"]  # what all of them imitate
    for name, request in attacks.items():
        statuses = raw(target, request)
        assert statuses, name
        assert b"200" not in statuses, name
        assert not [each for each in statuses if each.startswith(b"5")], name


def test_a_run_cannot_take_the_sessions_of_all_the_others(target: Target) -> None:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()

    async def story(greedy: Wire, other: Wire) -> None:
        async def opened(wire: Wire) -> int:
            headers = {
                "authorization": f"Bearer {wire.token}",
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
            }
            return (await wire.http.post(wire.url, content=asked, headers=headers)).status_code

        statuses = [await opened(greedy) for _ in range(257)]
        assert statuses == [200] * 256 + [503]
        assert await opened(other) == 200
        assert said(await greedy.call("c", salt="still served")).startswith("c")

    target.play("work", "other", story=story)


def test_what_lies_on_disk_is_its_owners_alone_and_holds_no_secret_in_clear(target: Target) -> None:
    run = target.server.token("work")
    code = target.api("developer", "POST", "/api/v1/runs", json={"workflow": "work"}).json()["code"]
    data = target.server.data
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.rglob("*"):
        if "checkpoints" in path.parts:
            continue  # signatures, to be kept elsewhere and shown to others
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISSOCK(mode) or stat.S_ISDIR(mode):
            assert stat.S_IMODE(mode) & 0o077 == 0, path
    secrets = [run, run.split(".")[2], code, target.people["approver"], target.people["viewer"], '"d":']
    its_own = {"credentials.json", "checkpoint.key"}  # which are secrets, for their owner alone
    for path in data.rglob("*"):
        if path.is_file() and path.name not in its_own:
            content = path.read_bytes()
            assert not [each for each in secrets if each.encode() in content], path
    export = target.server.cli("audit", "export").stdout
    assert not [each for each in secrets[:5] if each in export]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert not [each for each in secrets[:5] if each.encode() in command]


def test_the_doctor_tries_to_get_past_the_gateway(target: Target) -> None:
    good = target.server.cli("doctor", "--workflow", "work", "--json")
    checks = json.loads(good.stdout)["items"]
    assert good.returncode == 0, good.stdout + good.stderr
    assert len(checks) == 10
    assert all(each["ok"] for each in checks)
    nowhere = target.server.cli("doctor", "--workflow", "no-such-workflow")
    assert nowhere.returncode == 1


def test_the_doctor_is_not_fooled_by_a_server_that_lets_everything_through() -> None:
    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"version": "x", "ready": True, "problems": [], "environment": "dev", "keys": [{}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            said: dict[str, Any] = {"result": {"content": []}, "code": "x", "access_token": "x", "run": "x"}
            self._say(said)

        def _say(self, body: dict[str, Any]) -> None:
            raw = json.dumps({**body, "items": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Open) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        known = {"INTERLOCK_URL": f"http://127.0.0.1:{server.server_port}", "INTERLOCK_TOKEN": "ilk_x"}
        told = subprocess.run(
            [*INTERLOCK, "doctor", "--workflow", "work", "--json"],
            env={**os.environ, **known}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        server.shutdown()
        thread.join()
    assert told.returncode == 1
    wrong = {each["check"] for each in json.loads(told.stdout)["items"] if not each["ok"]}
    assert len(wrong) == 6, wrong


def test_after_all_of_it_the_record_verifies(target: Target) -> None:
    verified = target.server.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
