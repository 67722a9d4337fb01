"""The SDK: plain functions, governed; in process, over the local socket and over a URL alike."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import interlock
from interlock.errors import (
    Denied,
    InDoubt,
    OutcomeUnknown,
    Pending,
    ToolFailed,
    TurnedDown,
    UsageError,
)
from support.served import PEOPLE, apply, environment, functions, read_tool, serving, tool, until
from support.warm import INTERLOCK

NO_ARGUMENTS = ", undo: {tool: billing.uncharge, arguments: {}}"
SETTLEMENT = (
    ", settlement: {confirm: {tool: billing.capture, arguments: {hold: $result.hold}},"
    " void: {tool: billing.release, arguments: {hold: $result.hold}}, within: 1h}"
)
MANIFEST = (
    PEOPLE
    + """---
apiVersion: interlock/v1
kind: Person
metadata: {name: deng}
spec: {email: deng@example.com, roles: [approver]}
"""
    + functions("billing")
    + read_tool("billing.balance")
    + tool("billing.charge", "limited_write", more=NO_ARGUMENTS.replace("{}", "{charge: $result.id}"))
    + tool("billing.uncharge", "limited_write", "idempotent", ", delay: 10m")
    + "".join(
        tool(f"billing.{each}", "limited_write", more=NO_ARGUMENTS)
        for each in ("fails", "times_out", "unknown")
    )
    + tool("billing.payout")
    + tool("billing.transfer", "limited_write", "idempotent", SETTLEMENT)
    + tool("billing.transfer_soon", "limited_write", "idempotent", SETTLEMENT)
    + tool("billing.capture", "high_blast_radius", "idempotent")
    + tool("billing.release", "limited_write", "idempotent")
    + """---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: invoices}
spec:
  agent: bot
  owner: maria
  tools:
    - {tool: billing.balance}
    - {tool: billing.charge, where: {args.cents: {le: 1000}}}
    - {tool: billing.payout}
    - {tool: billing.transfer}
    - {tool: billing.transfer_soon}
    - {tool: billing.fails}
    - {tool: billing.times_out}
    - {tool: billing.unknown}
  approvals: {approvers: [deng]}
  breaker: {tool_failures: 100}
  on_failure: undo
