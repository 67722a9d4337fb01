"""Tell people what was raised, and programs what became of actions: claim what is due, send it outside of any
transaction, write down how it went.

What a receiver does not take is tried again, later each time, for a day (`core.retry`); what can never work
is given up at once. Both are on the delivery log, with a reason that holds no secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from interlock.core import retry
from interlock.core.alert import Notice
from interlock.core.model import SECOND, Json
from interlock.core.recipient import EMAIL
from interlock.runtime import Runtime
from interlock.store import alert_events, deliveries, outcomes, runbooks
from interlock.store.alert_events import AlertEvent
from interlock.store.database import Store, Transaction
from interlock.store.deliveries import About, Delivery, DeliveryState
from interlock.store.memory import Memory
from interlock.upstream.notify import mail
from interlock.upstream.notify.mail import MailServer
from interlock.upstream.notify.message import Ending, Message, NotTaken, Sent

_REFERENCE = "secret://env/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """The use case with its handles. `secret` resolves a reference; `private` lets webhooks reach inside.

    `about` is what it tells of: a slow receiver of outcomes keeps no alert waiting. `url` is where the API is
    reached, for links. `memory` knows the manifest in force: what it does not declare any more is not told.
    """

    store: Store
    memory: Memory
    runtime: Runtime
    environment: str
    secret: Callable[[str], str | None]
    mail_server: MailServer | None = None
    webhook_key: str = ""
    private: bool = False
    url: str = ""
    about: About = About.ALERT

    async def __call__(self) -> int:
        """Send what is due; return how many were tried."""
        tried = 0
        while claimed := await self._claim():
            await asyncio.gather(*map(self._deliver, claimed))
            tried += len(claimed)
            if len(claimed) < deliveries.BATCH:
                break
        return tried

    async def _claim(self) -> list[Delivery]:
        now = self.runtime.clock.now()
        of = (self.environment, self.about)
        if not await self.store.read(lambda found: deliveries.any_due(found, of[0], now, of[1])):
            return []
        return await self.store.transact(lambda transaction: deliveries.claim(transaction, *of))

    async def _deliver(self, delivery: Delivery) -> None:
        message = await self._message(delivery)
        began = self.runtime.clock.monotonic()
        ending = await self._send(delivery, message) if isinstance(message, Message) else message
        took = int((self.runtime.clock.monotonic() - began) * SECOND)
        await self.store.transact(lambda transaction: _settle(transaction, delivery, ending, took))

    async def _message(self, delivery: Delivery) -> Message | NotTaken:
        if delivery.event is None:
            return await self._outcome(delivery)
        notice = await self._notice(delivery.event)
        return Message(
            delivery=delivery.id,
            target=delivery.target,
            title=notice.title,
            text=notice.text(),
            body=msgspec.json.encode(notice.payload(delivery.id)),
        )

    async def _outcome(self, delivery: Delivery) -> Message | NotTaken:
        outcome = await self.store.read(lambda found: outcomes.of(found, delivery, url=self.url))
        to = outcomes.receiver(self.memory, outcome.action.workflow)
        if to is None or to.target != delivery.target:
            return NotTaken(detail="not called: the manifest does not declare it any more", final=True)
        body = msgspec.json.encode(outcome.payload(delivery.id))
        return Message(delivery=delivery.id, target=delivery.target, title=outcome.event, text="", body=body)

    async def _notice(self, name: str) -> Notice:
        event = await self.store.read(lambda found: alert_events.get(found, name))
        alert = await self.store.read(lambda found: runbooks.get(found, event.alert))
        return Notice(
            event=event.id,
            kind=event.kind.value,
            severity=event.severity,
            environment=event.environment,
            subject=event.subject,
            window=event.period,
            at=event.at,
            summary=event.summary,
            entry=alert.entry,
            runbook=alert.runbook,
            incident=event.incident or "",
            facts={**event.facts, **self._link(event)},
        )

    def _link(self, event: AlertEvent) -> dict[str, Json]:
        """Return where what an event is about can be seen, for those kinds that a person decides on."""
        what, _, approval = event.subject.partition(":")
        return {"link": f"{self.url}/api/v1/approvals/{approval}"} if what == "approval" and self.url else {}

    async def _send(self, delivery: Delivery, message: Message) -> Ending:
        if delivery.channel == EMAIL:
            if self.mail_server is None:
                return NotTaken(detail="no mail server is set: INTERLOCK_SMTP", final=True)
            return await mail.hand_in(message, self.mail_server)
        key = self._key(delivery)
        if not key:
            return NotTaken(detail="no key to sign it with: webhook_key or INTERLOCK_WEBHOOK_KEY", final=True)
        now = self.runtime.clock.now() // SECOND
        from interlock.upstream.notify import webhook  # its HTTP client is slow to load, and seldom needed

        return await webhook.post(message, key=key.encode(), timestamp=now, private=self.private)

    def _key(self, delivery: Delivery) -> str | None:
        if not delivery.key_ref:
            return self.webhook_key
        if not delivery.key_ref.startswith(_REFERENCE):
            return None
        return self.secret(delivery.key_ref.removeprefix(_REFERENCE))


def _settle(transaction: Transaction, delivery: Delivery, ending: Ending, took: int) -> None:
    due_at = transaction.now + retry.pause(delivery.attempts + 1, delivery.id)
    match ending:
        case Sent(detail=detail):
            state, outcome = DeliveryState.DELIVERED, "delivered"
        case NotTaken(detail=detail, final=final):
            over = final or retry.over(delivery.created_at, due_at)
            state, outcome = (DeliveryState.GIVEN_UP if over else DeliveryState.QUEUED), "failed"
    deliveries.settle(
        transaction, delivery, state=state, due_at=due_at, took=took, outcome=outcome, detail=detail
    )
