"""Every ending of a model call, on both databases and in both ways of journaling: settled exactly once (B8).

The table of endings in one gateway: a relaxed and a strict workflow beside each other, all endings at once,
each in a run of its own. At the end nothing is held, and every account is the sum of its rows.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from interlock.core.document.spending import Budget
from interlock.core.hold import HoldState
from interlock.core.kill import KillLevel
from interlock.store import accounts, epochs
from interlock.store.schema import holds
from interlock.testing import ModelServer, Received, Reply, UsageAt
from support.model_endings import RELAXED, STRICT, documents
from support.model_gateway import CLAUDE, GPT, ModelGateway, a_model_gateway, manifest, providers
from support.sources import TESTS, with_sources

pytestmark = pytest.mark.anyio
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
ENDLESS = Reply(text="word " * 400, pace=0.02, output_tokens=500)
BROKEN = Reply(text="word " * 40, cut_after=1_900)
UNTOLD = Reply(usage=UsageAt.MISSING)
SAID = Reply(input_tokens=12, output_tokens=7)
BESIDE, PIECES = replace(SAID, usage=UsageAt.WITH_TEXT), replace(SAID, split=50)
USED = 12 * 2_000 + 7 * 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One ending: what the provider says, and what the caller, the ledger and the books come to."""

    name: str
    reply: Reply = Reply()
    status: int = 200
    ending: str = ""
    source: str = ""
    cost: int | None = None
    stream: bool = False
    model: str = GPT
    path: str = CHAT


IN_PIECES = Case(name="in pieces", reply=PIECES, ending="answered", source="provider", cost=USED, stream=True)
PLAIN = [
    Case(name="usage", reply=SAID, ending="answered", source="provider", cost=USED),
    Case(name="usage in a stream", reply=SAID, ending="answered", source="provider", cost=USED, stream=True),
    Case(name="beside text", reply=BESIDE, ending="answered", source="provider", cost=USED, stream=True),
    IN_PIECES,
    replace(IN_PIECES, name="response", path=RESPONSES),
    replace(IN_PIECES, name="message", path=MESSAGES, model=CLAUDE),
    Case(name="not in scope", status=403, model="hidden-test"),
    Case(name="no room", status=402, model="dear-test"),
    Case(name="not there", status=502, model="gone-test"),
    Case(name="wrong", reply=Reply(status=400, text="bad"), status=400),
    Case(name="slow down", reply=Reply(status=429, text="slow", headers={"retry-after": "7"}), status=429),
    Case(name="failed", reply=Reply(status=500, text="oh"), status=500, ending="failed", source="uncertain"),
    Case(name="silent", reply=Reply(wait=3), status=504, ending="failed", source="uncertain"),
    Case(name="broken", reply=BROKEN, ending="broken", source="estimated", stream=True),
    Case(name="untold", reply=UNTOLD, ending="answered", source="estimated", stream=True),
    Case(name="left", reply=ENDLESS, ending="left", source="estimated", stream=True),
    Case(name="killed", reply=ENDLESS, ending="cut", source="estimated", stream=True),
]  # fmt: skip
BEGUN = [
    each for each in PLAIN if each.ending in ("failed", "broken", "left", "cut") and each.name != "silent"
]
CASES = [
    *PLAIN,
    *(replace(each, name=f"response {each.name}", path=RESPONSES) for each in BEGUN),
    *(  # of a message the first event reports already, but not of the whole
        replace(each, name=f"message {each.name}", path=MESSAGES, model=CLAUDE, source="uncertain")
        for each in BEGUN
    ),
]
Key = tuple[str, str]


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    by_name = {case.name: case.reply for case in CASES}

    def said(request: Received) -> Reply:
        return by_name[request.headers["x-case"]]

    with ModelServer(said) as server:
        yield server


async def call(running: ModelGateway, token: str, case: Case) -> httpx2.Response:
    """Make one call and end it as its case says."""
    said = {"input": "hi"} if case.path == RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    body = {"model": case.model, **said, "stream": case.stream}
    headers = {"authorization": f"Bearer {token}", "x-case": case.name}
    async with running.http.stream("POST", case.path, json=body, headers=headers) as answer:
        if case.reply is not ENDLESS:
            await answer.aread()
            return answer
        lines = answer.aiter_lines()
        while "word" not in await anext(lines):
            continue
        if case.name.endswith("killed"):
            running.wired.memory.put_kill(
                case.name + token[-20:], f"run:{running.run(token)}", KillLevel.STOP
            )
            async for _ in lines:
                continue
    return answer


async def test_each_ending_of_a_call_is_settled_exactly_once_strict_or_relaxed(
    upstream: ModelServer, tmp_path: Path, database_url: str
) -> None:
    async with a_model_gateway(documents(upstream.url), tmp_path, database=database_url) as running:
        keys = [(workflow, case) for workflow in (RELAXED, STRICT) for case in CASES]
        tokens = [await running.token(workflow) for workflow, _ in keys]
        runs = [running.run(token) for token in tokens]
        answers = await asyncio.gather(
            *(call(running, token, case) for token, (_, case) in zip(tokens, keys, strict=True))
        )
        spent = await running.spent()
        rows = [await running.rows(run) for run in runs]
        written = await running.wired.store.read(
            lambda found: list(found.execute(sa.select(holds.c.attempt, holds.c.state, holds.c.cost)))
        )
    for (workflow, case), run, answer, found in zip(keys, runs, answers, rows, strict=True):
        said = (workflow, case.name)
        assert answer.status_code == case.status, said
        assert [(row.ending, row.usage_source) for row in found] == told(case), said
        assert all(row.cost == (case.cost or row.cost) and 0 < row.cost <= row.held_max for row in found), (
            said
        )
        assert all((row.output > 0) is (case.ending != "failed") for row in found), said
        assert spent.get(f"dev:run:run:0:{run}", 0) == sum(row.cost for row in found), said
    paid = {
        name: [row for found in rows for row in found if row.workflow == name] for name in (RELAXED, STRICT)
    }
    days = {id_.rpartition(":")[2]: amount for id_, amount in spent.items() if ":workflow:day:" in id_}
    assert days == {name: sum(row.cost for row in found) for name, found in paid.items()}
    ended = {attempt: cost for attempt, state, cost in written if state == HoldState.SETTLED.value}
    assert ended == {row.attempt: row.cost for row in paid[STRICT]}
    assert {state for _, state, _ in written} == {HoldState.SETTLED.value, HoldState.RELEASED.value}


