"""Shorten a large tool result by the workflow's rule, keep the original, and hand it out again (B7).

The original is on disk before the short form leaves. It belongs to its run and to those of its tokens
that hold the tool; both the shortening and every look at the original are in the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from interlock.core.compression import Shortened, rule_for, shorten, size_of, text_of, worded
from interlock.core.document.identity import Organisation
from interlock.core.document.spending import Compression
from interlock.core.identity import check_principal
from interlock.core.model import SECOND, Json, Principal
from interlock.store import originals
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

LONGEST_PIECE = 64_000
"""Characters of an original that are handed out at once."""


Summarise = Callable[[str, str, int], Awaitable[str | None]]
"""Puts a text into the words of a model, in about so many bytes; None where it gives no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A shortened result. `reference` is None where the whole is too large to be kept."""

    shortened: Shortened
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an original's text: the characters from `offset` on, of `total`."""

    text: str
    offset: int
    total: int

    @property
    def following(self) -> int | None:
        """Where the next part begins; None at the end."""
        end = self.offset + len(self.text)
        return end if end < self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorten:
    """The use case of one process."""

    store: Store
    memory: Memory

    async def result(
        self, payload: Mapping[str, Json], principal: Principal, tool: str, *, summarise: Summarise
    ) -> Short | None:
        """Return a result shortened and its original kept; None where no rule asks for it.

        Where the rule wants a summary and none comes, the result is cut. Raises `StoreError` when the
        original cannot be kept now.
        """
        rule = self._rule(principal.workflow, tool)
        if rule is None or size_of(payload) <= rule.above:
            return None
        done = await asyncio.to_thread(shorten, payload, rule)
        if done is None:
            return None
        if rule.model is not None:
            words = await summarise(text_of(payload), rule.model, rule.to)
            done = done if words is None else worded(done, words)
        return await self.store.transact(
            lambda transaction: self._keep(transaction, payload, principal, tool, done)
        )

    async def original(
        self, principal: Principal, reference: str, *, offset: int, length: int, now: int
    ) -> Piece | None:
        """Return a part of an original, and record that; None where this token has no such original.

        Raises `StoreError`.
        """
        revoked, environment = self.memory.revoked, self.memory.environment
        if check_principal(principal, revoked, environment=environment, now=now) is not None:
            return None
        found = await self.store.read(lambda connection: originals.find(connection, reference))
        if found is None or not _may_see(principal, found):
            return None
        text = text_of(found.payload)
        piece = Piece(text=text[offset : offset + length], offset=offset, total=len(text))
        await self.store.transact(lambda transaction: _record(transaction, principal, found, piece))
        return piece

    def _rule(self, workflow: str, tool: str) -> Compression | None:
        bundle = self.memory.bundle
        compiled = None if bundle is None else bundle.workflows.get(workflow)
        return None if compiled is None else rule_for(compiled.document.compression, tool)

    def _keep(
        self,
        transaction: Transaction,
        payload: Mapping[str, Json],
        principal: Principal,
        tool: str,
        done: Shortened,
    ) -> Short:
        reference = originals.keep(
            transaction,
            run=principal.run,
            agent=principal.agent,
            tool=tool,
            payload={name: payload[name] for name in ("content", "structuredContent") if name in payload},
            expires_at=transaction.now + self._life(),
        )
        transaction.audit(
            "result.shortened",
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
            tool=tool,
            body={"reference": reference, "before": done.before, "after": done.after},
        )
        return Short(shortened=done, reference=reference)

    def _life(self) -> int:
        documents = () if self.memory.bundle is None else self.memory.bundle.documents
        said = next((each for each in documents if isinstance(each, Organisation)), Organisation(name=""))
        return said.keep_originals * SECOND


def _may_see(principal: Principal, found: originals.Original) -> bool:
    """Whether an original is of the caller's own run and tools."""
    mine = found.run == principal.run and found.agent == principal.agent
    return mine and (principal.scope is None or found.tool in principal.scope)


def _record(transaction: Transaction, principal: Principal, found: originals.Original, piece: Piece) -> None:
    transaction.audit(
        "result.retrieved",
        run=principal.run,
        agent=principal.agent,
        workflow=principal.workflow,
        tool=found.tool,
        body={"reference": found.id, "offset": piece.offset, "characters": len(piece.text)},
    )
