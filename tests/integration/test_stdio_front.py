"""What `interlock mcp` prints on stderr is what failed, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from interlock.cli.mcp import _report  # pyright: ignore[reportPrivateUsage]


def test_a_read_given_up_in_the_turn_in_which_data_came_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            seen.append(str(context["message"]))
            _report(loop, context)

        loop.set_exception_handler(report)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            async with await anyio.connect_unix(tmp_path / "s") as stream:
                peer, _ = listener.accept()
                reading = asyncio.create_task(stream.receive())
                await asyncio.sleep(0.01)
                loop.call_soon(reading.cancel)
                peer.send(b"x")
                await asyncio.wait([reading])
                peer.close()
            loop.call_soon(lambda: 1 // 0)
            await asyncio.sleep(0.01)

    asyncio.run(story())
    assert any("Future.set_result" in each for each in seen)
    assert "InvalidStateError" not in caplog.text
    assert "ZeroDivisionError" in caplog.text
