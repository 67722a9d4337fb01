"""What a decision stands on, read in the commit that acts on it: policy, run, agent, what has tripped.

A write stands only if this is still what the decision was made on; otherwise it is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.store.prepared import Prepared
from interlock.store.schema import agents, breakers, heads, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a decision stands on, as the disk has it: policy bundle, run, agent, and if anything tripped."""

    bundle: str
    run_open: bool
    agent_active: bool
    epoch: int
    tripped: bool


_STANDING = Prepared(
    sa.select(
        heads.c.bundle_digest,
        runs.c.state,
        agents.c.state,
        agents.c.epoch,
        sa.exists()
        .where(
            breakers.c.environment == sa.bindparam("environment"),
            breakers.c.state != sa.literal_column("'closed'"),
        )
        .label("tripped"),
    )
    .select_from(runs)
    .join(agents, agents.c.name == runs.c.agent)
    .outerjoin(heads, heads.c.environment == sa.bindparam("environment"))
    .where(runs.c.id == sa.bindparam("run"))
)


def standing(connection: sa.Connection, run: str, environment: str) -> Standing | None:
    """Return what a decision about `run` stands on now, or None when the run is not known."""
    row = _STANDING.run(connection, {"run": run, "environment": environment}).fetchone()
    if row is None:
        return None
    bundle, run_state, agent_state, epoch, tripped = row
    return Standing(
        bundle=bundle or "",
        run_open=run_state == "open",
        agent_active=agent_state == "active",
        epoch=epoch,
        tripped=bool(tripped),
    )
