"""The clock's part of messages: tell people what was raised, and programs what became of actions."""

from __future__ import annotations

from dataclasses import replace

from interlock.services.deliver import Deliver
from interlock.settings import secret
from interlock.store.deliveries import About
from interlock.upstream.notify.mail import mail_server
from interlock.wiring import WiredModels
from interlock.worker.jobs import Job

DELIVER = 1.0


def delivery_jobs(wired: WiredModels) -> list[Job]:
    """Return the jobs of one process; several may do them side by side. Neither keeps the other waiting."""
    settings = wired.settings
    server = mail_server(
        settings.smtp, sender=settings.mail_from, password=settings.smtp_password, ca=settings.smtp_ca
    )
    deliver = Deliver(
        store=wired.store,
        memory=wired.memory,
        runtime=wired.runtime,
        environment=settings.environment,
        secret=secret,
        mail_server=server,
        webhook_key=settings.webhook_key,
        private=settings.notify_private,
        url=settings.public_url.rstrip("/"),
    )
    return [
        Job(name="deliver notices", every=DELIVER, run=deliver),
        Job(name="deliver outcomes", every=DELIVER, run=replace(deliver, about=About.OUTCOME)),
    ]
