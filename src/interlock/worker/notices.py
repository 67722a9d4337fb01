"""The clock's part of the kill switch and of alerts, in every process: watch the file, record, raise."""

from __future__ import annotations

from contextlib import suppress

from interlock.core.kill import KillOrder
from interlock.errors import StoreError
from interlock.services.kill import KillSwitch
from interlock.services.notify import Notify
from interlock.wiring import WiredModels
from interlock.worker.jobs import Job

LOOK, RETRY = 0.1, 1.0


def notice_jobs(wired: WiredModels) -> list[Job]:
    """Listen to budgets, and return the jobs."""
    switch = wired.kill

    def press(order: KillOrder) -> None:
        switch.press(order)
        wired.runtime.scheduler.spawn(_recorded(switch), name="record a halt")

    notify = Notify(store=wired.store, memory=wired.memory, runtime=wired.runtime, press=press)
    wired.budgets.on_event.append(notify.on_budget)
    wired.budgets.alongside(notify.waiting)
    return [
        Job(name="watch the kill file", every=LOOK, run=switch.watch),
        Job(name="record kills", every=RETRY, run=switch.record),
        Job(name="raise alerts", every=RETRY, run=notify.flush),
    ]


async def _recorded(switch: KillSwitch) -> None:
    """Write down what was pressed; what the store does not take now, the clock tries again."""
    with suppress(StoreError):
        await switch.record()
