"""Whom an alert is told (G3, H3)."""

from __future__ import annotations

import pytest

from interlock.core.alert import Severity
from interlock.core.document.identity import Agent, Person, Rotation, Team
from interlock.core.document.workflow import Approvals, Workflow
from interlock.core.recipient import Address, addresses

HOOK = {"webhook": "https://hooks.example.com/x", "webhook_key": "secret://env/HOOK"}
DOCUMENTS = (
    Person(name="maria", email="maria@example.com"),
    Person(name="deng", email="", channels=HOOK),
    Person(name="kim", email="kim@example.com", roles=("operator",)),
    Person(name="silent", email=""),
    Team(name="desk", members=("deng", "nobody")),
    Agent(name="bot", owner="maria", backup="kim"),
    Agent(name="lone", owner="maria"),
    Workflow(name="refunds", agent="bot", owner="maria", approvals=Approvals(escalation=("desk", "maria"))),
    Workflow(name="quiet", agent="gone", owner="silent"),
)
MAIL = Address(name="maria", channel="email", target="maria@example.com")
KIM = Address(name="kim", channel="email", target="kim@example.com")
DENG = Address(name="deng", channel="webhook", target=HOOK["webhook"], key=HOOK["webhook_key"])


@pytest.mark.parametrize(
    ("subject", "severity", "told"),
    [
        ("workflow:refunds", Severity.TICKET, [MAIL]),
        ("workflow:refunds", Severity.PAGE, [MAIL, DENG, KIM]),
        ("agent:bot", Severity.TICKET, [MAIL]),
        ("agent:bot", Severity.PAGE, [MAIL, KIM]),
        ("agent:lone", Severity.PAGE, [MAIL]),
        ("team:desk", Severity.TICKET, [DENG]),
        ("*", Severity.PAGE, [KIM]),
        ("agent:gone", Severity.TICKET, [KIM]),
        ("workflow:quiet", Severity.PAGE, [KIM]),
    ],
)
def test_who_answers_is_told(subject: str, severity: Severity, told: list[Address]) -> None:
    assert list(addresses(subject, severity, DOCUMENTS)) == told


def test_a_run_is_its_workflows() -> None:
    assert addresses("run:run_1", Severity.TICKET, DOCUMENTS, workflow="refunds") == (MAIL,)


def test_a_route_takes_the_owners_place_but_a_page_reaches_both() -> None:
    assert addresses("workflow:refunds", Severity.TICKET, DOCUMENTS, route=("kim",)) == (KIM,)
    assert addresses("workflow:refunds", Severity.PAGE, DOCUMENTS, route=("desk",)) == (DENG, MAIL, KIM)
    assert addresses("workflow:refunds", Severity.TICKET, DOCUMENTS, route=("gone",)) == (MAIL,)


def test_a_rota_is_all_its_members() -> None:
    rota = Rotation(name="nights", members=("deng", "kim"), tz="UTC", first=0)
    told = addresses("workflow:refunds", Severity.TICKET, (*DOCUMENTS, rota), route=("nights",))
    assert told == (DENG, KIM)


def test_where_nobody_can_be_reached_nobody_is_told() -> None:
    assert addresses("*", Severity.PAGE, (Person(name="maria", email="maria@example.com"),)) == ()
