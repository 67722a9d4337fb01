"""Deployments over HTTP: what runs where, what was stable, and going back to it (E4)."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.deployment import Deployment
from interlock.core.document.kind import AnyDocument
from interlock.core.missing import no_workflow
from interlock.core.ownership import Owners
from interlock.core.workflow import CompiledWorkflow
from interlock.errors import NotFound, NotPermitted, UsageError
from interlock.services.apply import Apply, Order
from interlock.services.roll_back import Placed, RollBack
from interlock.store import agents, deployments, documents
from interlock.web.auth import READERS, Person, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_KEEPERS = ("agent_owner", "operator", "admin")


class RegisterBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A build of the workflow's program that runs from now on."""

    workflow: str
    code: str


class RollbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is rolled back, and to which deployment, if not the last stable one."""

    reason: str
    to: str = ""


async def listing(request: Request) -> Response:
    """List deployments, newest first, of one workflow where it is named."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    page, workflow = page_of(request), request.query_params.get("workflow", "")
    found = await wired.store.read(
        lambda connection: deployments.listed(
            connection, wired.settings.environment, workflow=workflow, before=page.before, limit=page.rows
        )
    )
    kept, following = page.cut(found, lambda each: each.id)
    return list_response((_shown(each) for each in kept), following)


async def register(request: Request) -> Response:
    """Register a build of a workflow's program: its version stays, its code is another."""
    by = await person_of(request, "developer", *_KEEPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, RegisterBody)
    code = body.code.strip()
    if not code or len(code) > 200:
        raise UsageError("code names the build: 1 to 200 characters, such as a commit.")
    workflow = _workflow(wired, body.workflow)
    environment = wired.settings.environment
    made = await wired.store.transact(
        lambda transaction: deployments.register(
            transaction,
            environment=environment,
            workflow=body.workflow,
            version=workflow.version,
            bundle=documents.head_version(transaction.connection, environment),
            by=by.name,
            code=code,
        )
    )
    return json_response(_shown(made), 201)


async def stable(request: Request) -> Response:
    """Say that a deployment was stable."""
    by = await person_of(request, *_KEEPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name = request.path_params["deployment"]
    if not body.reason.strip():
        raise UsageError("Calling a deployment stable needs a reason.", hint="Add --reason.")
    found = await wired.store.read(lambda connection: deployments.get(connection, name))
    await _may_keep(wired, by, found.workflow)
    done = await wired.store.transact(
        lambda transaction: deployments.call_stable(
            transaction, deployments.get(transaction.connection, name), by=by.name, reason=body.reason.strip()
        )
    )
    return json_response(_shown(done))


async def roll_back(request: Request) -> Response:
    """Go back to the last stable version; 202 where a second person must agree to what it may do more."""
    by = await person_of(request, *_KEEPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, RollbackBody)
    workflow = request.path_params["workflow"]
    await _may_keep(wired, by, workflow)

    async def put(declared: tuple[AnyDocument, ...], restores: str) -> Placed:
        use = Apply(store=wired.store, memory=wired.memory, settings=wired.settings, runtime=wired.runtime)
        done = await use.apply(Order(declared=declared, author=by.name, restores=restores))
        return Placed(change=done.change or "", waits_for=done.waits_for, narrowed=done.acted)

    use = RollBack(store=wired.store, memory=wired.memory, put=put)
    done = await use.code(workflow, to=body.to, person=by.name, reason=body.reason[:2_000])
    shown = {
        "withdrawn": _shown(done.withdrawn),
        "stable": _shown(done.stable),
        "acts": done.placed.acts,
        "narrowed": done.placed.narrowed,
        "change": done.placed.change or None,
        "waits_for": done.placed.waits_for,
        "review": asdict(done.review),
    }
    return json_response(shown, 200 if done.placed.acts else 202)


async def _may_keep(wired: Wired, person: Person, workflow: str) -> None:
    """Let those steer who may stop the workflow's agent. Raises `NotPermitted`, `NotFound`."""
    document = _workflow(wired, workflow).document
    agent = await wired.store.read(lambda connection: agents.get(connection, document.agent))
    owners = Owners(owner=agent.owner, backup=agent.backup)
    if not ownership.may_stop(person.name, person.roles, owners) and person.name != document.owner:
        raise NotPermitted(
            f"{person.name} does not answer for {workflow!r}.",
            hint="Its owner, its agent's and operators do.",
        )


def _workflow(wired: Wired, name: str) -> CompiledWorkflow:
    bundle = wired.memory.bundle
    workflow = None if bundle is None else bundle.workflows.get(name)
    if workflow is None:
        unknown = no_workflow(name, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    return workflow


def _shown(each: Deployment) -> dict[str, object]:
    return {
        **asdict(each),
        "stable_at": each.stable_at or None,
        "withdrawn_at": each.withdrawn_at or None,
    }


routes = [
    Route("/api/v1/deployments", listing, methods=["GET"]),
    Route("/api/v1/deployments", register, methods=["POST"]),
    Route("/api/v1/deployments/{deployment}/stable", stable, methods=["POST"]),
    Route("/api/v1/workflows/{workflow}/rollback", roll_back, methods=["POST"]),
]
