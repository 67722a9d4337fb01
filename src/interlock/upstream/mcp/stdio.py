"""A tool server as a child process: JSON-RPC, one message a line, over its stdin and stdout.

Ours and not the SDK's because a tool server is not trusted here: it inherits nothing but what is handed
in, one message may not pass a limit, and what it prints on stderr is kept short and out of our own.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

log = logging.getLogger(__name__)

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]

_GRACE = 2.0
_TAIL = 2_000
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ConnectionError, OSError)


class MessageTooLarge(Exception):
    """A message passed the limit; the connection it came over cannot be trusted to be in step."""


@asynccontextmanager
async def open_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limit: int,
    ended: Callable[[str], None],
) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """Start `command` and yield the streams to it; stop it and all its children at the end.

    `ended` is told why, when the process ends or breaks the protocol by itself. Raises `OSError` when it
    cannot be started.
    """
    process = await anyio.open_process(list(command), env=dict(environment), start_new_session=True)
    to_us, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_us = anyio.create_memory_object_stream[SessionMessage](0)
    stderr = _Tail()
    async with anyio.create_task_group() as group:
        group.start_soon(_read_messages, process, to_us, limit, ended, stderr)
        group.start_soon(_write_messages, process, from_us, to_us)
        group.start_soon(_drain, process, stderr)
        try:
            yield read, write
        finally:
            with anyio.CancelScope(shield=True):
                await read.aclose()
                try:
                    await _stop(process)
                finally:  # nothing is left of it, even where the process that we are is torn down
                    _end_at_once(process)
                for stream in (write, to_us, from_us):
                    await stream.aclose()
            group.cancel_scope.cancel()


class _Tail:
    """The last words on stderr, for the operator's log."""

    def __init__(self) -> None:
        self.text = b""

    def add(self, chunk: bytes) -> None:
        self.text = (self.text + chunk)[-_TAIL:]


async def _read_messages(
    process: Process,
    to_us: MemoryObjectSendStream[SessionMessage | Exception],
    limit: int,
    ended: Callable[[str], None],
    stderr: _Tail,
) -> None:
    assert process.stdout is not None
    buffer = bytearray()
    async with to_us:
        try:
            async for chunk in process.stdout:
                await _take(buffer, chunk, to_us, limit)
        except MessageTooLarge as error:
            ended(str(error))
            return
        except _GONE:
            return
        log.debug("tool server's stderr ended with: %s", stderr.text.decode(errors="replace"))
        ended("its process ended")


async def _take(
    buffer: bytearray,
    chunk: bytes,
    to_us: MemoryObjectSendStream[SessionMessage | Exception],
    limit: int,
) -> None:
    """Add what arrived and hand on each complete line; a line over the limit ends it."""
    *lines, rest = chunk.split(b"\n")
    for line in lines:
        buffer += line
        _check(buffer, limit)
        message = bytes(buffer).strip()
        buffer.clear()
        if message:
            await to_us.send(_parse(message))
    buffer += rest
    _check(buffer, limit)


def _check(buffer: bytearray, limit: int) -> None:
    if len(buffer) > limit:
        raise MessageTooLarge(f"it sent a message of more than {limit} bytes")


def _parse(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return ValueError("a line that is not a JSON-RPC message")


async def _write_messages(
    process: Process,
    from_us: MemoryObjectReceiveStream[SessionMessage],
    to_us: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    assert process.stdin is not None
    try:
        async with from_us:
            async for message in from_us:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(text.encode() + b"\n")
    except _GONE:
        await to_us.aclose()


async def _drain(process: Process, stderr: _Tail) -> None:
    assert process.stderr is not None
    with suppress(*_GONE):
        async for chunk in process.stderr:
            stderr.add(chunk)


async def _stop(process: Process) -> None:
    """Close its stdin, give it a moment, then end the whole process group."""
    if process.stdin is not None:
        with suppress(*_GONE):
            await process.stdin.aclose()
    for signal_ in (None, signal.SIGTERM, signal.SIGKILL):
        if signal_ is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal_)
        if await _ended(process):
            break
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(*_GONE):
                await stream.aclose()


def _end_at_once(process: Process) -> None:
    """Kill what is left of the process group and close our ends, without waiting for anything."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    _close_transport(process)


async def _ended(process: Process) -> bool:
    """Wait a moment for the process alone: `wait` would also wait for whoever inherited its pipes."""
    with anyio.move_on_after(_GRACE):
        while process.returncode is None:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.01)
    return process.returncode is not None


def _close_transport(process: Process) -> None:
    """Close asyncio's transport, which a survivor of the group can hold open; nothing public exposes it."""
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    close = getattr(transport, "close", None)
    if callable(close):
        with suppress(PermissionError):
            close()
