"""People decide over HTTP and on the command line: one view, one decision, reasons, long poll (F2, F4)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from typer.testing import CliRunner, Result

from interlock.cli import actions as cli_actions
from interlock.cli import approvals as cli_approvals
from interlock.cli.moment import moment
from interlock.core.answer import Waiting
from interlock.core.document.identity import Person
from interlock.core.document.tool import ToolServer
from interlock.core.document.workflow import Approvals, Grant
from interlock.core.model import AtEnd, RiskTier
from interlock.errors import InterlockError, NotPermitted, StateConflict, UsageError
from interlock.services.demote import Demote
from interlock.store import people
from interlock.web import actions, approvals
from interlock.web.errors import on_interlock_error
from support.engine import UNKNOWN, World, a_manifest

T = TypeVar("T")
ROLES = {"maria": ("approver",), "deng": (), "kim": ("viewer",), "ops": ("operator",)}


class Served:
    """A world behind a real socket, on a loop of its own."""

    def __init__(self, data: Path) -> None:
        self.world = World(data)
        self.tokens: dict[str, str] = {}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.url = self.do(self._open())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the world's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def ask(self, tool: str = "shop.refund", arguments: dict[str, Any] | None = None) -> Waiting:
        """Propose a call that waits."""
        answer = self.do(self.world.propose(tool, arguments))
        assert isinstance(answer, Waiting)
        return answer

    def client(self, person: str) -> httpx2.Client:
        """Return an HTTP client of `person`."""
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, verify=False)

    def stop(self) -> None:
        """Close everything."""
        self.server.should_exit = True
        self.do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def people(self) -> list[Person]:
        """Return who there is."""
        return [Person(name=name, email="", roles=roles) for name, roles in ROLES.items()]

    async def _open(self) -> str:
        manifest = [each for each in a_manifest() if not isinstance(each, Person)]
        await self.world.open([*manifest, *self.people()])
        for name in ROLES:
            token = await self.world.store.transact(lambda tx, name=name: people.add_token(tx, name))
            self.tokens[name] = token.secret
        app = Starlette(
            routes=[*actions.routes, *approvals.routes],
            exception_handlers={InterlockError: on_interlock_error},
        )
        app.state.wired = SimpleNamespace(
            settings=self.world.settings,
            runtime=self.world.runtime,
            store=self.world.store,
            memory=self.world.memory,
            calls=self.world.calls,
        )
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        self.serving = asyncio.ensure_future(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
            await asyncio.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def _close(self) -> None:
        await self.serving
        await self.world.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    it = Served(tmp_path)
    yield it
    it.stop()


def command(
    served: Served, monkeypatch: pytest.MonkeyPatch, app: Any, *words: str, person: str = "maria"
) -> Result:
    """Run one command as `person`."""
    monkeypatch.setenv("INTERLOCK_URL", served.url)
    monkeypatch.setenv("INTERLOCK_TOKEN", served.tokens[person])
    return CliRunner().invoke(app, [*words], catch_exceptions=True)


def test_one_view_holds_all_that_is_needed_to_decide(served: Served) -> None:
    first = served.ask(arguments={"order": 9, "note": "\x1b[2Jno\nsuch"})
    with served.client("maria") as client:
        listed = client.get("/api/v1/approvals").json()["items"]
        found = client.get(f"/api/v1/approvals/{first.approval}").json()
    assert [each["id"] for each in listed] == [first.approval]
    assert found["call"]["arguments"] == {"order": 9, "note": "\x1b[2Jno\nsuch"}
    assert found["call"]["tier"] == "high_blast_radius"
    assert found["tool"]["blast_radius"]["impact"] == "a wrong order"
    assert found["tool"]["undo"]["tool"] == "shop.read"
    assert found["approvers"] == ["maria", "deng"]
    assert (found["requester"], found["owner"], found["changed_since"]) == ("kim", "maria", None)
    assert found["reasons"]
    shown = cli_approvals.view(found)
    assert "\x1b" not in shown
    assert "shop.refund" in shown
    assert not any(each.startswith("such") for each in shown.splitlines())


def test_an_approved_call_runs_and_a_long_poll_sees_the_decision(served: Served) -> None:
    first = served.ask()
    with served.client("maria") as client, served.client("kim") as watcher:
        polled: list[Any] = []
        poll = threading.Thread(
            target=lambda: polled.append(watcher.get(f"/api/v1/approvals/{first.approval}?wait=20").json())
        )
        poll.start()
        done = client.post(f"/api/v1/approvals/{first.approval}/approve", json={})
        poll.join(20)
        assert done.status_code == 200
        assert polled[0]["state"] == "approved"
        served.do(served.world.until(first.action, "succeeded"))
        again = client.post(f"/api/v1/approvals/{first.approval}/reject", json={"reason": "late"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "state_conflict")
    assert len(served.world.script.effects) == 1


def test_who_approves_a_call_with_a_delay_is_told_when_it_is_carried_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    demote = Demote(store=served.world.store, memory=served.world.memory)
    served.do(demote("orders", "shop.later", by="maria", reason="look at each"))
    first = served.ask("shop.later")
    told = command(served, monkeypatch, cli_approvals.app, "approve", first.approval).output
    with served.client("maria") as client:
        due = client.get(f"/api/v1/actions/{first.action}").json()["due_at"]
        shown = cli_approvals.view(client.get(f"/api/v1/approvals/{first.approval}").json())
    assert f"is carried out at {moment(due)}, and can be cancelled until then." in told
    assert "then it expires" not in shown, "what was decided does not expire"


def test_reach_and_votes_are_shown_as_those_of_the_very_call(served: Served) -> None:
    first = served.ask(arguments={"order": 9})
    with served.client("maria") as client:
        found = client.get(f"/api/v1/approvals/{first.approval}").json()
        found["tool"]["blast_radius"]["money"] = "$args.order"
        assert "(money 9)" in cli_approvals.view(found)
        done = client.post(f"/api/v1/approvals/{first.approval}/approve", json={}).json()
    two = found | {
        "needs": 2, "state": "approved", "decided_by": "maria", "decided_at": done["decided_at"],
        "votes": [{"person": "deng", "at": 1, "reason": ""}],
    }  # fmt: skip
    assert "agreed       2 of 2: deng at 1970-01-01 00:00:00Z, maria at" in cli_approvals.view(two)


@pytest.mark.parametrize("person", ["kim", "ops"])
def test_who_is_not_an_approver_cannot_decide(served: Served, person: str) -> None:
    first = served.ask()
    with served.client(person) as client:
        refused = client.post(f"/api/v1/approvals/{first.approval}/approve", json={})
    assert refused.status_code == 403
    assert served.world.script.effects == []


def test_a_token_that_was_narrowed_decides_nothing_by_its_persons_name(served: Served) -> None:
    first = served.ask()
    cut = served.do(served.world.store.transact(lambda tx: people.add_token(tx, "maria", roles=())))
    headers = {"Authorization": f"Bearer {cut.secret}"}
    acts: dict[str, Any] = {
        f"approvals/{first.approval}/approve": {},
        f"approvals/{first.approval}/reject": {"reason": "no"},
        f"approvals/{first.approval}/modify": {"arguments": {"order": 2}, "reason": "no"},
        f"actions/{first.action}/cancel": {"reason": "no"},
        f"actions/{first.action}/resolve": {"happened": True, "reason": "no"},
    }
    with httpx2.Client(base_url=served.url, headers=headers) as client:
        for path, body in acts.items():
            assert client.post(f"/api/v1/{path}", json=body).status_code == 403, path
    assert served.do(served.world.action(first.action)).state.value == "waiting_approval"
    assert served.world.script.effects == []


def test_nobody_is_shown_a_part_of_the_arguments_as_if_it_were_all(served: Served) -> None:
    hidden = {"filler": "x" * 60_000, "order": 666}
    first = served.ask(arguments=hidden)
    with served.client("maria") as client:
        found = client.get(f"/api/v1/approvals/{first.approval}").json()
        short = client.get(f"/api/v1/approvals/{served.ask(arguments={'order': 1}).approval}").json()
    assert "NOT ALL SHOWN" in cli_approvals.view(found)
    assert f"show {first.approval} --json" in cli_approvals.view(found)
    assert "NOT ALL SHOWN" not in cli_approvals.view(short)


def test_json_for_programs_cannot_steer_a_terminal(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = {"note": "\x1b[2J \x9b2J \u202egnp.exe \u200b \U000e0041 é 😀"}
    first = served.ask(arguments=evil)
    said = command(served, monkeypatch, cli_approvals.app, "show", first.approval, "--json").output
    assert not [each for each in said if each != "\n" and not each.isprintable()]
    assert json.loads(said)["call"]["arguments"] == evil
    assert "é 😀" in said


def test_rejecting_needs_a_reason_and_the_agent_hears_it(served: Served) -> None:
    first = served.ask()
    with served.client("deng") as client:
        path = f"/api/v1/approvals/{first.approval}/reject"
        assert client.post(path, json={"reason": " "}).status_code == 400
        assert client.post(path, json={}).status_code == 400
        assert client.post(path, json={"reason": "wrong order"}).json()["state"] == "rejected"
    answer = served.do(served.world.propose())
    assert (answer.state, answer.reason) == ("rejected", "wrong order")  # type: ignore[union-attr]


def test_modified_arguments_are_checked_and_decided_like_a_new_call(served: Served) -> None:
    first = served.ask()
    path = f"/api/v1/approvals/{first.approval}/modify"
    with served.client("maria") as client:
        twice = client.post(path, content=b'{"arguments": {"order": 2, "order": 3}, "reason": "x"}')
        assert twice.status_code == 400
        same = client.post(path, json={"arguments": {"order": 1}, "reason": "x"})
        assert same.status_code == 400
        asked = client.post(path, json={"arguments": {"order": 2}, "reason": "x", "four_eyes": True}).json()
        assert asked["state"] == "pending"
        mine = client.post(f"/api/v1/approvals/{asked['id']}/approve", json={})
        assert mine.status_code == 403
    with served.client("deng") as client:
        client.post(f"/api/v1/approvals/{asked['id']}/approve", json={}).raise_for_status()
    served.do(served.world.until(asked["action"], "succeeded"))
    assert [each.arguments for each in served.world.script.effects] == [{"order": 2}]


def test_the_same_on_the_command_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    first = served.ask()
    shown = command(served, monkeypatch, cli_approvals.app, "list")
    assert first.approval in shown.output
    assert "shop.refund" in command(served, monkeypatch, cli_approvals.app, "show", first.approval).output
    refused = command(served, monkeypatch, cli_approvals.app, "approve", first.approval, person="kim")
    assert isinstance(refused.exception, NotPermitted)
    broken = command(
        served, monkeypatch, cli_approvals.app, "modify", first.approval, "--reason", "x", "--arguments", "{"
    )
    assert isinstance(broken.exception, UsageError)
    done = command(
        served, monkeypatch, cli_approvals.app, "modify", first.approval, "--reason", "the other one",
        "--arguments", '{"order": 2}', "--json",
    )  # fmt: skip
    revision = json.loads(done.output)
    assert revision["state"] == "approved"
    served.do(served.world.until(revision["action"], "succeeded"))
    late = command(served, monkeypatch, cli_approvals.app, "reject", first.approval, "--reason", "no")
    assert isinstance(late.exception, StateConflict)
    everything = command(served, monkeypatch, cli_approvals.app, "list", "--all", "--json")
    assert {each["state"] for each in json.loads(everything.output)["items"]} == {
        "superseded",
        "approved",
    }


def test_equal_requests_stand_together_and_are_decided_one_by_one_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [served.ask(arguments={"order": number}) for number in (1, 2, 3)]
    other = served.ask("shop.peek")
    with served.client("maria") as client:
        groups = client.get("/api/v1/approvals/digest").json()["items"]
        assert [(each["tool"], len(each["items"])) for each in groups] == [
            ("shop.refund", 3),
            ("shop.peek", 1),
        ]
        assert [each["arguments"]["order"] for each in groups[0]["items"]] == [1, 2, 3]
        items = [{"id": each["id"], "digest": each["digest"]} for each in groups[0]["items"]]
        body = {"act": "approve", "items": [items[0], {**items[1], "digest": "another"}], "reason": "fine"}
        told = client.post("/api/v1/approvals/decisions", json=body).json()["items"]
        assert told[0]["approval"]["state"] == "approved"
        assert told[1]["error"]["code"] == "state_conflict"
        for broken in ([], [items[0]] * 101):
            refused = client.post("/api/v1/approvals/decisions", json={**body, "items": broken})
            assert refused.status_code == 400
        missing = {"act": "reject", "items": [{"id": "apr_none", "digest": "x"}], "reason": "no"}
        lost = client.post("/api/v1/approvals/decisions", json=missing).json()["items"]
        assert lost[0]["error"]["code"] == "not_found"
    with served.client("kim") as client:
        told = client.post("/api/v1/approvals/decisions", json={**body, "items": [items[2]]}).json()["items"]
        assert told[0]["error"]["code"] == "not_permitted"
    shown = command(served, monkeypatch, cli_approvals.app, "digest").output
    assert f"interlock approvals approve {alike[1].approval} {alike[2].approval}" in shown
    asked = command(served, monkeypatch, cli_approvals.app, "approve", alike[1].approval, alike[2].approval)
    assert (asked.exit_code, "shop.refund" in asked.output) == (1, True), "nobody said yes"
    done = command(
        served, monkeypatch, cli_approvals.app, "approve", "--yes", alike[1].approval, alike[2].approval
    )
    assert (done.exit_code, done.output.count("Approved by maria")) == (0, 2)
    gone = command(
        served, monkeypatch, cli_approvals.app, "reject", "--yes", "--reason", "no", other.approval,
        alike[1].approval, "--json",
    )  # fmt: skip
    assert gone.exit_code == 1
    assert [bool(each["error"]) for each in json.loads(gone.output)["items"]] == [False, True]
    for each in alike:
        served.do(served.world.until(each.action, "succeeded"))


def test_nothing_is_decided_together_whose_arguments_cannot_be_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, long = served.ask(), served.ask(arguments={"filler": "x" * 60_000})
    refused = command(
        served, monkeypatch, cli_approvals.app, "approve", "--yes", first.approval, long.approval
    )
    assert isinstance(refused.exception, UsageError)
    many = [f"apr_{number}" for number in range(101)]
    assert isinstance(command(served, monkeypatch, cli_approvals.app, "approve", *many).exception, UsageError)
    assert served.world.script.effects == []


def test_a_list_is_narrowed_to_a_workflow_a_tool_and_what_asks_oneself(served: Served) -> None:
    first, second = served.ask(), served.ask("shop.peek")
    with served.client("maria") as client:

        def found(**narrowed: str) -> set[str]:
            return {each["id"] for each in client.get("/api/v1/approvals", params=narrowed).json()["items"]}

        assert found(tool="shop.peek") == {second.approval}
        assert found(workflow="orders", mine="true") == {first.approval, second.approval}
        assert found(workflow="returns") == set()
        assert client.get("/api/v1/approvals", params={"mine": "perhaps"}).status_code == 400
    with served.client("kim") as client:
        assert found() == {first.approval, second.approval}
        assert client.get("/api/v1/approvals", params={"mine": "true"}).json()["items"] == []


def test_the_command_line_shows_stages_and_how_many_have_agreed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = Approvals(approvers=("desk",), escalation=("kim",), four_eyes=tuple(RiskTier), at_end=AtEnd.PARK)
    manifest = [
        *served.people(),
        *(each for each in a_manifest(approvals=route) if not isinstance(each, Person)),
    ]
    served.do(served.world.apply(manifest))
    first = served.ask()
    once = command(served, monkeypatch, cli_approvals.app, "approve", first.approval, "--reason", "checked")
    assert "Agreed, 1 of 2: it waits for another person." in once.output
    again = command(served, monkeypatch, cli_approvals.app, "approve", first.approval)
    assert isinstance(again.exception, StateConflict)
    shown = command(served, monkeypatch, cli_approvals.app, "show", first.approval).output
    assert "agreed       1 of 2: maria at" in shown
    assert "(checked)" in shown
    assert "stage        approvers until" in shown
    assert "then escalation: kim" in shown
    assert "parked until somebody decides" in shown
    listed = command(served, monkeypatch, cli_approvals.app, "list").output
    assert "1 of 2" in listed
    assert first.approval not in command(served, monkeypatch, cli_approvals.app, "digest").output
    early = command(served, monkeypatch, cli_approvals.app, "approve", first.approval, person="kim")
    assert isinstance(early.exception, NotPermitted)
    done = command(served, monkeypatch, cli_approvals.app, "approve", first.approval, person="deng")
    assert "Approved by deng" in done.output
    served.do(served.world.until(first.action, "succeeded"))


def test_a_question_is_answered_on_the_command_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = (Grant(tool="people.ask"), Grant(tool="people.value"))
    shop = [each for each in a_manifest(grants=grants) if not isinstance(each, Person)]
    served.do(served.world.apply([*shop, *served.people(), ToolServer(name="people", transport="people")]))
    served.world.trust()
    first = served.ask("people.ask", {"question": "Which one? \x1b[2J"})
    second = served.ask("people.value", {"question": "How many?", "schema": {"type": "integer"}})
    shown = command(served, monkeypatch, cli_approvals.app, "show", first.approval).output
    assert "question     Which one?" in shown
    assert f"interlock approvals answer {first.approval} TEXT" in shown
    assert "reach" not in shown
    asked = command(served, monkeypatch, cli_approvals.app, "show", second.approval).output
    assert "must fit" in asked
    together = command(served, monkeypatch, cli_approvals.app, "digest").output
    assert f"interlock approvals answer ID, of {first.approval}" in together
    misplaced = command(served, monkeypatch, cli_approvals.app, "approve", first.approval)
    assert isinstance(misplaced.exception, UsageError)
    assert "nobody can approve it" in misplaced.exception.message
    for wrong in ([], ["words", "--value", "3"], ["--value", "{"]):
        refused = command(served, monkeypatch, cli_approvals.app, "answer", second.approval, *wrong)
        assert isinstance(refused.exception, UsageError)
    done = command(served, monkeypatch, cli_approvals.app, "answer", first.approval, "The blue one.")
    assert "Answered by maria." in done.output
    command(served, monkeypatch, cli_approvals.app, "answer", second.approval, "--value", "3")
    shown = command(served, monkeypatch, cli_approvals.app, "show", second.approval).output
    assert "answer       3" in shown
    with served.client("maria") as client:
        twice = client.post(
            f"/api/v1/approvals/{first.approval}/answer", content=b'{"answer": {"a": 1, "a": 2}}'
        )
        assert twice.status_code == 400


def test_actions_are_listed_shown_cancelled_and_resolved(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = served.ask("shop.later")
    stopped = command(
        served, monkeypatch, cli_actions.app, "cancel", later.action, "--reason", "not needed", person="ops"
    )
    assert "cancelled" in stopped.output
    refused = command(
        served, monkeypatch, cli_actions.app, "cancel", later.action, "--reason", "x", person="kim"
    )
    assert isinstance(refused.exception, NotPermitted)
    served.world.script.answers = [UNKNOWN]
    doubtful = served.do(served.world.propose("shop.write"))
    served.world.ahead(400)
    listed = command(served, monkeypatch, cli_actions.app, "list", "--state", "in_doubt", "--json")
    assert [each["id"] for each in json.loads(listed.output)["items"]] == [doubtful.action]  # type: ignore[union-attr]
    done = command(
        served, monkeypatch, cli_actions.app, "resolve", doubtful.action, "--happened",  # type: ignore[union-attr]
        "--reason", "in the ledger", person="ops",
    )  # fmt: skip
    assert "succeeded" in done.output
    shown = command(served, monkeypatch, cli_actions.app, "show", doubtful.action)  # type: ignore[union-attr]
    assert "in_doubt" in shown.output
    assert "in the ledger" in shown.output
