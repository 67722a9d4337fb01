"""Token exchange (RFC 8693), the only way an agent gets a run token (H1, H2).

What is presented is spent and what is given is written in one transaction: a one-time code, an assertion
by a registered key, or a live token of the run itself, which renews it, makes a narrower one, or starts a
run below it. Nothing here can widen: the new scope is the intersection of what was held and what was asked
(invariant 3), and a run below pays into the accounts of the one that started it (B9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from interlock.core.assertion import Assertion, claimed_agent, read_assertion
from interlock.core.identity import narrow
from interlock.core.model import SECOND, Json, Principal
from interlock.core.throttle import Throttle
from interlock.core.token import MAX_ACTORS, MAX_LIFE, Refused
from interlock.errors import GrantRefused, NotFound, NotPermitted, StateConflict, TokenInvalid
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store import agents, enrolments, run_starts, runs
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.memory import Memory
from interlock.store.run_rows import Run, RunState
from interlock.store.run_tokens import Issuer, RunToken, Terms
from interlock.store.signature import payload_of, read_header, verify_compact

NEW = "new"
"""Names the run that is to be started from the one whose token is presented."""


class Proof(StrEnum):
    """What may be exchanged for a run token, by its RFC 8693 token type."""

    CODE = "urn:interlock:token-type:enrolment-code"
    ASSERTION = "urn:ietf:params:oauth:token-type:jwt"
    RUN_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """What the caller presents and asks for. `scope` None: all it may have. `life` in microseconds.

    `run` NEW with a run token asks for a run below that one; `acting` is what proves its agent, where that is
    another: a code or an assertion.
    """

    proof: Proof
    subject_token: str
    workflow: str = ""
    run: str = ""
    scope: frozenset[str] | None = None
    life: int = MAX_LIFE
    actor: str = ""
    attended: bool = False
    direct_models: bool = False
    caller: str = ""
    acting: tuple[Proof, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """The run that is open and its new token."""

    run: Run
    token: RunToken


class Exchange:
    """Gives run tokens of one environment for what proves an agent. `verify` checks a run token."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        issuer: Issuer,
        verify: Callable[[str], Principal],
        throttle: Throttle,
        settings: Settings,
        runtime: Runtime,
    ) -> None:
        self._store = store
        self._memory = memory
        self._issuer = issuer
        self._verify = verify
        self._throttle = throttle
        self._settings = settings
        self._clock = runtime.clock

    async def exchange(self, request: ExchangeRequest) -> Exchanged:
        """Return a run and its token. Raises `GrantRefused` with the OAuth error; refusals are audited."""
        throttle, now = self._throttle, self._clock.now()
        guessable = request.proof is not Proof.RUN_TOKEN  # a renewal never waits for others' failures
        if guessable and (wait := throttle.wait(request.caller, now)):
            raise GrantRefused(
                f"Too many failed attempts; try again in {wait // SECOND + 1} seconds.", oauth="slow_down"
            )
        try:
            given = await self._give(request)
        except GrantRefused as refused:
            if guessable:
                throttle.failed(request.caller, now)
            if not isinstance(refused.__cause__, TokenInvalid):  # those are audited where they are verified
                self._audit_refusal(request, refused)
            raise
        throttle.succeeded(request.caller)
        return given

    async def _give(self, request: ExchangeRequest) -> Exchanged:
        try:
            match request.proof:
                case Proof.CODE:
                    return await self._store.transact(lambda each: self._by_code(each, request))
                case Proof.ASSERTION:
                    return await self._by_assertion(request)
                case Proof.RUN_TOKEN:
                    holder = self._verify(request.subject_token)
                    if request.run == NEW:
                        return await self._below(request, holder)
                    return await self._store.transact(lambda each: self._renewed(each, request, holder))
        except (NotFound, NotPermitted) as error:
            raise GrantRefused(error.message, oauth="unauthorized_client", hint=error.hint) from error
        except (StateConflict, TokenInvalid) as error:
            raise GrantRefused(error.message, oauth="invalid_grant", hint=error.hint) from error

    async def _below(self, request: ExchangeRequest, holder: Principal) -> Exchanged:
        """Start a run from the one that `holder` speaks for: of its agent, or of one that proves itself."""
        if request.acting is None:
            return await self._store.transact(
                lambda each: self._opened(each, request, agent=holder.agent, holder=holder)
            )
        proof, presented = request.acting
        proven = replace(request, proof=proof, subject_token=presented, run="")
        match proof:
            case Proof.CODE:
                return await self._store.transact(lambda each: self._by_code(each, proven, holder))
            case Proof.ASSERTION:
                return await self._by_assertion(proven, holder)
            case Proof.RUN_TOKEN:
                raise GrantRefused(
                    "A run token proves no other agent.",
                    oauth="invalid_request",
                    hint="actor_token is an enrolment code or an assertion of the workflow's agent.",
                )

    def _by_code(
        self, transaction: Transaction, request: ExchangeRequest, holder: Principal | None = None
    ) -> Exchanged:
        code = enrolments.by_code(transaction.connection, request.subject_token)
        if code is None:
            raise GrantRefused("The enrolment code is unknown.", hint="interlock agents enroll")
        if code.used_at is not None:
            raise GrantRefused("The enrolment code was used already.", hint="Each code works once.")
        if code.expires_at is not None and transaction.now >= code.expires_at:
            raise GrantRefused("The enrolment code has expired.", hint="interlock agents enroll")
        if code.workflow and request.workflow not in ("", code.workflow):
            raise GrantRefused(f"The enrolment code is for the workflow {code.workflow!r} only.")
        if request.run and holder is None:
            run = runs.find(transaction.connection, request.run)
            if run is None or (run.agent, run.started_by) != (code.agent, code.created_by):
                raise GrantRefused("Who asked for this code has no such run.")
            enrolments.use_code(transaction, code.id, run.id)
            return self._issued(transaction, request, run, held=None, actors=())
        opened = self._opened(
            transaction, request, agent=code.agent, workflow=code.workflow, started_by=code.created_by,
            holder=holder,
        )  # fmt: skip
        enrolments.use_code(transaction, code.id, opened.run.id)
        return opened

    async def _by_assertion(self, request: ExchangeRequest, holder: Principal | None = None) -> Exchanged:
        now = self._clock.now()
        agent = claimed_agent(payload_of(request.subject_token)) or ""
        keys = await self._store.read(lambda connection: enrolments.keys_of(connection, agent, now))
        assertion = read_assertion(
            _verified(request.subject_token, keys), audience=self._issuer.name, now=now
        )
        if isinstance(assertion, Refused):
            raise GrantRefused(assertion.message, oauth="invalid_client", hint=assertion.hint)
        return await self._store.transact(lambda each: self._asserted(each, request, assertion, holder))

    def _asserted(
        self,
        transaction: Transaction,
        request: ExchangeRequest,
        assertion: Assertion,
        holder: Principal | None,
    ) -> Exchanged:
        if not enrolments.use_assertion(transaction, assertion.agent, assertion.jti, assertion.expires_at):
            raise GrantRefused(
                "The assertion was presented before.", oauth="invalid_client", hint="Sign a new one."
            )
        if not enrolments.keys_of(transaction.connection, assertion.agent, transaction.now):
            raise GrantRefused("The agent's key was removed.", oauth="invalid_client")
        if not request.run:
            return self._opened(
                transaction, request, agent=assertion.agent, started_by=f"agent:{assertion.agent}",
                holder=holder,
            )  # fmt: skip
        run = runs.find(transaction.connection, request.run)
        if run is None or run.agent != assertion.agent:
            raise GrantRefused("The agent has no such run.")
        return self._issued(transaction, request, run, held=None, actors=())

    def _renewed(self, transaction: Transaction, request: ExchangeRequest, holder: Principal) -> Exchanged:
        run = runs.get(transaction.connection, holder.run)
        if request.run not in ("", run.id) or request.workflow not in ("", run.workflow):
            raise GrantRefused("A run token can be exchanged for a token of the same run only.")
        actors = _chain(request.actor, holder) if request.actor else holder.actors
        return self._issued(transaction, request, run, held=holder.scope, actors=actors)

    def _opened(
        self,
        transaction: Transaction,
        request: ExchangeRequest,
        *,
        agent: str,
        started_by: str = "",
        workflow: str = "",
        holder: Principal | None = None,
    ) -> Exchanged:
        """Open a run; one below that of `holder` counts as started by whoever started that one."""
        wanted = workflow or request.workflow or (holder.workflow if holder is not None else "")
        if not wanted:
            raise GrantRefused(
                "Say which workflow the run is of.", oauth="invalid_request", hint="workflow=NAME"
            )
        above = None if holder is None else _still_open(runs.get(transaction.connection, holder.run))
        deadline = transaction.now + self._settings.run_limit * SECOND
        start = run_starts.RunStart(
            workflow=wanted,
            agent=agent,
            started_by=started_by if above is None else above.started_by,
            lease_until=transaction.now,
            deadline_at=deadline if above is None else min(deadline, above.deadline_at or deadline),
            attended=request.attended,
            direct_models=request.direct_models,
            parent=None if above is None else above.id,
        )
        run, _ = run_starts.start(transaction, self._memory, start)
        if holder is None or above is None:
            return self._issued(transaction, request, run, held=None, actors=())
        held = self._issuer.granted(above) if holder.scope is None else holder.scope
        actors = _chain(holder.agent, holder)
        return self._issued(transaction, request, run, held=held & self._issuer.granted(run), actors=actors)

    def _issued(
        self,
        transaction: Transaction,
        request: ExchangeRequest,
        run: Run,
        *,
        held: frozenset[str] | None,
        actors: tuple[str, ...],
    ) -> Exchanged:
        _still_open(run)
        agent = agents.active(transaction.connection, run.agent)
        scope = narrow(held, request.scope)
        if request.scope is not None:
            scope = narrow(scope, self._issuer.granted(run))
            if not scope:
                raise GrantRefused("None of the tools asked for is in the scope held.", oauth="invalid_scope")
        terms = Terms(life=request.life, scope=scope, actors=actors)
        return Exchanged(run=run, token=self._issuer.issue(transaction, run, agent, terms))

    def _audit_refusal(self, request: ExchangeRequest, refused: GrantRefused) -> None:
        body: dict[str, Json] = {
            "error": refused.oauth,
            "reason": refused.message,
            "proof": request.proof.name.lower(),
            "caller": request.caller,
        }
        self._store.note(JournalEntry(at=self._clock.now(), kind="token.exchange_refused", body=body))