"""
)


@dataclass(slots=True)
class Effects:
    """What the functions really did, and in which thread."""

    charged: list[str] = field(default_factory=list[str])
    threads: list[int] = field(default_factory=list[int])


EFFECTS = Effects()


@interlock.tool("billing.balance")
def balance(customer: str) -> int:
    """Return what a customer owes."""
    return len(customer)


@interlock.tool("billing.charge", undo="billing.uncharge")
def charge(customer: str, cents: int = 5) -> dict[str, Any]:
    """Charge a customer."""
    EFFECTS.threads.append(threading.get_ident())
    EFFECTS.charged.append(customer)
    return {"id": f"ch_{customer}", "cents": cents}


@interlock.tool("billing.uncharge")
def uncharge(charge: str) -> str:
    """Give a charge back."""
    EFFECTS.charged.append(f"refund of {charge}")
    return "refunded"


def raising(name: str, error: Exception) -> Any:
    """Return a function that fails; each has a name of its own, for failures cost a tool its freedom."""

    @interlock.tool(f"billing.{name}", undo="billing.uncharge")
    def code(customer: str) -> str:
        EFFECTS.charged.append(customer)
        raise error

    return code


fails = raising("fails", ValueError("no such customer"))
times_out = raising("times_out", TimeoutError("late"))
unknown = raising("unknown", OutcomeUnknown("who knows"))


@interlock.tool("billing.payout")
async def payout(to: str) -> str:
    """Pay out."""
    await asyncio.sleep(0)
    EFFECTS.charged.append(to)
    EFFECTS.threads.append(threading.get_ident())
    return f"paid {to}"


@interlock.tool("billing.transfer")
def transfer(to: str) -> dict[str, str]:
    """Set money aside for somebody."""
    return transfer_code(to)


@interlock.tool("billing.transfer_soon")
async def transfer_soon(to: str) -> dict[str, str]:
    """Set money aside for somebody."""
    return transfer_code(to)


def transfer_code(to: str) -> dict[str, str]:
    """Do what both transfers do."""
    EFFECTS.charged.append(f"held for {to}")
    return {"hold": to}


@interlock.tool("billing.capture")
def capture(hold: str) -> str:
    """Let money go."""
    EFFECTS.charged.append(f"paid {hold}")
    return "paid"


@interlock.tool("billing.release")
def release(hold: str) -> str:
    """Give back what was held."""
    EFFECTS.charged.append(f"released {hold}")
    return "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One data directory and how a program reaches it."""

    data: Path
    url: str | None
    deng: str

    def run(self, **options: Any) -> Any:
        """Return a run of the workflow."""
        return interlock.run("invoices", data=self.data, url=self.url, **options)

    def cli(self, *arguments: str, token: str = "") -> Any:
        """Run a command and return its JSON."""
        known = environment(self.data, **({"INTERLOCK_TOKEN": token} if token else {}))
        done = subprocess.run(
            [*INTERLOCK, *arguments, "--json"], env=known, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def _waiting(self) -> list[dict[str, Any]]:
        return [each for each in self.cli("approvals", "list")["items"] if each["state"] == "pending"]

    def decide(self, verb: str, *more: str) -> None:
        """Have another person decide on the one call that waits, once it does."""
        while not (waiting := self._waiting()):
            time.sleep(0.1)
        self.cli("approvals", verb, waiting[0]["id"], *more, token=self.deng)


@pytest.fixture(scope="module", params=["in process", "url"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The same manifest, served by this process, or by a server."""
    data = tmp_path_factory.mktemp("sdk") / "data"
    apply(data, MANIFEST)
    if request.param == "in process":
        yield Place(data=data, url=None, deng=_deng(data))
        return
    with serving(data) as server:
        yield Place(data=data, url=server.url if request.param == "url" else None, deng=_deng(data))


def _deng(data: Path) -> str:
    command = [*INTERLOCK, "token", "create", "--person", "deng", "--json"]
    done = subprocess.run(command, env=environment(data), capture_output=True, text=True, check=True)
    token: str = json.loads(done.stdout)["token"]
    return token


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    """Forget the effects of the test before."""
    EFFECTS.charged.clear()
    EFFECTS.threads.clear()


def beside(work: Callable[[], object]) -> threading.Thread:
    """Do something in another thread."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_allowed_call_runs_where_it_was_called_and_returns_its_own_value(place: Place) -> None:
    with place.run() as run:
        assert charge("ann", cents=7) == {"id": "ch_ann", "cents": 7}
        assert balance("ann") == 3
    assert EFFECTS.threads == [threading.get_ident()]
    [action] = place.cli("actions", "list", "--run", run.id)["items"]
    assert (action["tool"], action["state"]) == ("billing.charge", "succeeded")
    assert place.cli("runs", "show", run.id)["state"] == "closed"


def test_a_denied_call_never_runs_and_says_why(place: Place) -> None:
    with place.run(), pytest.raises(Denied, match=r"args\.cents") as denied:
        charge("ann", cents=1001)
    assert EFFECTS.charged == []
    assert denied.value.reasons


def test_a_function_outside_of_a_run_never_runs() -> None:
    with pytest.raises(UsageError, match="no run is open"):
        charge("ann")
    assert EFFECTS.charged == []


def test_a_functions_own_error_is_raised_and_the_action_failed(place: Place) -> None:
    with place.run() as run, pytest.raises(ValueError, match="no such customer"):
        fails("ann")
    [action] = place.cli("actions", "list", "--run", run.id)["items"]
    assert action["state"] == "failed"


@pytest.mark.parametrize(("code", "error"), [(times_out, TimeoutError), (unknown, OutcomeUnknown)])
def test_an_effect_that_nobody_knows_of_is_in_doubt(place: Place, code: Any, error: type[Exception]) -> None:
    with place.run() as run:
        with pytest.raises(InDoubt) as doubt:
            code("ann")
        assert isinstance(doubt.value.__cause__, error)
    [action] = place.cli("actions", "list", "--run", run.id)["items"]
    assert action["state"] == "in_doubt"


def test_a_call_that_waits_is_collected_by_the_same_call_in_the_resumed_run(place: Place) -> None:
    async def pay(**options: Any) -> str:
        async with place.run(**options):
            return await payout("zoe")

    with pytest.raises(Pending) as pending:
        asyncio.run(pay(wait=0))
    assert EFFECTS.charged == []
    run = pending.value.run
    place.decide("approve")
    assert asyncio.run(pay(resume=run)) == "paid zoe"
    assert EFFECTS.charged == ["zoe"]


def test_a_program_blocks_until_a_person_has_decided(place: Place) -> None:
    async def pay() -> str:
        async with place.run():
            return await payout("kim")

    person = beside(lambda: place.decide("approve"))
    assert asyncio.run(pay()) == "paid kim"
    assert EFFECTS.threads == [threading.get_ident()]
    person.join()


def test_a_rejected_call_never_runs_and_tells_the_reason(place: Place) -> None:
    async def pay() -> str:
        async with place.run():
            return await payout("eve")

    person = beside(lambda: place.decide("reject", "--reason", "not to eve"))
    with pytest.raises(TurnedDown, match="not to eve") as down:
        asyncio.run(pay())
    assert down.value.state == "rejected"
    assert EFFECTS.charged == []
    person.join()


def test_threads_of_one_program_share_its_run(place: Place) -> None:
    with place.run() as run:
        threads = [beside(lambda name=f"t{number}": charge(name)) for number in range(4)]  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        for thread in threads:
            thread.join()
    assert sorted(EFFECTS.charged) == ["t0", "t1", "t2", "t3"]
    assert set(EFFECTS.threads) == {each.ident for each in threads}
    assert len(place.cli("actions", "list", "--run", run.id)["items"]) == 4


def test_the_same_key_runs_once_and_gives_the_first_outcome(place: Place) -> None:
    with place.run() as run:
        first = charge.keyed("order-1")("ann")
        assert charge.keyed("order-1")("ann") == first
        assert charge("ann") == first
    assert EFFECTS.charged == ["ann", "ann"]
    assert len(place.cli("actions", "list", "--run", run.id)["items"]) == 2


def test_the_outcome_of_a_failed_call_is_told_again_and_not_run_again(place: Place) -> None:
    with place.run():
        with pytest.raises(ValueError, match="no such customer"):
            fails.keyed("order-2")("bob")
        with pytest.raises(ToolFailed, match="no such customer"):
            fails.keyed("order-2")("bob")
    assert EFFECTS.charged == ["bob"]


def test_the_same_key_with_other_arguments_is_refused(place: Place) -> None:
    with place.run():
        charge.keyed("order-3")("ann")
        with pytest.raises(Denied, match="another call"):
            charge.keyed("order-3")("bob")
    assert EFFECTS.charged == ["ann"]


def test_a_program_whose_undo_is_not_the_reviewed_one_opens_no_run(place: Place, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import interlock\n"
        "@interlock.tool('billing.charge', undo='billing.other')\n"
        "def charge(customer: str, cents: int = 5) -> str: return 'charged'\n"
        "with interlock.run('invoices'): print(charge('ann'))\n"
    )
    known = environment(place.data, **({"INTERLOCK_URL": place.url} if place.url else {}))
    done = subprocess.run([sys.executable, program], env=known, capture_output=True, text=True, timeout=60)
    assert "billing.other undoes billing.charge; the manifest says billing.uncharge" in done.stderr
    assert "charged" not in done.stdout


def test_a_launched_program_governs_its_functions_and_holds_no_token(place: Place, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import interlock, os\n"
        "@interlock.tool('billing.charge')\n"
        "def charge(customer: str, cents: int = 5) -> str:\n"
        "    'Charge a customer.'\n"
        "    return 'charged ' + customer\n"
        "with interlock.run(): print(charge('ann'), 'INTERLOCK_TOKEN' in os.environ)\n"
    )
    command = [*INTERLOCK, "run", "invoices", "--", sys.executable, str(program)]
    done = subprocess.run(command, env=environment(place.data), capture_output=True, text=True, timeout=60)
    assert "charged ann False" in done.stdout, done.stderr


def test_an_undo_runs_in_whichever_program_offers_it(place: Place) -> None:
    with place.run() as first:
        charge("una")
    [action] = place.cli("actions", "list", "--run", first.id)["items"]
    place.cli("undo", "action", action["id"], "--reason", "the wrong customer")
    with place.run():  # another run of the same program: an undo belongs to no run
        until(lambda: place.cli("actions", "show", action["id"])["state"] == "compensated")
    assert EFFECTS.charged == ["una", "refund of ch_una"]


def test_a_program_that_ends_with_an_error_has_its_run_undone(place: Place) -> None:
    with pytest.raises(RuntimeError), place.run() as first:  # noqa: PT012 - the run must end with it
        charge("ivy")
        raise RuntimeError
    *_, action = place.cli("actions", "list", "--run", first.id)["items"]
    with place.run():
        until(lambda: place.cli("actions", "show", action["id"])["state"] == "compensated")
    assert EFFECTS.charged == ["ivy", "refund of ch_ivy"]


def test_an_outcome_tells_the_value_the_action_and_that_the_call_is_final(place: Place) -> None:
    with place.run() as run:
        done = charge.keyed("order-4").outcome("ann", cents=7)
        again = charge.keyed("order-4").outcome("ann", cents=7)
        looked = balance.outcome("ann")
    assert (done.value, done.provisional, done.settles_by) == ({"id": "ch_ann", "cents": 7}, False, None)
    [action] = place.cli("actions", "list", "--run", run.id)["items"]
    assert done.action == again.action == action["id"]
    assert (done.recorded, again.recorded) == (False, True)
    assert again.value == done.value
    assert (looked.value, looked.provisional) == (3, False)


def test_a_provisional_call_tells_until_when_and_no_more_once_it_is_settled(place: Place) -> None:
    with place.run():
        held = transfer.keyed("bill-1").outcome("kim")
        assert transfer.keyed("bill-1")("kim") == held.value == {"hold": "kim"}
        assert held.provisional
        assert held.settles_by is not None
        assert timedelta(minutes=59) < held.settles_by - datetime.now(UTC) <= timedelta(hours=1)
        assert transfer.keyed("bill-1").outcome("kim").settles_by == held.settles_by
        place.cli("actions", "settle", held.action, token=place.deng)
        until(lambda: place.cli("actions", "show", held.action)["state"] == "settled")
        settled = transfer.keyed("bill-1").outcome("kim")
        assert (settled.provisional, settled.recorded) == (False, True)
    assert EFFECTS.charged == ["held for kim", "paid kim"]


def test_a_provisional_call_of_a_coroutine_function_tells_it_too_and_one_taken_back_is_raised(
    place: Place,
) -> None:
    async def move() -> None:
        async with place.run():
            held = await transfer_soon.keyed("bill-2").outcome("eve")
            assert held.provisional
            assert await transfer_soon.keyed("bill-2")("eve") == held.value
            place.cli("actions", "void", held.action, "--reason", "not to eve")
            until(lambda: place.cli("actions", "show", held.action)["state"] == "voided")
            with pytest.raises(TurnedDown) as down:
                await transfer_soon.keyed("bill-2").outcome("eve")
            assert down.value.state == "voided"

    asyncio.run(move())
    assert EFFECTS.charged == ["held for eve", "released eve"]
