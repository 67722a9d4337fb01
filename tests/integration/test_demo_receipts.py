"""The second act of the demonstration cannot flatter itself: what is wrong turns its step red (B1 to B5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from interlock.demo.evidence import all_ok
from interlock.demo.receipts import Receipts, judge
from interlock.demo.receiver import Receiver
from interlock.runtime import Runtime
from interlock.upstream.notify.webhook import sign

BIG, SMALL = "gpt-test", "gpt-test-mini"
RUN = "run:run_2"
COSTS = {BIG: 2_500 * 400 + 10_000 * 150, SMALL: 500 * 400 + 2_000 * 150}


def reply(model: str, customer: str, state: str = "ok") -> dict[str, Any]:
    told = {"x-interlock-budget-state": state, "x-interlock-served-model": model}
    if model == SMALL:
        told |= {"x-interlock-degraded": "model", "x-interlock-partial": "true"}
    return {
        "customer": customer,
        "attempts": 1,
        "status": 200,
        "headers": {**told, "x-interlock-requested-model": BIG},
        "model": model,
        "usage": {"prompt_tokens": 400, "completion_tokens": 150},
    }


def notice(kind: str, severity: str) -> dict[str, Any]:
    runbook = {"name": "digest", "first_action": "Look at it."}
    return {"kind": kind, "severity": severity, "runbook": runbook, "incident": "inc_1"}


def line(workflow: str, model: str, customer: str, calls: int) -> dict[str, Any]:
    cost = calls * COSTS[model]
    return {"workflow": workflow, "model": model, "customer": customer, "calls": calls, "cost": cost}


def row(model: str) -> dict[str, Any]:
    return {"cost": COSTS[model], "degraded": ["model"] if model == SMALL else []}


def the_receipts() -> Receipts:
    letters = [reply(BIG, "acme"), reply(BIG, "globex"), reply(BIG, "acme")]
    digest = [*[reply(BIG, "initech", "soft")] * 4, *[reply(SMALL, "initech", "degraded")] * 2]
    end = {"status": 402, "code": "run_halted", "attempts": 1, "headers": {"x-should-retry": "false"}}
    spent = 4 * COSTS[BIG] + 2 * COSTS[SMALL]
    items = [
        line("letters", BIG, "acme", 2),
        line("letters", BIG, "globex", 1),
        line("digest", BIG, "initech", 4),
        line("digest", SMALL, "initech", 2),
    ]
    return Receipts(
        letters=letters,
        digest=[*digest, end],
        digest_status=1,
        received=[*[BIG] * 7, *[SMALL] * 2],
        notices=[notice("budget.soft", "ticket"), notice("budget.kill", "page")],
        unsigned=0,
        report={"items": items, "total": {"cost": sum(each["cost"] for each in items)}},
        explained={
            "run": "run_2",
            "state": "ended",
            "partial": True,
            "cost": spent,
            "calls": [*[row(BIG)] * 4, *[row(SMALL)] * 2],
            "accounts": [{"spent": spent}, {"spent": spent}],
        },
        alerts=[{"kind": "budget.soft", "subject": RUN}],
        incidents=[{"id": "inc_1", "subject": RUN}],
    )


def explained(receipts: Receipts, **changed: Any) -> Receipts:
    return replace(receipts, explained={**receipts.explained, **changed})


def ending(receipts: Receipts, **changed: Any) -> Receipts:
    return replace(receipts, digest=[*receipts.digest[:-1], {**receipts.digest[-1], **changed}])


def dearer(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**items[0], "cost": items[0]["cost"] + 1}, *items[1:]]


def test_a_good_performance_is_all_green() -> None:
    assert all_ok(judge(the_receipts()))


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        (
            lambda r: replace(r, report={**r.report, "items": dearer(r.report["items"])}),
            "calls are attributed",
        ),
        (lambda r: replace(r, alerts=r.alerts * 2), "soft limit: one alert"),
        (lambda r: replace(r, notices=r.notices[1:]), "soft limit: one alert"),
        (lambda r: replace(r, unsigned=1), "soft limit: one alert"),
        (lambda r: explained(r, partial=False), "hard limit: degraded"),
        (lambda r: replace(r, received=[BIG] * 9), "hard limit: degraded"),
        (lambda r: ending(r, status=429), "a runaway loop is killed"),
        (lambda r: ending(r, attempts=3), "a runaway loop is killed"),
        (lambda r: ending(r, headers={}), "a runaway loop is killed"),
        (lambda r: replace(r, received=[*r.received, SMALL]), "a runaway loop is killed"),
        (lambda r: explained(r, cost=15_000_001), "a runaway loop is killed"),
        (lambda r: replace(r, incidents=()), "somebody is paged"),
        (lambda r: replace(r, notices=r.notices[:1]), "somebody is paged"),
        (lambda r: explained(r, state="open"), "somebody is paged"),
        (lambda r: explained(r, accounts=[{"spent": 1}, {"spent": 1}]), "the books are exact"),
        (lambda r: explained(r, calls=r.explained["calls"][1:]), "the books are exact"),
    ],
)
def test_whatever_is_not_as_it_should_be_turns_its_step_red(broken: Any, step: str) -> None:
    assert step in {each.step for each in judge(broken(the_receipts())) if not each.ok}


def test_the_receiver_keeps_what_is_signed_and_fresh_once() -> None:
    with Receiver("a key") as receiver:
        now, body = Runtime.real().clock.now() // 1_000_000, b'{"kind": "budget.soft"}'
        signed = {
            "x-interlock-timestamp": str(now),
            "x-interlock-delivery": "dlv_1",
            "x-interlock-signature": sign(b"a key", now, body),
        }
        assert receiver.take(signed, body) == receiver.take(signed, body) == 204
        assert receiver.take(signed, body + b" ") == 401
        assert receiver.take({}, body) == 401
        old = {**signed, "x-interlock-timestamp": str(now - 301)}
        assert receiver.take({**old, "x-interlock-signature": sign(b"a key", now - 301, body)}, body) == 401
        assert receiver.notices == [{"kind": "budget.soft"}]
        assert receiver.refused == 3
