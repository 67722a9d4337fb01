"""Functions of programs: a program whose run is over is forgotten, and takes nothing with it."""

from __future__ import annotations

import asyncio

from interlock.core.model import Json
from interlock.runtime import Runtime
from interlock.upstream.functions import Functions

WRITE: dict[str, Json] = {"name": "write", "inputSchema": {"type": "object"}}


def known() -> Functions:
    functions = Functions(Runtime.real(), lambda *_: None)
    functions.configure(["shop"])
    functions.offer("shop", "run_1", [WRITE])
    return functions


def test_a_program_whose_run_is_over_is_not_there_any_more() -> None:
    functions = known()
    assert functions.ready("shop", "")
    functions.leave("run_1")
    assert not functions.ready("shop", "")
    assert functions.tools("shop") == [WRITE]


async def _left_while_it_waited(functions: Functions) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(0.05, functions.leave, "run_1")
    assert await functions.take("shop", "run_1", wait=30) is None
    assert not functions.ready("shop", "")
    return loop.time() - begun


def test_a_program_that_waits_when_its_run_ends_is_answered_at_once() -> None:
    assert asyncio.run(_left_while_it_waited(known())) < 5
