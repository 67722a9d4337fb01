"""The seam between one governed call and the thing that carries it out.

`Executor.execute` is the only method the engine calls. It never raises for what an upstream does: each
way a call can end is a value, and each value says whether the effect happened, did not, or is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from interlock.core.model import Json, Principal, value


@value
class Dispatch:
    """One decided call on its way out. `tool` is the server's bare name; `timeout` is in seconds.

    `input_responses` and `request_state` are set when this continues a call that asked for input. `approved`
    says that a person decided on exactly these arguments: of the caller's `_meta` only its trace goes along.
    `idempotency_key` is set for a tool that knows its calls by it. `people`: what its server asks for during
    the call is put to people, not to the caller.
    """

    action: str | None
    server: str
    tool: str
    arguments: Mapping[str, Json]
    principal: Principal
    timeout: float
    approved: bool = False
    input_responses: Mapping[str, Json] | None = None
    request_state: str | None = None
    idempotency_key: str = ""
    people: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The tool answered. `payload` is the MCP CallToolResult as plain JSON, by alias."""

    payload: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The tool answered with a definite error: an `isError` result (`payload`) or a protocol error."""

    message: str
    payload: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The call was sent and no answer came: it may or may not have happened.

    `left` says that the caller did not wait for it, so its tool is not to blame.
    """

    message: str
    left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Nothing left this process; trying again is safe."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputNeeded:
    """The tool asks for input before it goes on: `payload` is the MCP InputRequiredResult as plain JSON."""

    payload: dict[str, Json]


Outcome = Succeeded | Failed | Unknown | NotSent | InputNeeded


class Bridge(Protocol):
    """The way back to the caller who is attached to this call, while it is attached.

    Payloads are the plain JSON `params` and `result` of the MCP request of that name. What the caller
    did not declare, or its workflow may not use, raises `interlock.errors.UpstreamRefused`.
    """

    @property
    def capabilities(self) -> Mapping[str, Json]:
        """The client capabilities the caller declared, cut to what its workflow may use."""
        ...

    @property
    def can_be_asked(self) -> bool:
        """Whether the caller can be asked while its call is open; else asking means `InputNeeded`."""
        ...

    @property
    def wants_progress(self) -> bool:
        """Whether the caller asked to be told how far the call is."""
        ...

    @property
    def log_level(self) -> str | None:
        """The least severe level of log messages the caller wants, or None for none."""
        ...

    @property
    def meta(self) -> Mapping[str, Json]:
        """What the caller's `_meta` says to the tool server: without the protocol's own keys and ours."""
        ...

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report how far the call is."""
        ...

    async def log(self, params: Mapping[str, Json]) -> None:
        """Pass on a log message of the tool server."""
        ...

    async def elicit(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the person at the caller."""
        ...

    async def sample(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the caller's model."""
        ...

    async def roots(self) -> dict[str, Json]:
        """Ask which folders the caller offers."""
        ...


class Executor(Protocol):
    """Who carries out a decided call."""

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry `dispatch` out and say how it ended. `bridge` is None when nobody is attached."""
        ...
