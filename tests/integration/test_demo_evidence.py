"""The demonstration cannot flatter itself: each promise that is broken turns its step red."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.demo.evidence import Facts, Step, all_ok, judge, verified
from interlock.testing.desk import fresh


def entry(tool: str, verdict: str) -> dict[str, Any]:
    return {"tool": tool, "body": {"verdict": verdict}}


def answered(ok: bool, text: str = "done") -> dict[str, Any]:
    return {"ok": ok, "text": text}


def a_desk() -> dict[str, Any]:
    desk = fresh()
    desk["tickets"]["T-3"]["notes"] = {"N-1": "Fix is ready."}
    desk["mails"] = [{"mail": "M-2", "to": ["a@example.com", "b@example.com", "c@example.com"]}]
    desk["effects"] = [{"tool": "add_note"}, {"tool": "email_customers"}]
    return desk


def the_facts() -> Facts:
    return Facts(
        said={
            ("answered", "search"): answered(True, "T-3"),
            ("answered", "history"): answered(True, "First note"),
            ("answered", "note"): answered(True),
            ("answered", "stage"): answered(True),
            ("answered", "refund"): answered(False, "Denied: up to 50000; this was 90000."),
            ("answered", "checkout"): answered(False, "Denied: not in the scope."),
            ("answered", "commit"): answered(True),
            ("answered", "mail"): answered(True),
            ("asked again", "mail"): answered(True),
        },
        agent_status=0,
        desk=a_desk(),
        commits=["Say that exports work again", "First note"],
        committed_files=["NEWS.md"],
        branch="main",
        audit=[
            entry("helpdesk.search_tickets", "allow"),
            entry("git.git_log", "allow"),
            entry("helpdesk.add_note", "allow_with_review"),
            entry("git.git_add", "allow_with_review"),
            entry("helpdesk.refund", "deny"),
            entry("git.git_checkout", "deny"),
            entry("git.git_commit", "require_approval"),
            entry("helpdesk.email_customers", "require_approval"),
        ],
        verification={"ok": True, "entries": 9, "chains": 2, "checkpoints": 1},
        waiting_before="apr_1",
        waiting_after=["apr_1"],
        mails_before_approval=0,
    )


def with_desk(facts: Facts, **changed: Any) -> Facts:
    return replace(facts, desk={**facts.desk, **changed})


def without_audit(facts: Facts, tool: str) -> Facts:
    return replace(facts, audit=[each for each in facts.audit if each["tool"] != tool])


def the_steps(facts: Facts) -> list[Step]:
    return [*judge(facts), verified(facts)]


def test_a_good_performance_is_all_green() -> None:
    assert all_ok(the_steps(the_facts()))


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        (lambda f: without_audit(f, "git.git_log"), "a read passes"),
        (lambda f: without_audit(f, "git.git_add"), "a write in scope passes"),
        (lambda f: replace(f, committed_files=[]), "a write in scope passes"),
        (lambda f: with_desk(f, refunds=[{"amount_cents": 90_000}]), "too much is refused"),
        (lambda f: without_audit(f, "helpdesk.refund"), "too much is refused"),
        (lambda f: replace(f, branch="release"), "out of scope is refused"),
        (lambda f: replace(f, commits=["a", "b", "First note"]), "no undo: a person decides"),
        (lambda f: replace(f, waiting_after=[]), "kill -9 while it waits"),
        (lambda f: replace(f, mails_before_approval=1), "kill -9 while it waits"),
        (lambda f: with_desk(f, mails=f.desk["mails"] * 2), "approved, it runs once"),
        (lambda f: with_desk(f, mails=[]), "approved, it runs once"),
        (lambda f: replace(f, agent_status=1), "a second resume runs nothing"),
        (lambda f: replace(f, verification={**f.verification, "ok": False}), "the record holds"),
    ],
)
def test_a_broken_promise_turns_its_step_red(broken: Any, step: str) -> None:
    assert step in {each.step for each in the_steps(broken(the_facts())) if not each.ok}
