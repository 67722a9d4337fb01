"""What the LLM gateway adds is small beside the model server's own time, and it keeps nothing (B1, B8).

Direct calls and calls through `interlock serve` take turns, so that a busy machine is busy for both.
Other work can only make a measurement longer: the quickest of many tell what the gateway itself adds.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from bench.llm_gateway import memory
from bench.llm_load import Answered, burst, connect, request

from interlock.testing import Reply
from support.models import OPENAI_MODEL, Governed, governed
from support.warm import REAL

PACE = 0.02
MEASURED, SECONDS = 8, 15.0
ADDED = 0.001
CALLERS, CALLS, ROUNDS = 8, 250, 3
SHARE, SHARE_OF_PROCESSOR = 0.06, 0.08
"""Of the calls a second, and of the calls in a second of processor time, that the model server does alone."""
GROWTH = 8 << 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    plenty = "budget: {run: 1000000, hour: 1000000, day: 1000000, month: 1000000}"
    with governed(tmp_path_factory.mktemp("speed") / "data", python=REAL, workflow=plenty) as running:
        yield running


def asked(world: Governed, port: int, *, stream: bool) -> bytes:
    said = [{"role": "user", "content": "Where is my parcel? " * 40}]
    body = {"model": OPENAI_MODEL, "messages": said, "max_tokens": 64, "stream": stream}
    return request(port, world.token, json.dumps(body).encode())


def ports(world: Governed) -> tuple[int, int]:
    """Return where the model server listens, and where the gateway does."""
    return world.acme.port, int(world.server.url.rpartition(":")[2])


async def in_turns(world: Governed, *, stop: float, seconds: float) -> tuple[float, list[Answered]]:
    """Measure until the gateway adds at most `stop` seconds to the first token, or time is up.

    Returns what it adds, and how its streams came.
    """
    sent = [asked(world, port, stream=True) for port in ports(world)]
    lines = [await connect(port) for port in ports(world)]
    seen: tuple[list[Answered], list[Answered]] = ([], [])
    added, ends = 1.0, time.monotonic() + seconds
    for line, body in zip(lines, sent, strict=True):
        await line.ask(body)
    while added > stop and time.monotonic() < ends:
        for _ in range(MEASURED):
            for line, body, measured in zip(lines, sent, seen, strict=True):
                measured.append(await line.ask(body))
        added = quick(seen[1]) - quick(seen[0])
    for line in lines:
        line.close()
    return added, seen[1]


def test_the_first_token_comes_within_a_millisecond_of_a_direct_one(world: Governed) -> None:
    world.acme.script(Reply(text="one two"))
    added, _ = asyncio.run(in_turns(world, stop=ADDED, seconds=SECONDS))
    assert added <= ADDED


def test_a_word_is_passed_on_when_it_is_said_not_when_the_stream_ends(world: Governed) -> None:
    world.acme.script(Reply(text="one two", pace=PACE))
    added, through = asyncio.run(in_turns(world, stop=PACE / 4, seconds=SECONDS))
    assert added <= PACE / 4
    assert median(each.whole - each.first for each in through) >= 2 * PACE


def quick(answered: list[Answered]) -> float:
    """Return the time to the first token that one measurement in eight did not exceed."""
    return sorted(each.first for each in answered)[len(answered) // 8]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_throughput_keeps_its_share_of_the_direct_one_and_memory_stays_flat(
    world: Governed, stream: bool
) -> None:
    world.acme.script(Reply(text="It is on its way and will be with you on Monday."))
    (here, direct), (there, through) = ((port, asked(world, port, stream=stream)) for port in ports(world))
    server = world.server.process.pid

    async def story() -> tuple[float, float]:
        await burst(there, through, callers=CALLERS, calls=2 * CALLS)
        before, ends = memory(server), time.monotonic() + SECONDS
        alone, governed, took, spent = [0.0], [0.0], [1e9], [1e9]
        share = of_processor = 0.0
        while (share < SHARE or of_processor < SHARE_OF_PROCESSOR or len(alone) <= ROUNDS) and (
            time.monotonic() < ends
        ):
            began = time.process_time()
            alone.append(await burst(here, direct, callers=CALLERS, calls=CALLS))
            took.append(time.process_time() - began)
            began = processor(server)
            governed.append(await burst(there, through, callers=CALLERS, calls=CALLS))
            spent.append(processor(server) - began)
            share, of_processor = max(governed) / max(alone), min(took) / min(spent)
        assert memory(server) - before <= GROWTH
        return share, of_processor

    share, of_processor = asyncio.run(story())
    assert share >= SHARE
    assert of_processor >= SHARE_OF_PROCESSOR


def processor(pid: int) -> float:
    """Return the processor time that a process took, in seconds: no other process makes it longer."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
