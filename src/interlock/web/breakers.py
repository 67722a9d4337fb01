"""Breakers over HTTP: what is open and why, opening one by hand, and signing that it may go on (E1)."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.breaker import BreakerKind, subject_of
from interlock.core.bundle import Bundle
from interlock.core.model import BreakerState, Json
from interlock.core.ownership import Owners
from interlock.errors import NotFound, NotPermitted
from interlock.services.sign_off import SignOff
from interlock.services.trip import trip_by_hand
from interlock.store import breakers
from interlock.store.breakers import Record
from interlock.store.people import Person
from interlock.web.auth import person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.near import meant
from interlock.web.page import list_response
from interlock.wiring import Wired


class SignOffBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it is to go, and why."""

    to: BreakerState
    reason: str = ""


async def listing(request: Request) -> Response:
    """List what is not closed, the latest change first; with `all` what is closed again too."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    every = bool(request.query_params.get("all", ""))
    found = await wired.store.read(
        lambda connection: breakers.listed(connection, wired.settings.environment, every=every)
    )
    return list_response(_shown(each) for each in found)


async def show(request: Request) -> Response:
    """Show one breaker with every signature it was given."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    kind, name = _named(request)
    environment = wired.settings.environment
    record = await wired.store.read(lambda found: breakers.get(found, environment, kind, name))
    signed = await wired.store.read(lambda found: breakers.sign_offs(found, environment, kind, name))
    return json_response({**_shown(record), "sign_offs": [asdict(each) for each in signed]})


async def tripping(request: Request) -> Response:
    """Open a breaker by hand."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    kind, name = _named(request)
    _known(wired.memory.bundle, kind, name)
    _permit(wired.memory.bundle, by, kind, name)
    done = await trip_by_hand(
        store=wired.store, memory=wired.memory, kind=kind, name=name, by=by.name, reason=body.reason
    )
    return json_response(_shown(done))


async def signing_off(request: Request) -> Response:
    """Sign that a breaker may go on: half-open, or closed."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, SignOffBody)
    kind, name = _named(request)
    sign = SignOff(store=wired.store, memory=wired.memory, runtime=wired.runtime, settings=wired.settings)
    return json_response(_shown(await sign(kind, name, body.to, by=by, reason=body.reason)))


def _named(request: Request) -> tuple[BreakerKind, str]:
    label = request.path_params["breaker"]
    try:
        return subject_of(label)
    except ValueError:
        raise NotFound(
            f"There is no breaker {label[:60]!r}.", hint="tool:NAME, workflow:NAME or agent:NAME"
        ) from None


def _known(bundle: Bundle | None, kind: BreakerKind, name: str) -> None:
    """Refuse a name that stops nothing: a slip of the pen must not look like a stop. Raises `NotFound`."""
    if bundle is None:
        raise NotFound("No manifest was applied here.", hint="interlock apply")
    known = {
        BreakerKind.TOOL: bundle.tools,
        BreakerKind.WORKFLOW: bundle.workflows,
        BreakerKind.AGENT: bundle.agents,
    }[kind]
    if name not in known:
        hint = meant(name, known, f"interlock {kind.value}s list")
        raise NotFound(f"There is no {kind.value} {name[:60]!r} here.", hint=hint)


def _permit(bundle: Bundle | None, by: Person, kind: BreakerKind, name: str) -> None:
    """Operators and admins open anything, who answers for an agent what is its. Raises `NotPermitted`."""
    if by.may("operator", "admin"):
        return
    if bundle is not None and kind is not BreakerKind.TOOL:
        agent = name if kind is BreakerKind.AGENT else bundle.workflows[name].document.agent
        declared = bundle.agents[agent]
        owners = Owners(owner=declared.owner, backup=declared.backup)
        if ownership.may_stop(by.name, by.roles, owners):
            return
    raise NotPermitted(
        f"{by.name} may not open this breaker.",
        hint="It needs the role operator or admin; the owner of an agent may open what is its.",
    )


def _shown(record: Record) -> dict[str, Json]:
    breaker = record.breaker
    return {
        "breaker": breaker.label,
        "kind": breaker.kind.value,
        "name": breaker.name,
        "state": breaker.state.value,
        "opening": breaker.opening,
        "cause": record.cause.value if record.cause else None,
        "why": record.why,
        "opened_by": record.opened_by,
        "run": record.run or None,
        "starter": record.starter or None,
        "incident": record.incident,
        "opened_at": record.opened_at,
        "changed_at": record.changed_at,
        "clean_runs": breaker.clean_runs,
    }


routes = [
    Route("/api/v1/breakers", listing, methods=["GET"]),
    Route("/api/v1/breakers/{breaker:path}", show, methods=["GET"]),
    Route("/api/v1/breakers/{breaker:path}/trip", tripping, methods=["POST"]),
    Route("/api/v1/breakers/{breaker:path}/sign-off", signing_off, methods=["POST"]),
]
