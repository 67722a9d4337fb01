"""Who is calling: verify a run token offline, and cheaply when it was seen before (H2, invariant 10).

A verified token is remembered until the bounded cache forgets it; whether it still counts is asked every
time, as look-ups in memory: expiry, revoked token, run, agent or key, and an open run. Every refusal is
audited without the token, a flood of them as a count. The time is the store's, which never steps back: what
has expired stays so, and what was issued a moment ago counts, whatever the machine's clock does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from interlock.core.identity import RUN_REVOKED, check_principal
from interlock.core.model import SECOND, Principal
from interlock.core.throttle import Throttle
from interlock.core.token import TYPE, Refused, read_claims
from interlock.errors import RunHalted, TokenInvalid
from interlock.runtime import Runtime
from interlock.store.database import JournalEntry, Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory

REMEMBERED = 4_096
_AUDITED_PER_SECOND = 20


class Authenticator:
    """Verifies run tokens of one environment. `throttle` slows those who fail to prove who they are.

    `remembered` is how many verified tokens are kept in memory at the most. `catch_up` learns what other
    processes changed: a token may be of a run that one of them has just opened.
    """

    def __init__(
        self,
        *,
        store: Store,
        keyring: Keyring,
        memory: Memory,
        runtime: Runtime,
        issuer: str,
        remembered: int = REMEMBERED,
        catch_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.issuer = issuer
        self.throttle = Throttle()
        self._store = store
        self._keyring = keyring
        self._memory = memory
        self._clock = runtime.clock
        self._catch_up = catch_up
        self._known: dict[str, Principal] = {}
        memory.on_run_over.append(self._run_over)
        self._remembered = remembered
        self._audited = (0, 0)
        self._unaudited = 0

    async def recognise(self, token: str) -> Principal:
        """Verify a token; one that was never seen here is judged by what every process knows.

        Raises `TokenInvalid`.
        """
        if token not in self._known and self._catch_up is not None:
            await self._catch_up()
        return self.verify(token)

    async def catch_up(self) -> None:
        """Learn what other processes committed until now, where there are others."""
        if self._catch_up is not None:
            await self._catch_up()

    def verify(self, token: str) -> Principal:
        """Return whom a run token speaks for. Raises `TokenInvalid`, which says why and what to do:

        `RunHalted` where a kill that is in force ended the run.
        """
        principal = self._known.get(token)
        if principal is None:
            principal = self._read(token)
        reason = check_principal(
            principal, self._memory.revoked, environment=self._memory.environment, now=self._store.now()
        )
        if reason is not None:
            self._known.pop(token, None)
            why = Refused(code=reason.code, message=reason.message)
            over = reason.code == RUN_REVOKED
            raise self._over(principal, why) if over else self.refused(why, principal=principal)
        facts = self._memory.runs.get(principal.run)
        if facts is None or not facts.open:
            self._known.pop(token, None)
            ended = Refused(
                code="run_ended", message="The run of this token has ended.", hint="Open a new run."
            )
            raise self._over(principal, ended)
        return principal

    def _over(self, principal: Principal, why: Refused) -> TokenInvalid:
        """Audit a token whose run has ended; return the error, `RunHalted` where a kill keeps it so."""
        kill = self._memory.kill_of(principal)
        if not kill:
            return self.refused(why, principal=principal)
        halted = RunHalted(kill)
        self.refused(Refused(code="run_halted", message=halted.message), principal=principal)
        return halted

    def refused(self, why: Refused, *, principal: Principal | None = None) -> TokenInvalid:
        """Audit a refused credential, beyond 20 a second as a count only; return the error to raise."""
        second = self._clock.now() // SECOND
        last, count = self._audited
        count = count if last == second else 0
        self._audited = (second, count + 1)
        if count >= _AUDITED_PER_SECOND:
            self._unaudited += 1
        else:
            self._audit(why, principal)
        return TokenInvalid(why.message, hint=why.hint or "Exchange an enrolment for a new run token.")

    def _read(self, token: str) -> Principal:
        verified = self._keyring.verify(token, typ=TYPE)
        if isinstance(verified, Refused):
            raise self.refused(verified)
        principal = read_claims(
            verified.claims,
            key_id=verified.kid,
            issuer=self.issuer,
            audience=self.issuer,
            now=self._store.now(),
        )
        if isinstance(principal, Refused):
            raise self.refused(principal)
        if len(self._known) >= self._remembered:
            del self._known[next(iter(self._known))]
        self._known[token] = principal
        return principal

    def _run_over(self, run: str) -> None:
        """Let go of the tokens of a run that has ended: each takes two kilobytes."""
        for token in [token for token, holder in self._known.items() if holder.run == run]:
            del self._known[token]

    def _audit(self, why: Refused, principal: Principal | None) -> None:
        unaudited, self._unaudited = self._unaudited, 0
        body = {"code": why.code, **({"not_listed_before": unaudited} if unaudited else {})}
        entry = JournalEntry(
            at=self._clock.now(),
            kind="token.refused",
            body=body,
            run=principal.run if principal else "",
            agent=principal.agent if principal else "",
            workflow=principal.workflow if principal else "",
        )
        self._store.note(entry)
