"""What the demonstration should have done, and what confirms it: git, the help desk's file, the audit log.

Nothing here asks Interlock whether it kept its word. What the agent was told is one witness, the outside
records are the others, and a step holds only if all of them agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]
_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was seen from outside, once the agent had ended.

    `said` holds the agent's last event per kind and step, `audit` the exported entries in their order,
    `verification` what `audit verify` reported.
    """

    said: Mapping[tuple[str, str], Event]
    agent_status: int
    desk: Mapping[str, Any]
    commits: Sequence[str]
    committed_files: Sequence[str]
    branch: str
    audit: Sequence[Event]
    verification: Mapping[str, Any]
    waiting_before: str
    waiting_after: Sequence[str]
    mails_before_approval: int

    def answer(self, step: str) -> Event:
        """Return what the agent was answered, {} for nothing."""
        return self.said.get(("answered", step), {})

    def audited(self, tool: str) -> list[Event]:
        """Return the audit entries about one tool."""
        return [each for each in self.audit if each.get("tool") == tool]

    def effects(self, tool: str) -> int:
        """Return how often the help desk did something, by its own record."""
        return sum(each["tool"] == tool for each in self.desk["effects"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the report. `ok` says that every witness agrees."""

    step: str
    tried: str
    verdict: str
    why: str
    evidence: str
    ok: bool


def judge(facts: Facts) -> list[Step]:
    """Return the first act's part of the report, one step after the other."""
    return [
        _read(facts, "helpdesk.search_tickets", "search", "T-3", "the ticket about exports was found"),
        _read(facts, "git.git_log", "history", "First note", "the repository's history was read"),
        _note(facts),
        _stage(facts),
        _refund(facts),
        _checkout(facts),
        _commit(facts),
        _killed(facts),
        _mail(facts),
        _again(facts),
    ]


def _read(facts: Facts, tool: str, step: str, text: str, evidence: str) -> Step:
    answer = facts.answer(step)
    return Step(
        step="a read passes",
        tried=tool,
        verdict=_verdict(facts, tool),
        why="granted; the tool only reads",
        evidence=evidence,
        ok=answer.get("ok") is True and text in answer["text"] and _verdict(facts, tool) == "allow",
    )


def _note(facts: Facts) -> Step:
    notes = facts.desk["tickets"]["T-3"]["notes"]
    tool = "helpdesk.add_note"
    return Step(
        step="a write in scope passes",
        tried=tool,
        verdict=_verdict(facts, tool),
        why="granted; a limited write with an undo",
        evidence=f"the help desk's file has {_count(len(notes), 'note')} on T-3",
        ok=_passed(facts, "note", tool) and len(notes) == 1 and facts.effects("add_note") == 1,
    )


def _stage(facts: Facts) -> Step:
    tool = "git.git_add"
    return Step(
        step="a write in scope passes",
        tried=tool,
        verdict=_verdict(facts, tool),
        why="granted for this repository; git_reset undoes it",
        evidence=f"git: {', '.join(facts.committed_files)} was staged and is in the commit",
        ok=_passed(facts, "stage", tool) and list(facts.committed_files) == ["NEWS.md"],
    )


def _refund(facts: Facts) -> Step:
    tool = "helpdesk.refund"
    return Step(
        step="too much is refused",
        tried=f"{tool} 900.00 EUR",
        verdict=_verdict(facts, tool),
        why=_told(facts.answer("refund")),
        evidence=f"the help desk's file has {_count(len(facts.desk['refunds']), 'refund')}",
        ok=_refused(facts, "refund", tool) and not facts.desk["refunds"],
    )


def _checkout(facts: Facts) -> Step:
    tool = "git.git_checkout"
    return Step(
        step="out of scope is refused",
        tried=tool,
        verdict=_verdict(facts, tool),
        why=_told(facts.answer("checkout")),
        evidence=f"git: still on {facts.branch}",
        ok=_refused(facts, "checkout", tool) and facts.branch == "main",
    )


def _commit(facts: Facts) -> Step:
    tool = "git.git_commit"
    new = facts.commits[: len(facts.commits) - 1]
    return Step(
        step="no undo: a person decides",
        tried=tool,
        verdict=_verdict(facts, tool),
        why="a commit has no undo here; deng approved it on the command line",
        evidence=f"git log has {_count(len(new), 'new commit')}",
        ok=facts.answer("commit").get("ok") is True and len(new) == 1,
    )


def _killed(facts: Facts) -> Step:
    kept = ", ".join(facts.waiting_after) or "nothing"
    return Step(
        step="kill -9 while it waits",
        tried="helpdesk.email_customers",
        verdict=_verdict(facts, "helpdesk.email_customers"),
        why="request and approval are on disk before anything is sent",
        evidence=f"after the restart {kept} waits; {_count(facts.mails_before_approval, 'mail')} sent",
        ok=list(facts.waiting_after) == [facts.waiting_before] and facts.mails_before_approval == 0,
    )


def _mail(facts: Facts) -> Step:
    mails = facts.desk["mails"]
    reached = len(mails[0]["to"]) if mails else 0
    return Step(
        step="approved, it runs once",
        tried="interlock_resume",
        verdict="approved",
        why="deng approved it after the restart; the agent came back for the outcome",
        evidence=f"the help desk's file has {_count(len(mails), 'mail')}, to {_count(reached, 'customer')}",
        ok=facts.answer("mail").get("ok") is True
        and facts.effects("email_customers") == len(mails) == 1
        and reached == 3,
    )


def _again(facts: Facts) -> Step:
    again = facts.said.get(("asked again", "mail"), {})
    return Step(
        step="a second resume runs nothing",
        tried="interlock_resume",
        verdict="recorded",
        why="a decision is used once; later callers get the recorded outcome",
        evidence=f"still {_count(len(facts.desk['mails']), 'mail')}; agent's exit code {facts.agent_status}",
        ok=again.get("ok") is True
        and len(facts.desk["mails"]) == 1
        and facts.agent_status == 0
        and facts.effects("email_customers") == 1,
    )


def verified(facts: Facts) -> Step:
    """Return the last step: the record of all that happened holds."""
    found = facts.verification
    entries, chains = _count(found["entries"], "entry", "entries"), _count(found["chains"], "chain")
    return Step(
        step="the record holds",
        tried="interlock audit verify",
        verdict="verified" if found["ok"] else "broken",
        why="each entry is chained to the one before with a key; the chains' heads are signed",
        evidence=f"{entries} in {chains}, {_count(found['checkpoints'], 'signed checkpoint')}",
        ok=found["ok"] is True and found["checkpoints"] > 0 and found["entries"] >= len(facts.audit) > 0,
    )


def _verdict(facts: Facts, tool: str) -> str:
    """Return the first verdict the audit log has for a tool, "not in the log" for none."""
    verdicts = (_find(each, "verdict") for each in facts.audited(tool))
    return next((each for each in verdicts if each), "not in the log")


def _passed(facts: Facts, step: str, tool: str) -> bool:
    return facts.answer(step).get("ok") is True and _verdict(facts, tool) == "allow_with_review"


def _refused(facts: Facts, step: str, tool: str) -> bool:
    return facts.answer(step).get("ok") is False and _verdict(facts, tool) == "deny"


def _find(entry: Mapping[str, Any], name: str) -> str:
    body: Mapping[str, Any] = entry.get("body") or {}
    return str(body.get(name) or "")


def _told(answer: Event) -> str:
    """Return what the agent was told: the reason, and what would have been allowed."""
    lines = str(answer.get("text") or "no answer").strip().splitlines()
    reason = lines[0].partition("): ")[2] or lines[0]
    text = " ".join([reason, *(each.removeprefix("- ") for each in lines[1:2] if each.startswith("- "))])
    return text if len(text) <= _REASON else f"{text[: _REASON - 1]}…"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number or 'no'} {one if number == 1 else many or one + 's'}"


def all_ok(steps: Iterable[Step]) -> bool:
    """Whether every step did what it should."""
    return all(each.ok for each in steps)
