"""Earned autonomy over HTTP: how each workflow stands with each tool, and who changes it (F1, F3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.autonomy import default, higher
from interlock.core.bundle import Bundle
from interlock.core.evidence import Seen, lower_bound, shown
from interlock.core.model import DAY, PRODUCTION, AutonomyTier, EffectClass, Json, RiskTier
from interlock.core.track_record import TrackRecord, after_change, provable
from interlock.errors import NotFound, NotPermitted
from interlock.services.demote import Demote
from interlock.services.promote import Promote, may_promote
from interlock.store import track_records, trials
from interlock.store.memory import Memory
from interlock.store.trials import TrialState
from interlock.web.auth import in_their_own_name, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.near import meant
from interlock.web.page import list_response
from interlock.wiring import Wired

_OWNERS = ("agent_owner", "admin")
_UNTRIED = "asks a person until its undo was tried out; "


class DemoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and whether what happened was severe."""

    reason: str = ""
    severe: bool = False


async def listing(request: Request) -> Response:
    """List how every workflow stands with every tool that it may change something with."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    memory, only = wired.memory, request.query_params.get("workflow", "")
    bundle = _bundle(wired)
    if only and only not in bundle.workflows:
        known = meant(only, bundle.workflows, "interlock autonomy show")
        raise NotFound(f"There is no workflow named {only[:60]!r}.", hint=known)
    environment = wired.settings.environment
    found = await wired.store.read(lambda connection: track_records.listed(connection, environment))
    known = {(each.workflow, each.tool): each for each in found}
    return list_response(
        standing(memory, bundle, *pair, known.get(pair)) for pair in _pairs(bundle) if only in ("", pair[0])
    )


async def show(request: Request) -> Response:
    """Show how one workflow stands with one tool: the figures, and what they say."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    workflow, tool = _named(request)
    return json_response(await _whole(wired, workflow, tool))


async def history(request: Request) -> Response:
    """List every tier that there was, the latest change first."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    workflow, tool = (request.query_params.get(name, "") for name in ("workflow", "tool"))
    environment = wired.settings.environment
    found = await wired.store.read(
        lambda connection: track_records.changes(connection, environment, workflow=workflow, tool=tool)
    )
    return list_response(asdict(each) for each in found)


async def proposing(request: Request) -> Response:
    """Put a promotion to the workflow's owner, where the evidence suffices."""
    by = await person_of(request)
    await read_body(request, ReasonBody)
    wired: Wired = request.app.state.wired
    workflow, tool = _named(request)
    if not by.may("operator"):
        in_their_own_name(by, *_OWNERS)
        if not may_promote(wired.memory.bundle, by, workflow):
            raise NotPermitted(f"{by.name} does not answer for {workflow}.", hint="Its owner does.")
    await _promote(wired).propose(workflow, tool)
    return json_response(await _whole(wired, workflow, tool))


async def promoting(request: Request) -> Response:
    """Promote by one tier, as the person who answers for the workflow."""
    by = await person_of(request)
    body = await read_body(request, ReasonBody)
    wired: Wired = request.app.state.wired
    workflow, tool = _named(request)
    in_their_own_name(by, *_OWNERS)
    await _promote(wired)(workflow, tool, by=by, reason=body.reason)
    return json_response(await _whole(wired, workflow, tool))


async def demoting(request: Request) -> Response:
    """Demote by one tier, or to a person's approval of every call."""
    by = await person_of(request)
    body = await read_body(request, DemoteBody)
    wired: Wired = request.app.state.wired
    workflow, tool = _named(request)
    if not by.may("operator", "admin"):
        in_their_own_name(by, *_OWNERS)
        if not may_promote(wired.memory.bundle, by, workflow):
            raise NotPermitted(
                f"{by.name} may not demote {workflow}.",
                hint="It needs the role operator or admin; its owner may too.",
            )
    demote = Demote(store=wired.store, memory=wired.memory)
    await demote(workflow, tool, by=by.name, reason=body.reason, severe=body.severe)
    return json_response(await _whole(wired, workflow, tool))


def _promote(wired: Wired) -> Promote:
    return Promote(store=wired.store, memory=wired.memory, runtime=wired.runtime)


def _bundle(wired: Wired) -> Bundle:
    bundle = wired.memory.bundle
    if bundle is None:
        raise NotFound("No manifest was applied here.", hint="interlock apply")
    return bundle


def _named(request: Request) -> tuple[str, str]:
    wired: Wired = request.app.state.wired
    workflow, tool = request.path_params["workflow"], request.path_params["tool"]
    pairs = _pairs(_bundle(wired))
    if (workflow, tool) not in pairs:
        known = {f"{name} {each}" for name, each in pairs}
        raise NotFound(
            f"No workflow {workflow[:60]!r} changes anything with a tool {tool[:60]!r} here.",
            hint=meant(f"{workflow} {tool}", known, "interlock autonomy show"),
        )
    return workflow, tool


