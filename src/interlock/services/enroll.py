"""Give an agent a way to prove itself (H1, H3): a one-time code, or the registration of its public key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from interlock.core import ownership
from interlock.core.missing import no_workflow
from interlock.core.model import DAY, MINUTE
from interlock.core.ownership import Owners
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.store import agents, enrolments
from interlock.store.agents import AgentRecord
from interlock.store.database import Store, Transaction
from interlock.store.enrolments import NewCode
from interlock.store.memory import Memory
from interlock.store.people import Person

LAUNCH_LIFE = MINUTE
CODE_LIFE = 15 * MINUTE
LONGEST_CODE = DAY
KEY_LIFE = 365 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKey:
    """A public key that may sign the agent's assertions until `expires_at`."""

    id: str
    thumbprint: str
    expires_at: int


async def enroll_with_code(
    *, store: Store, memory: Memory, agent: str, by: Person, life: int = CODE_LIFE, workflow: str = ""
) -> NewCode:
    """Make a one-time code for `agent`, for one workflow if named. Times in microseconds.

    Raises `NotFound`, `NotPermitted`, or `StateConflict` where nobody answers for the agent.
    """
    if not MINUTE <= life <= LONGEST_CODE:
        raise UsageError("An enrolment code lasts between one minute and one day.")
    if workflow:
        _of_agent(memory, workflow, agent)

    def work(transaction: Transaction) -> NewCode:
        record = _enrollable(transaction, memory.environment, agent)
        if not ownership.may_enrol(by.name, by.roles, _owners(record)):
            raise _not_theirs(by, agent)
        return _code(transaction, record, workflow=workflow, by=by, life=life, kind="agent.enrolled")

    return await store.transact(work)


async def launch_code(*, store: Store, memory: Memory, workflow: str, by: Person) -> NewCode:
    """Make the one-time code with which a person's launcher opens a run of `workflow` within a minute.

    The person gets no run token from this: the code is exchanged by whoever runs the agent, and the run
    is recorded as started by the person. Raises `NotFound`, `NotPermitted`, `StateConflict`.
    """
    agent = _of_agent(memory, workflow, None)

    def work(transaction: Transaction) -> NewCode:
        record = _enrollable(transaction, memory.environment, agent)
        if not ownership.may_start(by.name, by.roles, _owners(record)):
            raise _not_theirs(by, agent)
        return _code(transaction, record, workflow=workflow, by=by, life=LAUNCH_LIFE, kind="run.requested")

    return await store.transact(work)


async def enroll_with_key(
    *, store: Store, memory: Memory, agent: str, by: Person, jwk: Mapping[str, object], life: int = KEY_LIFE
) -> RegisteredKey:
    """Register a public P-256 key of `agent` for `private_key_jwt`; it expires like every credential.

    Raises `UsageError` for anything but a public P-256 key, `StateConflict` for one that is taken.
    """
    key = _public_key(jwk)
    if not MINUTE <= life <= KEY_LIFE:
        raise UsageError("A registered key lasts at most a year.")

    def work(transaction: Transaction) -> RegisteredKey:
        record = _enrollable(transaction, memory.environment, agent)
        if not ownership.may_enrol(by.name, by.roles, _owners(record)):
            raise _not_theirs(by, agent)
        thumbprint, ends = key.thumbprint(), transaction.now + life
        public = {name: str(value) for name, value in key.as_dict(private=False).items()}
        made = enrolments.add_key(
            transaction, agent, jwk=public, thumbprint=thumbprint, created_by=by.name, expires_at=ends
        )
        transaction.audit(
            "agent.enrolled",
            agent=agent,
            person=by.name,
            body={"with": "key", "enrolment": made, "thumbprint": thumbprint, "expires_at": ends},
        )
        return RegisteredKey(id=made, thumbprint=thumbprint, expires_at=ends)

    return await store.transact(work)


def _code(
    transaction: Transaction, agent: AgentRecord, *, workflow: str, by: Person, life: int, kind: str
) -> NewCode:
    made = enrolments.add_code(
        transaction, agent.name, workflow=workflow, created_by=by.name, expires_at=transaction.now + life
    )
    transaction.audit(
        kind,
        agent=agent.name,
        workflow=workflow,
        person=by.name,
        body={"with": "code", "enrolment": made.id, "expires_at": made.expires_at},
    )
    return made


def _enrollable(transaction: Transaction, environment: str, agent: str) -> AgentRecord:
    """Return an agent somebody answers for: an owner always, a backup everywhere but in dev (H3)."""
    record = agents.active(transaction.connection, agent)
    if not record.owner or (not record.backup and environment != "dev"):
        raise StateConflict(
            f"The agent {agent!r} needs an owner and a backup before it can be enrolled.",
            hint="Declare spec.owner and spec.backup of the Agent, then apply.",
        )
    return record


def _of_agent(memory: Memory, workflow: str, agent: str | None) -> str:
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    if compiled is None:
        unknown = no_workflow(workflow, memory.bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    if agent is not None and compiled.document.agent != agent:
        raise NotPermitted(f"The workflow {workflow!r} is not one of the agent {agent!r}.")
    return compiled.document.agent


def _public_key(jwk: Mapping[str, object]) -> ECKey:
    if "d" in jwk:
        raise UsageError("This is a private key.", hint="Keep it with the agent; register the public one.")
    try:
        key = ECKey.import_key({name: str(value) for name, value in jwk.items() if name in _PUBLIC})
    except (JoseError, ValueError, KeyError) as error:
        raise UsageError("This is not a public EC key as a JWK.", hint="kty EC, crv P-256, x, y") from error
    if key.curve_name != "P-256":
        raise UsageError(f"The key is on {key.curve_name}; ES256 needs P-256.")
    return key


def _owners(record: AgentRecord) -> Owners:
    return Owners(owner=record.owner, backup=record.backup)


def _not_theirs(by: Person, agent: str) -> NotPermitted:
    return NotPermitted(
        f"{by.name} may not do this for the agent {agent!r}.",
        hint="Its owner or backup may, with the role agent_owner; see: interlock agents show",
    )


_PUBLIC = frozenset({"kty", "crv", "x", "y"})
