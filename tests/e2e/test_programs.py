"""Programs over plain HTTP: what strangers, careless programs and dying ones can do (E1, invariant 5)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.served import PEOPLE, Served, functions, served, tool, until, workflow

MANIFEST = (
    PEOPLE
    + functions("shop")
    + functions("vault")
    + tool("shop.write", "limited_write", more=", undo: {tool: shop.unwrite, arguments: {}}")
    + tool("shop.unwrite", "limited_write", "idempotent", ", delay: 10m")
    + tool("vault.open", "limited_write", more=", delay: 10m")
    + workflow("shop.write", more=", breaker: {tool_failures: 100}")
)
WRITE = {"name": "write", "inputSchema": {"type": "object"}}


class Program:
    """One run's token and what it can ask for."""

    def __init__(self, server: Served) -> None:
        headers = {"Authorization": f"Bearer {server.token('work')}"}
        self.http = httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60)

    def offer(self, wait: float = 0, server: str = "shop") -> httpx2.Response:
        """Offer the function, and take a call of it."""
        return self.http.post(f"/functions/{server}/take", json={"functions": [WRITE], "wait": wait})

    def propose(self, key: str, **body: Any) -> httpx2.Response:
        """Propose a call of the function."""
        asked = {"tool": "shop.write", "arguments": {"n": 1}, "wait": 0, **body}
        return self.http.post("/actions", json=asked, headers={"Idempotency-Key": key})

    def proposed(self, key: str, answers: list[httpx2.Response]) -> threading.Thread:
        """Propose a call beside; its answer goes into `answers`."""
        thread = threading.Thread(target=lambda: answers.append(self.propose(key)))
        thread.start()
        return thread

    def said(self, ticket: str, what: str, **body: Any) -> int:
        """Start or finish a call; return the status."""
        return self.http.post(f"/functions/shop/calls/{ticket}/{what}", json=body).status_code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose calls time out soon."""
    data: Path = tmp_path_factory.mktemp("programs") / "data"
    with served(data, MANIFEST, INTERLOCK_CALL_TIMEOUT="2") as running:
        yield running


@pytest.fixture
def program(server: Served) -> Iterator[Program]:
    """A program with a run of its own that has offered its function."""
    one = Program(server)
    assert one.offer().status_code == 204
    yield one
    one.http.close()


def test_a_call_is_taken_started_and_finished_by_the_program_of_its_run_alone(
    server: Served, program: Program
) -> None:
    other, answers = Program(server), list[httpx2.Response]()
    other.offer()
    waiting = program.proposed("k1", answers)
    assert other.offer(wait=0.5).status_code == 204
    ticket = program.offer(wait=5).json()
    assert (ticket["tool"], ticket["arguments"]) == ("write", {"n": 1})
    for what, body in (("start", {}), ("finish", {"ended": "succeeded", "result": 1})):
        assert other.said(ticket["id"], what, **body) == 409
    assert program.said(ticket["id"], "finish", ended="succeeded", result=1) == 409  # not started
    assert program.said(ticket["id"], "start") == 200
    assert program.said(ticket["id"], "start") == 409
    assert program.said(ticket["id"], "finish", ended="succeeded", result={"id": 7}) == 200
    waiting.join()
    [answer] = answers
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.json()["result"]["structuredContent"] == {"id": 7}
    assert program.said(ticket["id"], "finish", ended="failed") == 409
    other.http.close()


def test_a_call_that_no_program_took_was_not_sent(program: Program) -> None:
    answer = program.propose("k2")
    assert answer.json()["state"] == "failed"
    assert "Nothing was sent" in answer.json()["message"]


def test_a_program_that_dies_while_it_runs_a_call_leaves_it_in_doubt(
    server: Served, program: Program
) -> None:
    answers = list[httpx2.Response]()
    waiting = program.proposed("k3", answers)
    ticket = program.offer(wait=5).json()
    assert program.said(ticket["id"], "start") == 200
    waiting.join()
    assert answers[0].json()["state"] == "in_doubt"
    action = answers[0].json()["action"]
    assert server.api(f"actions/{action}")["state"] == "in_doubt"
    again = program.propose("k3")
    assert again.json()["state"] == "in_doubt"  # no machine repeats it


def test_a_ticket_that_got_lost_on_its_way_is_handed_out_again(program: Program) -> None:
    answers = list[httpx2.Response]()
    waiting = program.proposed("k4", answers)
    first = until(lambda: program.offer(wait=1))
    assert program.offer(wait=0.2).status_code == 204  # it is on its way
    waiting.join()  # nobody started it in time, so nothing was sent
    assert program.said(first.json()["id"], "start") == 409
    assert answers[0].json()["state"] == "failed"


def test_a_program_that_went_away_takes_no_call_with_it(server: Served) -> None:
    program, answers = Program(server), list[httpx2.Response]()
    with pytest.raises(httpx2.ReadTimeout):
        program.http.post("/functions/shop/take", json={"functions": [WRITE], "wait": 30}, timeout=0.5)
    waiting = program.proposed("k7", answers)
    ticket = program.offer(wait=5).json()
    assert program.said(ticket["id"], "start") == 200
    assert program.said(ticket["id"], "finish", ended="succeeded", result={}) == 200
    waiting.join()
    assert answers[0].json()["state"] == "succeeded"
    program.http.close()


@pytest.mark.parametrize("key", ["", "x" * 201, "a b"])
def test_a_call_without_a_key_of_its_own_is_refused(program: Program, key: str) -> None:
    assert program.propose(key).status_code == 400


def test_what_cannot_be_read_or_is_not_granted_is_refused(server: Served, program: Program) -> None:
    headers = {"Idempotency-Key": "k5"}
    twice = b'{"tool": "shop.write", "arguments": {"n": 1, "n": 2}}'
    assert program.http.post("/actions", content=twice, headers=headers).status_code == 400
    assert program.propose("k5", surprise=1).status_code == 400
    assert program.propose("k5", tool="vault.open").status_code == 403
    assert program.offer(server="vault").status_code == 403
    assert program.offer(server="nowhere").status_code == 404
    undone = {"functions": [{**WRITE, "undo": "shop.other"}], "wait": 0}
    assert program.http.post("/functions/shop/take", json=undone).status_code == 400
    assert server.api("actions?state=executing")["items"] == []


def test_a_function_that_is_not_what_was_registered_is_refused_until_a_person_looks(
    program: Program,
) -> None:
    other = {"name": "write", "inputSchema": {"type": "object", "required": ["n"]}, "description": "New."}
    assert (
        program.http.post("/functions/shop/take", json={"functions": [other], "wait": 0}).status_code == 204
    )
    try:
        answer = program.propose("k6")
        assert answer.status_code == 403
        assert answer.json()["reasons"][0]["code"] == "tool_drifted"
    finally:
        program.offer()
