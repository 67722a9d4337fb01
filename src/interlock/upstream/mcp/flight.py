"""What a tool server asks in the middle of a call, and who answers it.

A legacy server asks over its session (elicitation, sampling, roots) while the call stays open. A caller
that can be asked is asked. A caller of the modern era cannot: its call is answered "input required" and
stays open here, parked, until the caller comes back with the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from interlock.core import question
from interlock.core.model import Json
from interlock.core.question import ELICIT, Question
from interlock.errors import UpstreamRefused
from interlock.upstream.executor import Bridge, Outcome

SAMPLE, ROOTS = "sampling/createMessage", "roots/list"
_NEEDS = {ELICIT: "elicitation", SAMPLE: "sampling", ROOTS: "roots"}


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """One call on its way, and the questions it waits with. `parks` says that it can wait for them.

    `people`: what is asked with a form is not for the caller.
    """

    bridge: Bridge | None
    run: str
    parks: bool = False
    people: bool = False
    asked: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])
    questions: dict[str, tuple[dict[str, Json], asyncio.Future[dict[str, Json]]]] = field(
        default_factory=dict[str, tuple[dict[str, Json], "asyncio.Future[dict[str, Json]]"]]
    )
    task: asyncio.Task[Outcome] | None = None

    async def ask(self, method: str, params: Mapping[str, Json]) -> dict[str, Json]:
        """Return the caller's answer to `method`. Raises `UpstreamRefused` when it cannot be asked."""
        bridge = self.bridge
        if self.people and method == ELICIT:
            return await self._ask_people(params)
        if bridge is None:
            raise UpstreamRefused(f"Nobody is attached to this call who could answer {method}.")
        if _NEEDS[method] not in bridge.capabilities:
            raise UpstreamRefused(
                f"The caller does not offer {_NEEDS[method]}, or its workflow may not use it."
            )
        if bridge.can_be_asked:
            return await answer_now(bridge, method, params)
        if not self.parks or (self.people and self.waiting):
            raise UpstreamRefused("This request cannot wait for an answer of its caller.")
        return await self._wait(method, params)

    async def _ask_people(self, params: Mapping[str, Json]) -> dict[str, Json]:
        if self.waiting:
            raise UpstreamRefused("People are asked for one thing at a time.")
        asked = question.read({"it": {"method": ELICIT, "params": params}})
        if not isinstance(asked, Question):
            raise UpstreamRefused(asked)
        return await self._wait(ELICIT, params)

    async def _wait(self, method: str, params: Mapping[str, Json]) -> dict[str, Json]:
        """Put a question to whoever comes back with the answer."""
        key = f"q{len(self.questions) + 1}"
        future: asyncio.Future[dict[str, Json]] = asyncio.get_running_loop().create_future()
        request: dict[str, Json] = {"method": method}
        if method != ROOTS:
            request["params"] = dict(params)
        self.questions[key] = (request, future)
        self.asked.put_nowait(key)
        return await future

    def input_required(self, state: str) -> dict[str, Json]:
        """Return the open questions as an MCP InputRequiredResult with `state` to come back with."""
        questions = {key: ask for key, (ask, future) in self.questions.items() if not future.done()}
        return {"resultType": "input_required", "inputRequests": questions, "requestState": state}

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Hand the caller's answers to the server that asked."""
        for key, (_, future) in self.questions.items():
            if not future.done() and isinstance(responses.get(key), Mapping):
                future.set_result(dict(responses[key]))

    @property
    def waiting(self) -> bool:
        """Whether a question is still open."""
        return any(not future.done() for _, future in self.questions.values())

    def drop(self) -> None:
        """Nobody comes back: the server is told so, and the call is given up."""
        for _, future in self.questions.values():
            future.cancel()
        if self.task is not None:
            self.task.cancel()


async def answer_now(bridge: Bridge, method: str, params: Mapping[str, Json]) -> dict[str, Json]:
    """Ask the caller over its open connection."""
    if method == ELICIT:
        return await bridge.elicit(params)
    if method == SAMPLE:
        return await bridge.sample(params)
    return await bridge.roots()


def offered(bridge: Bridge | None, *, people: bool) -> dict[str, Json]:
    """Return what a server may ask for during a call: what the caller offers, and a form where people are."""
    capabilities = {} if bridge is None else dict(bridge.capabilities)
    return {**capabilities, "elicitation": {"form": {}}} if people else capabilities


def unsupported(offered: Mapping[str, Json], requests: Mapping[str, Any]) -> str | None:
    """Return the first method among a server's input requests that nobody here can answer, if any."""
    for request in requests.values():
        method = str(cast("Mapping[str, Any]", request).get("method"))
        if _NEEDS.get(method, "") not in offered:
            return method
    return None


def misplaced(requests: Mapping[str, Any]) -> str | None:
    """Say why people are not asked what a server asks for, or None. What is no form is not theirs."""
    methods = [cast("Mapping[str, Any]", each).get("method") for each in requests.values()]
    asked = question.read(requests) if ELICIT in methods else None
    return asked if isinstance(asked, str) else None
