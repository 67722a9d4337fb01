"""The SDK's session on a connection, and what a server may ask and say in it.

A session that is one run's hands questions and log lines to whoever made the newest call of it. A shared
one offers a server nothing to ask: an answer could be another run's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import mcp_types as types
from mcp.client.session import ClientRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from interlock.core.model import Json
from interlock.errors import InterlockError
from interlock.upstream.mcp.dispatcher import Dispatcher
from interlock.upstream.mcp.flight import ELICIT, ROOTS, SAMPLE, Flight
from interlock.upstream.mcp.wire import CLIENT
from mcp import ClientSession

Notified = Callable[[str, Mapping[str, Json]], Awaitable[None]]
"""Told of each notification: its method and parameters."""

_MAY_SAMPLE = types.SamplingCapability(
    tools=types.SamplingToolsCapability(), context=types.SamplingContextCapability()
)


def open_session(
    dispatcher: Dispatcher, flights: Sequence[Flight], notified: Notified, *, shared: bool
) -> ClientSession:
    """Return a session that is not begun yet. `flights` are the calls on their way, as they come and go."""

    async def on_message(message: object) -> None:
        if isinstance(message, BaseModel):
            body = _plain(message)
            await notified(str(body.get("method")), body.get("params") or {})

    if shared:
        return ClientSession(dispatcher=dispatcher, client_info=CLIENT, message_handler=on_message)
    callers = _Callers(flights)
    return ClientSession(
        dispatcher=dispatcher,
        client_info=CLIENT,
        message_handler=on_message,
        logging_callback=callers.log,
        elicitation_callback=callers.elicit,
        sampling_callback=callers.sample,
        sampling_capabilities=_MAY_SAMPLE,
        list_roots_callback=callers.roots,
    )


class _Callers:
    """Those whose calls are on their way in one session; it belongs to one run alone."""

    def __init__(self, flights: Sequence[Flight]) -> None:
        self._flights = flights

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        body = _plain(params)
        for flight in list(self._flights):
            if flight.bridge is not None:
                await flight.bridge.log(body)

    async def elicit(
        self,
        context: ClientRequestContext,  # noqa: ARG002
        params: types.ElicitRequestParams,
    ) -> types.ElicitResult | types.ErrorData:
        answer = await self._ask(ELICIT, params)
        return answer if isinstance(answer, types.ErrorData) else types.ElicitResult.model_validate(answer)

    async def sample(
        self,
        context: ClientRequestContext,  # noqa: ARG002
        params: types.CreateMessageRequestParams,
    ) -> types.CreateMessageResult | types.CreateMessageResultWithTools | types.ErrorData:
        answer = await self._ask(SAMPLE, params)
        if isinstance(answer, types.ErrorData):
            return answer
        kind = types.CreateMessageResultWithTools if params.tools else types.CreateMessageResult
        return kind.model_validate(answer)

    async def roots(
        self,
        context: ClientRequestContext,  # noqa: ARG002
    ) -> types.ListRootsResult | types.ErrorData:
        answer = await self._ask(ROOTS, None)
        return answer if isinstance(answer, types.ErrorData) else types.ListRootsResult.model_validate(answer)

    async def _ask(self, method: str, params: BaseModel | None) -> dict[str, Json] | types.ErrorData:
        if not self._flights:
            return types.ErrorData(
                code=types.INVALID_REQUEST, message="No call is open that this belongs to."
            )
        try:
            return await self._flights[-1].ask(method, _plain(params) if params else {})
        except InterlockError as error:
            return types.ErrorData(code=types.INVALID_REQUEST, message=error.message)
        except MCPError as error:
            return error.error


def _plain(message: BaseModel) -> dict[str, Json]:
    return message.model_dump(by_alias=True, mode="json", exclude_none=True)
