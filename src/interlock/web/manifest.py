"""The declared documents over HTTP: plan, apply, changes that wait, blast radius and policy questions.

Files are sent as text and parsed here, so that every problem names file, line and column. The first apply
needs no credential, for nobody exists yet; it is accepted on the data directory's own socket only, which no
other account and no page in a browser can reach.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import worst
from interlock.core.bundle import Bundle, BundleInvalid
from interlock.core.change import DECIDERS, PROPOSERS
from interlock.core.document.kind import key
from interlock.core.explain import explain
from interlock.core.missing import no_workflow
from interlock.core.model import Json
from interlock.core.snapshot import any_arguments
from interlock.core.trial import Trial, ask
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.manifest import Manifest, read_manifest
from interlock.manifest.source import decode
from interlock.services.apply import Apply, Order
from interlock.services.decide_change import DecideChange
from interlock.services.plan import plan as plan_change
from interlock.store import changes, documents, pins
from interlock.store.changes import Change, ChangeState
from interlock.web.auth import in_their_own_name, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One manifest file."""

    name: str
    text: str


class ManifestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest; `base` is the version it was planned against, `admin` picks the first administrator."""

    files: list[File]
    base: int | None = None
    admin: str | None = None


class QuestionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call to explain. `calls` and `labels` are what its run has done and collected, `at` is in µs.

    `score` is the run's, in basis points, `trials` are the clean ones of the tool (F1).
    """

    workflow: str
    tool: str
    arguments: dict[str, Json] = {}
    calls: dict[str, int] = {}
    labels: list[str] = []
    reach: dict[str, Json] | None = None
    at: int | None = None
    score: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    trials: Annotated[int, msgspec.Meta(ge=0)] = 0


async def show(request: Request) -> Response:
    """What is in force: version, digest, who applied it and when, and its documents by name."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    environment = wired.settings.environment
    found = await wired.store.read(lambda connection: documents.in_force(connection, environment))
    if found is None:
        raise NotFound("No manifest was applied here.", hint="interlock apply PATH")
    listed = [
        {"kind": key(each)[0], "name": each.name, "version": found.versions.get(key(each)[:2], 0)}
        for each in found.documents
    ]
    stamp = {"version": found.version, "digest": found.digest, "environment": environment}
    return json_response(
        {**stamp, "applied_at": found.applied_at, "applied_by": found.applied_by, "documents": listed}
    )


async def history(request: Request) -> Response:
    """What was applied before, newest first."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    environment, page = wired.settings.environment, page_of(request)
    if page.before and not page.before.isdecimal():
        raise UsageError("before is the version that the page before this one ended with.")
    before = int(page.before[:18]) if page.before else None
    found = await wired.store.read(
        lambda each: documents.history(each, environment, before=before, limit=page.rows)
    )
    return list_response(*page.cut(found, lambda each: str(each.version)))


async def plan(request: Request) -> Response:
    """Say what applying a manifest would do."""
    wired: Wired = request.app.state.wired
    author = await _author(request)
    manifest = _manifest(await read_body(request, ManifestBody))
    with _placed(manifest):
        found = await plan_change(
            store=wired.store,
            settings=wired.settings,
            runtime=wired.runtime,
            declared=manifest.documents,
            author=author or "",
        )
    return json_response(found)


async def apply(request: Request) -> Response:
    """Apply a manifest; 202 where something waits for another person."""
    wired: Wired = request.app.state.wired
    author = await _author(request, *PROPOSERS)
    body = await read_body(request, ManifestBody)
    manifest = _manifest(body)
    use = Apply(store=wired.store, memory=wired.memory, settings=wired.settings, runtime=wired.runtime)
    with _placed(manifest):
        done = await use.apply(
            Order(declared=manifest.documents, author=author, base=body.base, admin=body.admin)
        )
    return json_response(done, 202 if done.change else 200)


async def list_changes(request: Request) -> Response:
    """Changes, newest first; `?state=waiting` for those that can be decided."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    waiting = request.query_params.get("state") == ChangeState.WAITING
    page = page_of(request)
    found = await wired.store.read(
        lambda each: changes.listed(each, waiting=waiting, before=page.before, limit=page.rows)
    )
    kept, following = page.cut(found, lambda each: each.id)
    return list_response(map(_shown, kept), following)


async def show_change(request: Request) -> Response:
    """One change: what differs, who may decide it."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    use = _decide(wired)
    found, named = await use.show(request.path_params["change"])
    return json_response({**_shown(found), "waits_for": named})


