"""Tools over HTTP: what the servers offer, how it is pinned, and accepting one that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import rotation
from interlock.core.bundle import Problem
from interlock.core.model import Json
from interlock.core.undo_check import check_undos, in_words
from interlock.errors import NotPermitted
from interlock.services.exercise import TryOut
from interlock.services.register import pin_digest
from interlock.store import documents, pins, undos
from interlock.store.pins import PinnedTool
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response
from interlock.wiring import Wired

_PATIENCE = 10.0
_EXERCISERS = ("policy_author", "agent_owner", "operator", "admin")


class AcceptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the changed tool is what it should be."""

    reason: str


async def listing(request: Request) -> Response:
    """List every tool the manifest names: its tier, its pin, and what is wrong with its undo, if anything."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    await wired.registrar.look(_PATIENCE)
    bundle = wired.memory.bundle
    if bundle is None:
        return list_response([])
    flaws = check_undos(bundle, await wired.store.read(pins.shapes))
    return list_response(_tool(wired, name, flaws) for name in bundle.tools)


async def serving(request: Request) -> Response:
    """List every tool server: whether it is connected, and what must be done about its credential."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    await wired.registrar.look(_PATIENCE)
    said, ended = _credentials(wired)
    return list_response(
        {**each, "warning": said.get(str(each["server"])), "expired": each["server"] in ended}
        for each in wired.servers.states()
    )


async def pinned(request: Request) -> Response:
    """List every pin: the hash that was registered, the hash offered now, and when."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    every = await wired.store.read(pins.all_pins)
    return list_response(map(_pin, every))


async def accept(request: Request) -> Response:
    """Register a changed tool as it is now. Outside `dev` not by who applied the manifest (A3)."""
    person = await person_of(request, "policy_author", "admin")
    wired: Wired = request.app.state.wired
    environment = wired.settings.environment
    body = await read_body(request, AcceptBody)
    found = await wired.store.read(lambda connection: documents.in_force(connection, environment))
    if environment != "dev" and found is not None and found.applied_by == person.name:
        raise NotPermitted(
            "Accepting a changed tool may widen what a call can do: it needs a second person.",
            hint=f"Ask somebody other than {person.name} with the role policy_author or admin.",
        )
    await wired.registrar.look(_PATIENCE)
    pin = await wired.registrar.accept(
        request.path_params["tool"], person=person.name, reason=body.reason[:500]
    )
    return json_response({"tool": pin.tool, "digest": pin.digest, "accepted_by": person.name})


class ExerciseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the tool is given when its undo is tried out; what the manifest says where nothing is given."""

    arguments: dict[str, Any] | None = None


async def exercise(request: Request) -> Response:
    """Try the undo of a tool out on the server that stands in for its own, and record how that ended."""
    person = await person_of(request, *_EXERCISERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ExerciseBody)
    await wired.registrar.look(_PATIENCE)
    use = TryOut(
        store=wired.store,
        memory=wired.memory,
        runtime=wired.runtime,
        execute=wired.servers.execute,
        defined=lambda server, tool: _defined(wired, server, tool),
        timeout=wired.settings.call_timeout,
    )
    done = await use.undo(request.path_params["tool"], arguments=body.arguments, person=person.name)
    return json_response(asdict(done), 201)


def _defined(wired: Wired, server: str, tool: str) -> str | None:
    listed = wired.servers.tools(server) or ()
    found = next((each for each in listed if each.get("name") == tool), None)
    return None if found is None else pin_digest(found)


def _pin(each: PinnedTool) -> dict[str, Json]:
    return {
        "tool": each.pin.tool,
        "digest": each.pin.digest,
        "seen": each.pin.seen,
        "drifted": each.pin.drifted,
        "registered_at": each.registered_at,
        "description": each.description,
        "schema": each.schema,
        "result_schema": each.result_schema,
    }


def _credentials(wired: Wired) -> tuple[dict[str, str | None], set[str]]:
    """Return by server what must be done about its static credential, and whose have ended (H2)."""
    bundle = wired.memory.bundle
    if bundle is None:
        return {}, set()
    servers = bundle.servers
    now = wired.runtime.clock.now()
    found = {name: rotation.validity(each.credentials.expires, now=now) for name, each in servers.items()}
    said = {
        name: rotation.warning(f"the tool server {name}", servers[name].credentials.owner, validity)
        for name, validity in found.items()
    }
    return said, {name for name, validity in found.items() if not validity.usable}


def _tool(wired: Wired, name: str, flaws: Sequence[Problem]) -> dict[str, Json]:
    bundle = wired.memory.bundle
    assert bundle is not None
    tool, pin = bundle.tools[name], wired.memory.pins.get(name)
    server, _, bare = name.partition(".")
    listed = wired.servers.tools(server) or ()
    offered = any(each.get("name") == bare for each in listed)
    state = "unregistered" if pin is None else "drifted" if pin.drifted else "pinned"
    return {
        "tool": name,
        "tier": tool.tier.value,
        "effect": tool.effect.value,
        "mapped": tool.mapped,
        "state": state if offered or pin is None else f"{state}, not offered now",
        "pin": pin.digest if pin is not None else None,
        "undo": _undo_of(wired, name),
        "flaws": [in_words(each) for each in flaws if each.document[1] == name],
    }


def _undo_of(wired: Wired, name: str) -> str:
    """Say whether an undo is declared, and whether it was tried out on the tools as they are (E5)."""
    if undos.declared(wired.memory, name) is None:
        return "none"
    return "exercised" if wired.memory.exercised(name) else "declared, not yet exercised"


routes = [
    Route("/api/v1/tools", listing, methods=["GET"]),
    Route("/api/v1/tools/pins", pinned, methods=["GET"]),
    Route("/api/v1/tools/servers", serving, methods=["GET"]),
    Route("/api/v1/tools/{tool:path}/accept", accept, methods=["POST"]),
    Route("/api/v1/tools/{tool:path}/exercise", exercise, methods=["POST"]),
]
