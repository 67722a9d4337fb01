"""How many calls a provider gets at once (B1). A slot that is free is taken without waiting for the loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """The slots of one provider, `most` of them; who waits longest is let in first."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a slot, which the caller releases, if one is free."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self, patience: float) -> None:
        """Take a slot, which the caller releases. Raises `TimeoutError` after `patience` seconds."""
        if self.take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()  # it was let in just as it gave up
            raise

    def release(self) -> None:
        """Give a slot to whoever waits longest, or back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
