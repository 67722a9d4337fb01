"""The clock's part of notices: tell people what was raised, wherever it was."""

from __future__ import annotations

from interlock.services.deliver import Deliver
from interlock.settings import secret
from interlock.upstream.notify.mail import mail_server
from interlock.wiring import WiredModels
from interlock.worker.jobs import Job

DELIVER = 1.0


def delivery_job(wired: WiredModels) -> Job:
    """Return the job of one process; several may do it side by side."""
    settings = wired.settings
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
        url=settings.public_url.rstrip("/"),
    )
    return Job(name="deliver notices", every=DELIVER, run=deliver)
