"""The same durable write action as a DBOS workflow of one step; `bench.actions` runs it in its own place.

The workflow's row is on disk before the step begins and its outcome after: an intent and an outcome, as ours.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

from dbos import DBOS, DBOSConfig

CALLERS, WARM = 64, 20


@DBOS.step()
async def write(order: int) -> str:
    """Stand for a tool that answers at once."""
    return f"done {order}"


@DBOS.workflow()
async def action(order: int) -> str:
    """Carry out one write."""
    return await write(order)


async def measure(alone: int, together: int) -> dict[str, float]:
    """Time actions one by one, then from 64 callers at a time."""
    for number in range(WARM):
        await action(number)
    took: list[float] = []
    for number in range(alone):
        began = time.perf_counter()
        await action(number)
        took.append((time.perf_counter() - began) * 1e3)
    numbers = iter(range(together))

    async def caller() -> None:
        for number in numbers:
            await action(number)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    rate = together / (time.perf_counter() - began)
    return {"p50": statistics.median(took), "p95": statistics.quantiles(took, n=20)[18], "rate": rate}


def main() -> None:
    """Print what was measured on the database of the first argument, as JSON."""
    url, alone, together = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    DBOS(config=DBOSConfig(name="bench", system_database_url=url, log_level="ERROR", enable_otlp=False))
    DBOS.launch()
    try:
        print(json.dumps(asyncio.run(measure(alone, together))))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
