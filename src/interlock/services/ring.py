"""The one timer loop: fire what is due by the clock, on every process, each timer by one of them.

Taking a timer and its effect share a commit, so an effect never happens twice and is never lost. What is
overdue after an outage fires once. A handler that fails keeps its timer, which is due again a moment later,
and stops nobody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from interlock.core.model import SECOND
from interlock.errors import CommitUnknown, InterlockError, StoreUnavailable
from interlock.store import timers
from interlock.store.database import Store, Transaction
from interlock.store.timers import Timer

log = logging.getLogger(__name__)

AGAIN = 5 * SECOND
"""Microseconds after which a timer is due again whose handler failed."""

Handler = Callable[[Transaction, str], None]
"""Does what is due for a reference, in the transaction that takes the timer.

It looks where things stand by then: it may set the same timer anew, and finds nothing to do where somebody
was faster. Memory is changed by `on_commit` alone.
"""


class Ring:
    """Who is told of which kind of timer. Kinds that nobody here handles are left to other processes."""

    def __init__(self, *, store: Store) -> None:
        self._store = store
        self._handlers: dict[str, Handler] = {}

    def on(self, kind: str, handler: Handler) -> None:
        """Let `handler` do what is due for timers of `kind`; one handler for each kind."""
        if kind in self._handlers:
            raise ValueError(f"timers of the kind {kind!r} have a handler already")
        self._handlers[kind] = handler

    async def fire(self) -> int:
        """Do everything that is due now and return how many timers were taken. Raises `StoreError`."""
        kinds, fired = tuple(self._handlers), 0
        due = await self._store.read(lambda found: timers.next_due(found, kinds)) if kinds else None
        if due is None or due > self._store.now():
            return 0
        while await self._next(kinds):
            fired += 1
        return fired

    async def _next(self, kinds: tuple[str, ...]) -> bool:
        """Fire the timer that has been due longest; say whether there was one."""
        taken: list[Timer] = []

        def work(transaction: Transaction) -> bool:
            taken[:] = [timer] if (timer := timers.take(transaction, kinds)) is not None else []
            for timer in taken:
                self._handlers[timer.kind](transaction, timer.ref)
            return bool(taken)

        try:
            return await self._store.transact(work)
        except (StoreUnavailable, CommitUnknown):
            raise
        except InterlockError as error:
            if not taken:
                raise
            log.warning("the timer %s of %s must wait: %s", taken[0].kind, taken[0].ref, error.message)
        except Exception:
            if not taken:
                raise
            log.exception("the timer %s of %s failed; it is due again", taken[0].kind, taken[0].ref)
        await self._store.transact(lambda transaction: timers.postpone(transaction, taken[0], AGAIN))
        return True
