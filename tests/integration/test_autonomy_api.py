"""Owners see what was earned in words, and decide over HTTP and on the command line (F1, F3)."""

from __future__ import annotations

import asyncio
import json
import re
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

from interlock.cli import autonomy as cli_autonomy
from interlock.cli import digest as cli_digest
from interlock.core.document.identity import Person
from interlock.core.model import AutonomyTier
from interlock.errors import InterlockError, UsageError
from interlock.store import people
from interlock.web import autonomy, digests
from interlock.web.errors import on_interlock_error
from support.engine import a_manifest
from support.tracked import Tracked

T = TypeVar("T")
ROLES = {"maria": ("agent_owner",), "deng": ("viewer",), "kim": ("operator",)}
LISTS = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "lists.md").read_text()
PLACE = "/api/v1/autonomy/orders/shop.write"


class Served:
    """A tracked world behind a real socket, on a loop of its own."""

    def __init__(self, data: Path) -> None:
        self.world = Tracked(data)
        self.tokens: dict[str, str] = {}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.url = self.do(self._open())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the world's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def call(
        self, person: str, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx2.Response:
        """Ask the API as `person`."""
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=30, verify=False) as client:
            return client.request(method, path, json=body)

    def stop(self) -> None:
        """Close everything."""
        self.server.should_exit = True
        self.do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _open(self) -> str:
        manifest = [each for each in a_manifest() if not isinstance(each, Person)]
        persons = [
            Person(name=name, email=f"{name}@example.com", roles=roles) for name, roles in ROLES.items()
        ]
        await self.world.open([*manifest, *persons])
        for name in ROLES:
            token = await self.world.store.transact(lambda tx, name=name: people.add_token(tx, name))
            self.tokens[name] = token.secret
        narrowed = await self.world.store.transact(lambda tx: people.add_token(tx, "maria", roles=["viewer"]))
        self.tokens["maria, narrowed"] = narrowed.secret
        app = Starlette(
            routes=[*autonomy.routes, *digests.routes],
            exception_handlers={InterlockError: on_interlock_error},
        )
        world = self.world
        app.state.wired = SimpleNamespace(
            settings=world.settings, store=world.store, memory=world.memory, runtime=world.runtime,
            tracked=world.tracked, authenticator=None,
        )  # fmt: skip
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
        self.task = asyncio.get_running_loop().create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
            await asyncio.sleep(0.01)
        return f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        await self.task
        await self.world.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("autonomy"))
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def anew(served: Served) -> None:
    """Begin each test with a record at its usual tier."""
    served.do(served.world.put(AutonomyTier.ASYNC_REVIEW, clean=0, failed=0, alarm=0, proposed_at=0))


def command(
    served: Served, monkeypatch: pytest.MonkeyPatch, app: Any, *words: str, person: str = "maria"
) -> Result:
    monkeypatch.setenv("INTERLOCK_URL", served.url)
    monkeypatch.setenv("INTERLOCK_TOKEN", served.tokens[person])
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner().invoke(app, list(words))


def fields_of(path: str) -> set[str]:
    row = re.search(rf"^\| `GET {path}` \|.*\|(.*)\|$", LISTS, re.MULTILINE)
    assert row is not None
    return set(re.findall(r"`(\w+)`", row[1]))


