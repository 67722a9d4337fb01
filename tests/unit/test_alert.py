"""Every alert has an entry that says something, and a notice says what to do (G1, invariant 12)."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.alert import TEMPLATES, AlertKind, Notice, Severity

ENTRY = TEMPLATES[AlertKind.BUDGET_SOFT]
NOTICE = Notice(
    event="evt_1",
    kind="budget.soft",
    severity=Severity.TICKET,
    environment="dev",
    subject="workflow:refunds",
    window="day:1",
    at=7,
    summary="refunds spent 72 % of its day",
    entry=ENTRY,
    runbook="refunds",
)


def test_every_alert_has_a_template_of_its_own_that_says_everything() -> None:
    assert {kind: mode.name for kind, mode in TEMPLATES.items()} == {kind: kind.mode for kind in AlertKind}
    assert all(each.symptoms and each.first_action and each.escalate_when for each in TEMPLATES.values())


def test_what_halts_work_wakes_somebody_and_opens_an_incident() -> None:
    loud = {
        AlertKind.BUDGET_KILL,
        AlertKind.KILL,
        AlertKind.BREAKER,
        AlertKind.UNDO_FAILED,
        AlertKind.APPROVAL_UNANSWERED,
    }
    assert {each for each in AlertKind if each.severity is Severity.PAGE} == loud
    assert {each for each in AlertKind if each.opens_incident} == loud


def test_a_notice_says_to_a_program_what_happened_and_what_to_do() -> None:
    told = NOTICE.payload("dlv_1")
    assert (told["delivery"], told["event"], told["incident"], told["facts"]) == ("dlv_1", "evt_1", None, {})
    assert told["runbook"]["name"] == "refunds"
    assert told["runbook"]["first_action"] == ENTRY.first_action


def test_a_notice_says_the_same_to_a_person() -> None:
    assert NOTICE.title == "[ticket] dev: refunds spent 72 % of its day"
    assert f"First action: {ENTRY.first_action}\n" in NOTICE.text()
    assert "Incident" not in NOTICE.text()
    loud = replace(NOTICE, incident="inc_1", facts={"spent": 5})
    assert "spent: 5\n" in loud.text()
    assert "Incident: inc_1\n" in loud.text()