def _still_open(run: Run) -> Run:
    if run.state is not RunState.OPEN:
        raise GrantRefused("The run has ended.", hint="Open a new run.")
    return run


def _chain(actor: str, holder: Principal) -> tuple[str, ...]:
    """Return who acts, the nearest first: `actor` and those that `holder` acts for."""
    if len(holder.actors) >= MAX_ACTORS:
        raise GrantRefused(f"A chain of more than {MAX_ACTORS} actors is refused.", oauth="invalid_request")
    return (actor, *holder.actors)


def _verified(token: str, keys: list[enrolments.Enrolment]) -> dict[str, Json]:
    """Return the claims of an assertion that one of the agent's registered keys signed."""
    header = read_header(token, needs_kid=False)
    if isinstance(header, Refused):
        raise GrantRefused(header.message, oauth="invalid_client", hint=header.hint)
    for key in keys:
        if key.jwk is None:
            continue
        try:
            claims = verify_compact(token, ECKey.import_key(dict(key.jwk)))
        except (JoseError, ValueError):
            continue
        if not isinstance(claims, Refused):
            return claims
    raise GrantRefused(
        "The assertion is not signed by a registered key of this agent.",
        oauth="invalid_client",
        hint="Register the public key: interlock agents enroll AGENT --key FILE",
    )