def test_how_far_the_proof_has_come_is_said_in_words(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.do(served.world.put(clean=212))
    shown = command(served, monkeypatch, cli_autonomy.app, "show", "orders")
    assert "not yet proved: 212 of about 341 clean trials" in shown.stdout
    assert "runs, reviewed daily" in shown.stdout
    one = command(served, monkeypatch, cli_autonomy.app, "show", "orders", "shop.write").stdout
    assert "at least 98.60% correct, with 95 % confidence; more than 99% is to be proved" in one
    assert "alarm  0.0 of 4.0; at 4.0 one step of freedom is lost" in one
    (item,) = [
        each
        for each in served.call("deng", "GET", "/api/v1/autonomy?workflow=orders").json()["items"]
        if each["tool"] == "shop.write"
    ]
    assert set(item) == fields_of("/api/v1/autonomy")
    assert (item["clean"], item["clean_needed"], item["next_tier"]) == (212, 341, "autonomous")
    assert (item["owner"], item["usual"]) == ("maria", "async_review")
    whole = json.loads(
        command(served, monkeypatch, cli_autonomy.app, "show", "orders", "shop.write", "--json").stdout
    )
    assert whole["says"] == item["says"]


def test_a_workflow_that_there_is_not_is_said_so_with_the_one_that_was_meant(served: Served) -> None:
    missing = served.call("deng", "GET", "/api/v1/autonomy?workflow=order")
    assert missing.status_code == 404
    assert "no workflow named 'order'" in missing.text
    assert "Did you mean orders?" in missing.text


def test_only_tools_that_change_something_earn_anything(served: Served) -> None:
    found = served.call("deng", "GET", "/api/v1/autonomy").json()["items"]
    assert {each["tool"] for each in found} == {"shop.write", "shop.refund", "shop.later"}
    assert {each["workflow"] for each in found} == {"orders", "returns", "audits"}
    assert served.call("deng", "GET", "/api/v1/autonomy/orders/shop.read").status_code == 404
    assert served.call("deng", "POST", "/api/v1/autonomy/none/shop.read/promote", {}).status_code == 404


def test_without_evidence_nobody_promotes_and_the_refusal_says_why(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.do(served.world.put(clean=212))
    for verb in ("propose", "promote"):
        refused = served.call("maria", "POST", f"{PLACE}/{verb}", {"reason": "good"})
        assert refused.status_code == 409
        assert refused.json()["error"]["message"] == "Not yet proved: 212 of about 341 clean trials."
    said = command(served, monkeypatch, cli_autonomy.app, "promote", "orders", "shop.write", "--reason", "x")
    assert said.exit_code == 1


def test_who_answers_for_it_promotes_and_history_says_who_and_why(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.do(served.world.put(clean=400))
    for person in ("deng", "kim", "maria, narrowed"):
        assert served.call(person, "POST", f"{PLACE}/promote", {"reason": "good"}).status_code == 403, person
    assert served.call("deng", "POST", f"{PLACE}/propose", {}).status_code == 403
    assert served.call("kim", "POST", f"{PLACE}/propose", {}).json()["proposed_at"]
    proposed = command(served, monkeypatch, cli_autonomy.app, "propose", "orders", "shop.write")
    assert "maria may let orders go on with shop.write: runs on its own." in proposed.stdout
    arguments = ("promote", "orders", "shop.write", "--reason", "400 clean")
    done = command(served, monkeypatch, cli_autonomy.app, *arguments)
    assert done.stdout == "orders with shop.write: runs on its own.\n"
    top = command(served, monkeypatch, cli_autonomy.app, "show", "orders", "shop.write")
    assert "nothing to prove: it runs on its own" in top.stdout
    shown = command(served, monkeypatch, cli_autonomy.app, "history", "orders")
    assert "400 clean" in shown.stdout
    (change, *_) = served.call("deng", "GET", "/api/v1/autonomy/history?workflow=orders").json()["items"]
    assert set(change) == fields_of("/api/v1/autonomy/history")
    assert (change["person"], change["cause"], change["clean"]) == ("maria", "evidence", 400)


def test_operators_and_owners_demote_and_nobody_without_a_reason(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.call("deng", "POST", f"{PLACE}/demote", {"reason": "odd"}).status_code == 403
    assert served.call("kim", "POST", f"{PLACE}/demote", {"reason": " "}).status_code == 400
    words = ("demote", "orders", "shop.write", "--reason", "odd", "--severe")
    done = command(served, monkeypatch, cli_autonomy.app, *words)
    assert done.stdout == "orders with shop.write: asks a person first.\n"
    assert served.call("kim", "POST", f"{PLACE}/demote", {"reason": "more"}).status_code == 409
    blank = command(served, monkeypatch, cli_autonomy.app, "demote", "orders", "shop.write", "--reason", " ")
    assert isinstance(blank.exception, UsageError)


def test_a_digest_is_listed_shown_and_marked_item_by_item(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = served.do(served.world.works(3))
    digest = served.do(served.world.digest())
    (listed,) = served.call("deng", "GET", "/api/v1/digests?owner=maria").json()["items"]
    assert set(listed) == fields_of("/api/v1/digests")
    assert (listed["id"], listed["items"], listed["opened_by"]) == (digest, 3, None)
    assert "not yet" in command(served, monkeypatch, cli_digest.app, "list").stdout
    assert served.call("deng", "POST", f"/api/v1/digests/{digest}/opened", {}).status_code == 403
    command(served, monkeypatch, cli_digest.app, "show", digest, person="kim")
    assert served.call("deng", "GET", f"/api/v1/digests/{digest}").json()["opened_by"] is None
    shown = command(served, monkeypatch, cli_digest.app, "show", digest)
    assert one.id in shown.stdout
    assert "reviewed afterwards" in shown.stdout
    assert served.call("deng", "GET", f"/api/v1/digests/{digest}").json()["opened_by"] == "maria"
    assert json.loads(command(served, monkeypatch, cli_digest.app, "show", digest, "--json").stdout)["yours"]

    assert (
        served.call("kim", "POST", f"/api/v1/digests/items/{one.id}/mark", {"mark": "fine"}).status_code
        == 403
    )
    mark = ("mark", one.id, "fine")
    assert command(served, monkeypatch, cli_digest.app, *mark).stdout == f"{one.id}: fine. It is succeeded.\n"
    odd = command(served, monkeypatch, cli_digest.app, "mark", two.id, "odd")
    assert isinstance(odd.exception, UsageError)
    words = ("mark", two.id, "needs-rule", "--reason", "not at night")
    assert command(served, monkeypatch, cli_digest.app, *words).exit_code == 0
    bare = command(served, monkeypatch, cli_digest.app, "mark", three.id, "reverse")
    assert isinstance(bare.exception, UsageError)
    reverse = ("mark", three.id, "reverse", "--reason", "wrong order")
    reversed_ = command(served, monkeypatch, cli_digest.app, *reverse)
    assert reversed_.exit_code == 0, reversed_.exception
    again = command(served, monkeypatch, cli_digest.app, *reverse)
    assert "maria had it reversed already: wrong order" in str(again.exception)
    action = served.do(served.world.action(three.id))
    assert action.state.value in ("compensating", "compensated")
    found = served.call("maria", "GET", f"/api/v1/digests/{digest}").json()["calls"]
    assert [each["mark"] for each in found] == ["fine", "needs_rule", "reverse"]
    assert served.call("maria", "GET", "/api/v1/digests/dig_none").status_code == 404
