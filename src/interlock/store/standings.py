"""What a decision stands on, read in the commit that acts on it: policy, run, agent, breakers, tier.

A write stands only if this is still what the decision was made on; otherwise it is decided anew.
"""

from __future__ import annotations

import sqlalchemy as sa

from interlock.core.model import value
from interlock.store.prepared import Prepared
from interlock.store.schema import agents, breakers, heads, runs, track_records


@value
class Standing:
    """What a decision stands on, as the disk has it: policy bundle, run, agent, and if anything tripped.

    `tier` is what its workflow has on record for the tool, "" where nothing is.
    """

    bundle: str
    run_open: bool
    agent_active: bool
    epoch: int
    tripped: bool
    tier: str


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
        track_records.c.tier,
    )
    .select_from(runs)
    .join(agents, agents.c.name == runs.c.agent)
    .outerjoin(heads, heads.c.environment == sa.bindparam("environment"))
    .outerjoin(
        track_records,
        sa.and_(
            track_records.c.environment == sa.bindparam("environment"),
            track_records.c.workflow == runs.c.workflow,
            track_records.c.tool == sa.bindparam("tool"),
        ),
    )
    .where(runs.c.id == sa.bindparam("run"))
)


def standing(connection: sa.Connection, run: str, environment: str, tool: str) -> Standing | None:
    """Return what a decision on `tool` in `run` stands on now, or None when the run is not known."""
    row = _STANDING.run(connection, {"run": run, "environment": environment, "tool": tool}).fetchone()
    if row is None:
        return None
    bundle, run_state, agent_state, epoch, tripped, tier = row
    return Standing(
        bundle=bundle or "",
        run_open=run_state == "open",
        agent_active=agent_state == "active",
        epoch=epoch,
        tripped=bool(tripped),
        tier=tier or "",
    )
