"""The clock's part of the kill switch and of notices: watch the file, follow the record, tell people."""

from __future__ import annotations

from contextlib import suppress

from interlock.core.kill import KillOrder
from interlock.errors import StoreError
from interlock.services.deliver import Deliver
from interlock.services.kill import KillSwitch
from interlock.services.notify import Notify
from interlock.settings import secret
from interlock.upstream.notify.mail import mail_server
from interlock.wiring import Wired
from interlock.worker.jobs import Job

LOOK, FOLLOW, RETRY, DELIVER = 0.1, 0.25, 1.0, 1.0


def notice_jobs(wired: Wired) -> list[Job]:
    """Listen to budgets, and return the jobs; on a shared database, the kills of others are followed too."""
    settings, switch = wired.settings, wired.kill

    def press(order: KillOrder) -> None:
        switch.press(order)
        wired.runtime.scheduler.spawn(_recorded(switch), name="record a halt")

    notify = Notify(store=wired.store, memory=wired.memory, runtime=wired.runtime, press=press)
    wired.budgets.on_event.append(notify.on_budget)
    wired.budgets.alongside(notify.waiting)
    server = mail_server(
        settings.smtp, sender=settings.mail_from, password=settings.smtp_password, ca=settings.smtp_ca
    )
    deliver = Deliver(
        store=wired.store,
        runtime=wired.runtime,
        environment=settings.environment,
        secret=secret,
        mail_server=server,
        webhook_key=settings.webhook_key,
        private=settings.notify_private,
    )
    jobs = [
        Job(name="watch the kill file", every=LOOK, run=switch.watch),
        Job(name="record kills", every=RETRY, run=switch.record),
        Job(name="raise alerts", every=RETRY, run=notify.flush),
        Job(name="deliver notices", every=DELIVER, run=deliver),
    ]
    if settings.database:
        jobs.append(Job(name="follow kills on record", every=FOLLOW, run=switch.follow_record))
    return jobs


async def _recorded(switch: KillSwitch) -> None:
    """Write down what was pressed; what the store does not take now, the clock tries again."""
    with suppress(StoreError):
        await switch.record()
