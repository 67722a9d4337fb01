"""A call goes unanswered, the next stage hears of it by webhook, and decides: a real server and its clock."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from support.receivers import Hook, hook
from support.served import REFUNDER, Served, refunds, served, until
from support.warm import PYTHON

PEOPLE = """
---
apiVersion: interlock/v1
kind: Person
metadata: {name: zoe}
spec: {email: zoe@example.com}
"""
SETTINGS = {
    "INTERLOCK_INLINE_WAIT": "0",
    "INTERLOCK_SELF_APPROVE": "true",
    "INTERLOCK_NOTIFY_PRIVATE": "true",
    "INTERLOCK_WEBHOOK_KEY": "a shared key",
    "INTERLOCK_PUBLIC_URL": "https://interlock.example.com/",
}


def notices(receiver: Hook, kind: str) -> list[dict[str, Any]]:
    """Return what was received of one kind."""
    told = [json.loads(body) for _, body in receiver.got]
    return [each for each in told if each["kind"] == kind]


def manifest(home: Path, url: str) -> str:
    text = refunds(home / "desk.json").rstrip() + PEOPLE
    text = text.replace(
        "email: maria@example.com,", f'email: maria@example.com, channels: {{webhook: "{url}"}},'
    )
    return text.replace("{approvers: [maria]}", "{approvers: [zoe], escalation: [maria], sla: 1s}")


def story(server: Served, receiver: Hook) -> None:
    ended = server.cli("run", "refunds", "--keep-waiting", "--json", "--", *PYTHON, "-c", REFUNDER, "T-1")
    [waiting] = json.loads(ended.stdout)["waiting"]
    until(lambda: server.api(f"approvals/{waiting['approval']}")["stage"] == "escalation")
    until(lambda: notices(receiver, "approval.escalated"))
    [told] = notices(receiver, "approval.escalated")
    assert told["facts"]["decide"] == f"interlock approvals show {waiting['approval']}"
    assert told["facts"]["link"] == f"https://interlock.example.com/api/v1/approvals/{waiting['approval']}"
    assert "T-1" not in json.dumps(told)
    assert not notices(receiver, "approval.requested"), "maria was not asked first"
    shown = server.cli("approvals", "show", waiting["approval"]).stdout
    assert "stage        escalation" in shown
    done = server.cli("approvals", "approve", waiting["approval"])
    assert done.returncode == 0, done.stderr
    until(lambda: server.api(f"actions/{waiting['action']}")["state"] == "succeeded")


def test_a_missed_sla_reaches_the_next_stage_by_webhook_and_is_decided_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with hook() as receiver:
            await asyncio.to_thread(play, tmp_path, receiver)

    asyncio.run(run())


def play(home: Path, receiver: Hook) -> None:
    with served(home / "data", manifest(home, receiver.url), **SETTINGS) as server:
        story(server, receiver)
