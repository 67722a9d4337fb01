"""Put a call through the decision without an agent: for explaining, testing and reporting (A4, A5).

The call is made by an imaginary run of the workflow's own agent, with its token in order and the tool as it
was registered, so that only scope, tier and rules speak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.admission import decide
from interlock.core.bundle import Bundle
from interlock.core.canonical import digest
from interlock.core.model import HOUR, Decision, Json, Pin, Principal, Request
from interlock.core.snapshot import RunFacts, SchemaCheck, Snapshot, any_arguments

RUN = "run_trial"


def _nothing() -> dict[str, Json]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One imaginary call. `calls` and `labels` are what the run has done and collected; `now` in µs.

    `exercised` says that the tool's undo was tried out (E5), `score` what evaluators gave the run (basis
    points), `trials` how many clean ones the tool has (F1).
    """

    workflow: str
    tool: str
    arguments: Mapping[str, Json] = field(default_factory=_nothing)
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    labels: frozenset[str] = frozenset()
    reach: Mapping[str, Json] | None = None
    now: int = 0
    exercised: bool = False
    score: int | None = None
    trials: int = 0


def ask(bundle: Bundle, trial: Trial, *, check: SchemaCheck = any_arguments) -> Decision:
    """Return the decision on `trial`. `check` says what is wrong with arguments, if the schema is known."""
    workflow = bundle.workflows.get(trial.workflow)
    version = workflow.version if workflow else 0
    agent = workflow.document.agent if workflow else ""
    declared = bundle.agents.get(agent)
    principal = Principal(
        agent=agent,
        owner=declared.owner if declared else "",
        workflow=trial.workflow,
        workflow_version=version,
        run=RUN,
        environment=bundle.environment,
        token_id="trial",
        key_id="trial",
        epoch=1,
        expires_at=trial.now + HOUR,
    )
    snapshot = Snapshot(
        environment=bundle.environment,
        bundle=bundle,
        run=RunFacts(
            run=RUN,
            workflow=trial.workflow,
            version=version,
            calls=trial.calls,
            labels=trial.labels,
            started_at=trial.now,
            score=trial.score,
        ),
        pin=Pin(tool=trial.tool, digest="trial"),
        schema_problem=check,
        reach=trial.reach,
        exercised=trial.exercised,
        trials=trial.trials,
    )
    request = Request(
        tool=trial.tool, arguments=trial.arguments, digest=digest(dict(trial.arguments)), principal=principal
    )
    return decide(request, snapshot, trial.now)
