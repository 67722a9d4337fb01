"""The clock's part of news: forget what every process has read long ago."""

from __future__ import annotations

from interlock.store import news
from interlock.store.database import Transaction
from interlock.wiring import WiredModels
from interlock.worker.jobs import Job

_EVERY = 300.0


def news_job(wired: WiredModels) -> Job:
    """Return the job of one process; several may do it side by side."""

    def forget(transaction: Transaction) -> None:
        news.forget(transaction.connection, transaction.now)

    return Job(name="forget old news", every=_EVERY, run=lambda: wired.store.transact(forget))