def _pairs(bundle: Bundle) -> list[tuple[str, str]]:
    """Return every workflow with every tool in its scope that is more than a read."""
    return sorted(
        (name, tool)
        for name, workflow in bundle.workflows.items()
        for tool in workflow.grants
        if bundle.tools[tool].tier is not RiskTier.READ_ONLY
        and bundle.tools[tool].effect is not EffectClass.READ
    )


async def _whole(wired: Wired, workflow: str, tool: str) -> dict[str, Json]:
    return await wired.store.read(lambda connection: _read(connection, wired, workflow, tool))


def _read(connection: sa.Connection, wired: Wired, workflow: str, tool: str) -> dict[str, Json]:
    memory, environment = wired.memory, wired.settings.environment
    record = track_records.find(connection, memory, workflow, tool)
    now = wired.store.now()
    counted = [
        Seen(
            failed=each.state is TrialState.FAILED,
            age=(now - each.created_at) / DAY,
            old=record is not None and each.basis != record.basis,
        )
        for each in trials.newest(connection, environment, workflow, tool)
    ]
    faded = shown(counted)
    return {
        **standing(memory, _bundle(wired), workflow, tool, record),
        "waiting": trials.waiting(connection, environment, workflow, tool),
        "next_review_at": trials.next_due(connection, environment, workflow, tool),
        "recent_rate": None if faded.rate is None else round(faded.rate, 4),
        "recent_weight": round(faded.weight, 1),
    }


def standing(
    memory: Memory, bundle: Bundle, workflow: str, tool: str, record: TrackRecord | None
) -> dict[str, Json]:
    """Return how a workflow stands, with what a record of an earlier version comes to now."""
    usual = default(bundle.tools[tool].tier)
    basis = track_records.now_basis(memory, workflow, tool)
    now = _as_of_now(record, usual, basis, workflow, tool)
    why = provable(bundle, workflow, tool)
    until = _UNTRIED if _untried(memory, bundle, tool) else ""
    trials_of_now = now.clean + now.failed
    can_rise = now.rate is not None and not why
    return {
        "workflow": workflow,
        "tool": tool,
        "tier": now.tier.value,
        "usual": usual.value,
        "owner": bundle.workflows[workflow].document.owner,
        "says": f"never without a person: {why}" if why else until + now.in_words,
        "clean": now.clean,
        "failed": now.failed,
        "clean_needed": now.clean_needed if can_rise else None,
        "next_tier": higher(now.tier).value if can_rise else None,
        "to_beat": None if now.rate is None else 1 - now.rate,
        "at_least": round(lower_bound(trials_of_now, now.failed), 4) if trials_of_now else None,
        "alarm": _alarm(now),
        "proposed_at": now.proposed_at or None,
        "began_at": now.began_at or None,
    }


def _untried(memory: Memory, bundle: Bundle, tool: str) -> bool:
    """Whether a person is asked whatever the record says, for the undo was not tried out yet (E5)."""
    rests = bundle.tools[tool].rests_on_undo
    return rests and memory.environment == PRODUCTION and not memory.exercised(tool)


def _as_of_now(
    record: TrackRecord | None, usual: AutonomyTier, basis: str, workflow: str, tool: str
) -> TrackRecord:
    if record is None:
        return TrackRecord(workflow=workflow, tool=tool, tier=usual, basis=basis, began_at=0)
    if not basis or record.basis == basis:
        return record
    lower = after_change(record.tier, usual)
    return TrackRecord(workflow=workflow, tool=tool, tier=lower, basis=basis, began_at=0)


def _alarm(record: TrackRecord) -> Mapping[str, Json] | None:
    watch = record.watch
    if watch is None:
        return None
    highest = max(record.alarm, record.audit_alarm)
    return {"now": round(highest / 1_000_000, 2), "demotes_at": watch.limit}


routes = [
    Route("/api/v1/autonomy", listing, methods=["GET"]),
    Route("/api/v1/autonomy/history", history, methods=["GET"]),
    Route("/api/v1/autonomy/{workflow}/{tool:path}", show, methods=["GET"]),
    Route("/api/v1/autonomy/{workflow}/{tool:path}/propose", proposing, methods=["POST"]),
    Route("/api/v1/autonomy/{workflow}/{tool:path}/promote", promoting, methods=["POST"]),
    Route("/api/v1/autonomy/{workflow}/{tool:path}/demote", demoting, methods=["POST"]),
]