async def approve_change(request: Request) -> Response:
    """Put a waiting change in force."""
    wired: Wired = request.app.state.wired
    person = await person_of(request)
    in_their_own_name(person, *sorted(DECIDERS))
    body = await read_body(request, ReasonBody)
    change = request.path_params["change"]
    done = await _decide(wired).approve(change, person=person.name, roles=person.roles, reason=body.reason)
    return json_response(done)


async def reject_change(request: Request) -> Response:
    """Turn a waiting change down."""
    wired: Wired = request.app.state.wired
    person = await person_of(request)
    body = await read_body(request, ReasonBody)
    change = request.path_params["change"]
    done = await _decide(wired).reject(change, person=person.name, roles=person.roles, reason=body.reason)
    return json_response(done)


async def blast_radius(request: Request) -> Response:
    """The worst valid call of each tool of a workflow."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    bundle, name = _bundle(wired), request.path_params["workflow"]
    workflow = bundle.workflows.get(name)
    if workflow is None:
        unknown = no_workflow(name, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    registered = await wired.store.read(pins.all_pins)
    found = worst.report(
        bundle,
        workflow,
        wired.runtime.clock.now(),
        schemas={each.pin.tool: each.schema for each in registered},
        checks=dict(wired.memory.validators),
        exercised=[each for each in bundle.tools if wired.memory.exercised(each)],
    )
    return json_response(found)


async def explain_policy(request: Request) -> Response:
    """Say what would be decided on a call, and why, on the bundle in force."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    body = await read_body(request, QuestionBody)
    trial = Trial(
        workflow=body.workflow,
        tool=body.tool,
        arguments=body.arguments,
        calls=body.calls,
        labels=frozenset(body.labels),
        reach=body.reach,
        now=wired.runtime.clock.now() if body.at is None else body.at,
        exercised=wired.memory.exercised(body.tool),
        score=body.score,
        trials=body.trials,
    )
    bundle, check = _bundle(wired), wired.memory.validators.get(body.tool)
    if body.workflow not in bundle.workflows:
        unknown = no_workflow(body.workflow, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    decision = ask(bundle, trial, check=check or any_arguments)
    notes = [] if check else ["the tool is not registered yet, so its arguments were not checked"]
    return json_response({"decision": decision, "text": explain(decision), "notes": notes})


async def _author(request: Request, *roles: str) -> str | None:
    """Return who is signed in, or None where nobody exists yet and the caller has the local socket."""
    wired: Wired = request.app.state.wired
    environment = wired.settings.environment
    version = await wired.store.read(lambda each: documents.head_version(each, environment))
    if version:
        return (await person_of(request, *roles)).name
    if request.client is not None and request.client.host:
        raise NotPermitted(
            "The first apply is made through the data directory's own socket.",
            hint="Run interlock apply on that machine, without INTERLOCK_URL; it makes the administrator.",
        )
    return None


def _manifest(body: ManifestBody) -> Manifest:
    return read_manifest(decode((each.name[:200], each.text.encode()) for each in body.files))


@contextmanager
def _placed(manifest: Manifest) -> Generator[None]:
    """Give what is wrong with the documents together its place in the files."""
    try:
        yield
    except BundleInvalid as found:
        raise manifest.invalid(found.problems) from None


def _bundle(wired: Wired) -> Bundle:
    if wired.memory.bundle is None:
        raise StateConflict("No manifest is in force here.", hint="interlock apply PATH")
    return wired.memory.bundle


def _decide(wired: Wired) -> DecideChange:
    return DecideChange(store=wired.store, memory=wired.memory, settings=wired.settings)


def _shown(change: Change) -> dict[str, Json]:
    return msgspec.to_builtins(change)


routes = [
    Route("/api/v1/manifest", show),
    Route("/api/v1/manifest/history", history),
    Route("/api/v1/manifest/plan", plan, methods=["POST"]),
    Route("/api/v1/manifest/apply", apply, methods=["POST"]),
    Route("/api/v1/changes", list_changes),
    Route("/api/v1/changes/{change}", show_change),
    Route("/api/v1/changes/{change}/approve", approve_change, methods=["POST"]),
    Route("/api/v1/changes/{change}/reject", reject_change, methods=["POST"]),
    Route("/api/v1/workflows/{workflow}/blast-radius", blast_radius),
    Route("/api/v1/policy/explain", explain_policy, methods=["POST"]),
]