def told(case: Case) -> list[tuple[str, str]]:
    """Return what the ledger says of a case: how the call ended, and how far its counts can be trusted."""
    return [(case.ending, case.source)] if case.ending else []


async def test_256_calls_at_once_in_a_run_with_room_for_ten_never_pass_its_ceiling(
    tmp_path: Path, postgres_url: str
) -> None:
    budget = Budget(run=6_500_000, strict=True, soft=1_000, kill=1_500)
    with ModelServer([Reply(input_tokens=12, output_tokens=100, wait=0.05)]) as upstream:
        policy = manifest(providers(upstream, upstream), budget)
        async with (
            a_model_gateway(policy, tmp_path, database=postgres_url) as running,
            httpx2.AsyncClient(
                base_url=running.url, limits=httpx2.Limits(max_connections=None), timeout=60
            ) as http,
        ):
            token = await running.token()
            principal = running.wired.authenticator.verify(token)
            (account,) = running.wired.budgets.accounts(principal, running.wired.runtime.clock.now())
            seen: list[int] = []

            async def watch() -> None:
                while True:
                    (now,) = running.wired.budgets.accounts(principal, running.wired.runtime.clock.now())
                    seen.append(now.spent + now.held_max)
                    await asyncio.sleep(0.001)

            watching = asyncio.create_task(watch())
            asked = {"model": GPT, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
            headers = {"authorization": f"Bearer {token}"}
            answers = await asyncio.gather(
                *(http.post(CHAT, json=asked, headers=headers) for _ in range(256))
            )
            watching.cancel()
            spent, rows = await running.spent(), await running.rows(principal.run)
    said = Counter(answer.status_code for answer in answers)
    assert said.keys() <= {200, 402, 429}
    assert 10 <= said[200] == len(rows) < 20
    assert len(upstream.received) == len(rows)
    assert max(seen) <= account.limits.ceiling == 9_750_000
    assert list(spent.values()) == [sum(row.cost for row in rows)]


async def test_a_process_that_dies_leaves_strict_calls_at_their_most_and_relaxed_slices_in_full(
    tmp_path: Path, database_url: str
) -> None:
    with ModelServer(lambda request: Reply(wait=30 if "x-hang" in request.headers else 0)) as upstream:
        program = (sys.executable, "-m", "support.model_endings", str(tmp_path), database_url, upstream.url)
        child = await asyncio.create_subprocess_exec(
            *program, cwd=TESTS, env=with_sources(), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            url, *tokens = (await child.stdout.readline()).decode().split()
            await ask_then_hang(url, tokens, upstream)
        finally:
            child.kill()
            await child.wait()
        async with a_model_gateway(documents(upstream.url), tmp_path, database=database_url) as running:
            await lease_over(running)
            spent = await running.spent()
            rows = await running.wired.store.read(lambda found: accounts.listed(found, "dev", limit=50))
            lost = await running.wired.store.read(
                lambda found: list(
                    found.execute(sa.select(holds.c.state, holds.c.expected, holds.c.most, holds.c.cost))
                )
            )
    (active,) = [each for each in lost if each.state == HoldState.EXPIRED.value]
    assert active.cost == active.most
    settled = {STRICT: 80_000, RELAXED: 80_000}
    for row in rows:
        workflow = RELAXED if row.charged else STRICT
        assert row.leased == 0
        assert row.spent == settled[workflow] + (row.charged or active.most)
    assert len(spent) == len(rows) == 4
    assert sum(bool(row.charged) for row in rows) == 2


async def lease_over(running: ModelGateway) -> None:
    """Let the lease of the dead process have passed: on SQLite nobody else can be alive, and it has."""
    own = running.wired.budgets._books.epoch
    await running.wired.store.transact(lambda each: epochs.recover(each, "dev", own=own, sole=True))
    for account in list(running.wired.budgets._books.accounts):
        running.wired.budgets.relearn(account)


async def ask_then_hang(url: str, tokens: list[str], upstream: ModelServer) -> None:
    """Make one call with each token, which ends, and one that does not; return while those are under way."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:

        async def ask(token: str, **more: str) -> httpx2.Response:
            body = {"model": GPT, "messages": [{"role": "user", "content": "hi"}]}
            return await http.post(CHAT, json=body, headers={"authorization": f"Bearer {token}", **more})

        assert [(await ask(token)).status_code for token in tokens] == [200, 200]
        await asyncio.sleep(0.3)
        hanging = [asyncio.create_task(ask(token, **{"x-hang": "1"})) for token in tokens]
        async with asyncio.timeout(20):
            while len(upstream.received) < 4:  # noqa: ASYNC110 - another thread
                await asyncio.sleep(0.01)
        for each in hanging:
            each.cancel()
