"""A scripted model server on a real socket: OpenAI and Anthropic shapes, errors, delays, broken streams.

Use it from any thread: `with ModelServer([Reply(text="hi")]) as server:`. What it received is kept, in order,
with whether the client went away before the end.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from interlock.testing.model_delivery import Connection, Delivery, Message, shaped
from interlock.testing.model_reply import Body, Reply
from interlock.testing.model_request import Received, read
from interlock.testing.model_surface import SURFACES

_NOT_FOUND = b'{"error": {"message": "There is no such path.", "type": "invalid_request_error"}}'

Script = Sequence[Reply] | Callable[[Received], Reply]


class ModelServer:
    """A provider that says what the script says: in order, the last reply again and again."""

    def __init__(self, script: Script = (), *, models: Sequence[str] = ("gpt-test",), port: int = 0) -> None:
        self.received: list[Received] = []
        self.models = tuple(models)
        self.port = port
        self._script = script
        self._next = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="model server", daemon=True)
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *replies: Reply) -> None:
        """Say these from now on, and forget what was received."""
        self._script, self._next = replies, 0
        self.received.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()

    def serve_forever(self, on_started: Callable[[str], None]) -> None:
        """Serve in this thread until interrupted."""
        with suppress(KeyboardInterrupt):
            asyncio.run(self._serve(lambda: on_started(self.url)))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve(self._started.set))
        except BaseException as error:  # noqa: BLE001 - a thread's edge: handed to the thread that waits
            self._failure = error
        finally:
            self._loop.close()
            self._started.set()

    async def _serve(self, on_started: Callable[[], None]) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        self._stop = end
        server = await loop.create_server(lambda: Connection(self._connection), "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        on_started()
        await stop.wait()
        server.close()
        open_now = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (request := await read(reader)) is not None:
                self.received.append(request)
                if not await Delivery(self._answer(request), request, writer).send():
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self, request: Received) -> Message:
        path = request.path.partition("?")[0]
        if path == "/v1/models":
            return Message(reply=Reply(), body=json.dumps(self._listed(request)).encode())
        surface = SURFACES.get(path)
        if surface is None:
            return Message(reply=Reply(status=404), body=_NOT_FOUND)
        reply = self._reply(request)
        return shaped(reply, surface, request)

    def _reply(self, request: Received) -> Reply:
        if callable(self._script):
            return self._script(request)
        if not self._script:
            return Reply()
        said = self._script[min(self._next, len(self._script) - 1)]
        self._next += 1
        return said

    def _listed(self, request: Received) -> Body:
        if "anthropic-version" in request.headers:
            listed = [{"type": "model", "id": name, "display_name": name} for name in self.models]
            return {"data": listed, "has_more": False, "first_id": None, "last_id": None}
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in self.models]
        return {"object": "list", "data": listed}
