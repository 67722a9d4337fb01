"""Spend over HTTP: who spent how much, on what, for whom (B1), and the provider's bill beside it (B8)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.model import SECOND, Json
from interlock.errors import UsageError
from interlock.manifest import quantity
from interlock.services.reconcile import book, reconcile
from interlock.store.spendings import DIMENSIONS, Spending, spendings
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.near import meant
from interlock.wiring import Wired

_MOST = 4
_SUMS = ("calls", "input", "cached", "output", "reasoning", "cost", "uncertain", "unpriced", "degraded")


class BillBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider's export, as it came. `apply` books the differences."""

    export: str
    provider: str = ""
    apply: bool = False


async def report(request: Request) -> Response:
    """Add up what was spent, `by` up to four dimensions, `since` a time or a while ago, the dearest first."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    asked, now = request.query_params, wired.runtime.clock.now()
    by = _dimensions(asked.get("by", "workflow,model"))
    since = moment(asked.get("since", "7d"), now=now)
    until = moment(asked.get("until", ""), now=now)
    only = _only({name: said for name, said in asked.items() if name not in ("by", "since", "until")})
    found = await wired.store.read(
        lambda connection: spendings(connection, by, since=since, until=until, only=only)
    )
    return json_response(
        {
            "by": by,
            "since_at": since,
            "until_at": until,
            "items": [_item(each, by) for each in found],
            "total": {name: sum(getattr(each, name) for each in found) for name in _SUMS},
        }
    )


async def bill(request: Request) -> Response:
    """Hold a provider's export against the ledger, line by line; an administrator may book what differs."""
    wired: Wired = request.app.state.wired
    await person_of(request)
    body = await read_body(request, BillBody)
    if body.apply:
        found = await book(
            wired.store,
            body.export,
            provider=body.provider,
            environment=wired.settings.environment,
            by=(await person_of(request, "admin")).name,
        )
        for account in found.accounts:
            wired.budgets.relearn(account)
    else:
        now = wired.runtime.clock.now()
        found = await reconcile(wired.store, body.export, provider=body.provider, now=now)
    lines = [{**msgspec.to_builtins(line), "day": _date(line.day)} for line in found.lines]
    return json_response({"provider": found.provider, "items": lines, "booked": found.booked})


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, tz=UTC).date().isoformat()


def moment(text: str, *, now: int) -> int:
    """Read a time: a while ago such as `7d`, an ISO 8601 time, or microseconds; nothing is now.

    Raises `UsageError`.
    """
    if not text:
        return now
    try:
        return now - quantity.seconds(text) * SECOND
    except ValueError:
        pass
    if text.isdecimal() and 8 < len(text) < 20:
        return int(text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"This is not a time: {text[:40]!r}.", hint="Write it as 7d, 2026-11-22 or 2026-11-22T15:00:00Z."
        ) from None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()) * SECOND


def _dimensions(text: str) -> list[str]:
    names = list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    possible = f"A report is by one to {_MOST} of: {', '.join(DIMENSIONS)}."
    for each in names:
        if each not in DIMENSIONS:
            hint = meant(each, DIMENSIONS, possible)
            raise UsageError(f"A report cannot be by {each[:40]!r}.", hint=hint)
    if not 0 < len(names) <= _MOST:
        raise UsageError(possible, hint="For instance: --by workflow,model")
    return names


def _only(asked: dict[str, str]) -> dict[str, str]:
    """Return what a report is restricted to; a day is asked for with `since` and `until`."""
    for name in asked:
        if name not in DIMENSIONS or name == "day":
            hint = meant(name, set(DIMENSIONS) - {"day", name}, "For instance: team")
            raise UsageError(f"A report cannot be restricted by {name[:40]!r}.", hint=hint)
    return asked


def _item(spending: Spending, by: list[str]) -> dict[str, Json]:
    values = asdict(spending)
    return {**dict(zip(by, values.pop("group"), strict=True)), **values}


routes = [
    Route("/api/v1/spend", report, methods=["GET"]),
    Route("/api/v1/spend/reconcile", bill, methods=["POST"]),
]
