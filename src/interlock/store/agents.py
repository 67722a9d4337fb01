"""Agents as identities (H1, H3): state, epoch, who answers for them. A retired name is never used again.

The epoch is the lowest that a token of the agent must carry; suspending and retiring raise it, so every
token issued before stops counting at once. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from interlock.core.document import identity
from interlock.core.model import Json
from interlock.errors import NotFound, StateConflict
from interlock.store.database import Transaction
from interlock.store.schema import agents


class AgentState(StrEnum):
    """Where an identity stands. Retired is final."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """One agent as the store knows it; `proof` is what was removed when it was retired."""

    name: str
    state: AgentState
    epoch: int
    owner: str
    backup: str | None
    retired_at: int | None
    proof: Mapping[str, Json] | None


def declare(transaction: Transaction, declared: Iterable[identity.Agent]) -> None:
    """Make the identities follow the manifest: new agents appear active, owners follow the document.

    Raises `StateConflict` for a name that was retired: identities are never reused (H5).
    """
    known = {record.name: record for record in everyone(transaction.connection)}
    for agent in declared:
        record = known.get(agent.name)
        if record is None:
            transaction.execute(
                sa.insert(agents).values(
                    name=agent.name,
                    state=AgentState.ACTIVE.value,
                    epoch=1,
                    owner=agent.owner,
                    backup=agent.backup,
                )
            )
        elif record.state is AgentState.RETIRED:
            raise StateConflict(
                f"The agent {agent.name!r} was retired; its name is never used again.",
                hint="Declare the new agent under a new name.",
            )
        elif (record.owner, record.backup) != (agent.owner, agent.backup):
            _update(transaction, agent.name, owner=agent.owner, backup=agent.backup)


def find(connection: sa.Connection, name: str) -> AgentRecord | None:
    """Return the agent of that name, or None."""
    row = connection.execute(sa.select(agents).where(agents.c.name == name)).mappings().one_or_none()
    return None if row is None else _record(row)


def get(connection: sa.Connection, name: str) -> AgentRecord:
    """Return the agent of that name. Raises `NotFound`."""
    record = find(connection, name)
    if record is None:
        raise NotFound(f"There is no agent named {name!r}.", hint="interlock agents list")
    return record


def active(connection: sa.Connection, name: str) -> AgentRecord:
    """Return an agent that may run now. Raises `NotFound`; `StateConflict` when suspended or retired."""
    record = get(connection, name)
    if record.state is not AgentState.ACTIVE:
        raise StateConflict(
            f"The agent {name!r} is {record.state}: it cannot run.", hint="interlock agents show"
        )
    return record


def everyone(connection: sa.Connection) -> list[AgentRecord]:
    """Return all agents, retired ones too, by name."""
    return [_record(row) for row in connection.execute(sa.select(agents).order_by(agents.c.name)).mappings()]


def lowest_epochs(connection: sa.Connection) -> dict[str, int]:
    """Return for each agent the lowest epoch a token must carry."""
    return {row.name: row.epoch for row in connection.execute(sa.select(agents.c.name, agents.c.epoch))}


def move(transaction: Transaction, record: AgentRecord, state: AgentState) -> int:
    """Move an agent to `state`; leaving `active` raises the epoch. Return the epoch that counts from now.

    Raises `StateConflict` when the agent is retired or in that state already.
    """
    if record.state is AgentState.RETIRED:
        raise StateConflict(f"The agent {record.name!r} is retired; that is final.")
    if record.state is state:
        raise StateConflict(f"The agent {record.name!r} is {state} already.")
    epoch = record.epoch if state is AgentState.ACTIVE else record.epoch + 1
    changed = transaction.execute(
        sa.update(agents)
        .where(
            agents.c.name == record.name, agents.c.state == record.state.value, agents.c.epoch == record.epoch
        )
        .values(state=state.value, epoch=epoch)
    )
    if changed.rowcount == 0:
        raise StateConflict(f"The agent {record.name!r} was changed by somebody else just now.")
    return epoch


def archive(transaction: Transaction, name: str, proof: Mapping[str, Json]) -> None:
    """Keep the proof of an agent's retirement with its record."""
    encoded = msgspec.json.encode(proof).decode()
    _update(transaction, name, retired_at=transaction.now, proof=encoded)


def _update(transaction: Transaction, name: str, **values: object) -> None:
    transaction.execute(sa.update(agents).where(agents.c.name == name).values(**values))


def _record(row: sa.RowMapping) -> AgentRecord:
    return AgentRecord(
        name=row["name"],
        state=AgentState(row["state"]),
        epoch=row["epoch"],
        owner=row["owner"],
        backup=row["backup"],
        retired_at=row["retired_at"],
        proof=None if not row["proof"] else msgspec.json.decode(row["proof"]),
    )
