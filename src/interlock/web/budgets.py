"""Budgets over HTTP: how accounts stand, how their windows ended, what a run was charged for (B1, B2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.budget import Account, ScopeKind
from interlock.core.model import Json
from interlock.core.window import FOREVER
from interlock.errors import NotFound
from interlock.services.uncharge import uncharge_account
from interlock.store import accounts, holds, model_calls, runs
from interlock.store.accounts import AccountRow
from interlock.store.model_calls import LedgerRow
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


class UnchargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which account, how much of what crashes charged is to stay (nano-dollars), and how that is known."""

    account: str
    keep: Annotated[int, msgspec.Meta(ge=0)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


async def standing(request: Request) -> Response:
    """List the accounts whose window is open, and those of open runs, with what is held on them."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    kind, name = _asked(request)
    now = wired.budgets.now()
    wanted = {
        id_: account
        for id_, account in now.items()
        if kind in ("", account.key.kind) and name in ("", account.key.name)
    }
    rows = await wired.store.read(
        lambda connection: {row.id: row for row in accounts.named(connection, wanted)}
    )
    doubtful = await wired.store.read(lambda connection: holds.doubtful(connection, wanted))
    return list_response(
        _standing(id_, _known(each, rows.get(id_)), doubtful.get(id_, 0)) for id_, each in wanted.items()
    )


async def history(request: Request) -> Response:
    """List all windows of accounts, the newest first, with what was spent in each."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    kind, name = _asked(request)
    page, environment = page_of(request), wired.settings.environment
    found = await wired.store.read(
        lambda connection: accounts.listed(
            connection, environment, kind=kind, name=name, limit=page.rows, before=page.before
        )
    )
    kept, following = page.cut(found, lambda row: row.id)
    return list_response(await _windows(wired, kept), following)


async def explain(request: Request) -> Response:
    """Say what a run was charged for, call by call, and how the accounts that paid stand.

    Its own are told even where no call is on record: a crash may have left a charge.
    """
    await person_of(request)
    wired: Wired = request.app.state.wired
    name, environment = request.path_params["run"], wired.settings.environment
    run = await wired.store.read(lambda connection: runs.get(connection, name))
    rows = await wired.store.read(lambda connection: model_calls.of_run(connection, name))
    partial = await wired.store.read(lambda connection: model_calls.partial(connection, name))
    paying = {account for row in rows for account in row.accounts}
    paid = await wired.store.read(
        lambda connection: {
            row.id: row
            for row in (
                *accounts.named(connection, paying),
                *accounts.listed(connection, environment, kind=ScopeKind.RUN.value, name=name),
            )
        }
    )
    return json_response(
        {
            "run": name,
            "workflow": run.workflow,
            "state": run.state.value,
            "partial": partial,
            "parent": run.parent,
            "cost": sum(row.cost for row in rows),
            "accounts": await _windows(wired, list(paid.values())),
            "calls": [_call(row) for row in rows],
        }
    )


async def one_call(request: Request) -> Response:
    """Return what one model call came to, attempt by attempt."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    call = request.path_params["call"]
    rows = await wired.store.read(lambda connection: model_calls.of_call(connection, call))
    if not rows:
        raise NotFound("There is no such call, or it has not ended yet.", hint="interlock budget explain RUN")
    attempts = [_call(row) for row in rows]
    return json_response({"call": call, "cost": sum(row.cost for row in rows), "attempts": attempts})


async def uncharge(request: Request) -> Response:
    """Take back what a crash charged to an account beyond what was truly spent."""
    person = await person_of(request, "operator", "admin")
    wired: Wired = request.app.state.wired
    body = await read_body(request, UnchargeBody)
    row = await uncharge_account(
        store=wired.store,
        account=body.account,
        keep=body.keep,
        reason=body.reason.strip(),
        person=person.name,
    )
    wired.budgets.relearn(row.id)
    [found] = await _windows(wired, [row])
    return json_response(found)


def _asked(request: Request) -> tuple[str, str]:
    kind = one_of(request, "kind", ScopeKind, called="scope")
    return kind, request.query_params.get("name", "")


def _known(account: Account, row: AccountRow | None) -> Account:
    """Return an account with what is on record: a process that took no call yet has learnt nothing of it."""
    if row is None or row.spent <= account.spent:
        return account
    return replace(account, spent=row.spent)


def _standing(id_: str, account: Account, charged: int) -> dict[str, Json]:
    limits = account.limits
    return {
        "id": id_,
        "kind": account.key.kind.value,
        "name": account.key.name,
        "window": account.key.window.value,
        "starts_at": account.key.start,
        "resets_at": _or_never(account.key.resets_at),
        "state": account.state.value,
        "used": account.used,
        "limit": limits.limit,
        "ceiling": limits.ceiling,
        "spent": account.spent,
        "held": account.held_exp,
        "held_most": account.held_max,
        "charged": charged,
        "shadow": limits.shadow,
    }


async def _windows(wired: Wired, rows: Sequence[AccountRow]) -> list[dict[str, Json]]:
    """Return accounts with what crashes charged to them, slices and holds that were written down alike."""
    ids = [row.id for row in rows]
    doubtful = await wired.store.read(lambda connection: holds.doubtful(connection, ids))
    return [_window(row, doubtful.get(row.id, 0)) for row in rows]


def _window(row: AccountRow, charged: int) -> dict[str, Json]:
    return {
        "id": row.id,
        "kind": row.key.kind.value,
        "name": row.key.name,
        "window": row.key.window.value,
        "starts_at": row.key.start,
        "resets_at": _or_never(row.key.resets_at),
        "limit": row.allowance,
        "ceiling": row.ceiling,
        "spent": row.spent,
        "leased": row.leased,
        "charged": charged,
    }


def _call(row: LedgerRow) -> dict[str, Json]:
    shown: dict[str, Json] = {field: getattr(row, field) for field in row.__struct_fields__}
    return shown | {each: _listed(shown[each]) for each in ("degraded", "accounts")}


def _listed(values: Iterable[str]) -> list[str]:
    return list(values)


def _or_never(moment: int) -> int | None:
    return None if moment == FOREVER else moment


routes = [
    Route("/api/v1/budgets", standing, methods=["GET"]),
    Route("/api/v1/budgets/history", history, methods=["GET"]),
    Route("/api/v1/budgets/uncharge", uncharge, methods=["POST"]),
    Route("/api/v1/budgets/runs/{run}", explain, methods=["GET"]),
    Route("/api/v1/budgets/calls/{call}", one_call, methods=["GET"]),
]
