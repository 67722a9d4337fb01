"""`interlock doctor`: is enforcement really on, and what would stop a call right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.client import Endpoint, endpoint
from interlock.cli.output import emit, table
from interlock.settings import load

if TYPE_CHECKING:
    import httpx2

Check = dict[str, Any]


def doctor(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check that the gateway refuses what it must and can record what it decides; exit 1 if not."""
    with endpoint(load(), shared=False) as place:
        checks = _checks(place)
    emit(checks, table(checks, ("check", "ok", "detail")), json_)
    if not all(each["ok"] for each in checks):
        raise typer.Exit(1)


def _checks(place: Endpoint) -> list[Check]:
    import httpx2

    with httpx2.Client(base_url=place.base_url, transport=place.transport(), timeout=30) as client:
        return [_alive(client), _ready(client), _refuses_strangers(client), _publishes_keys(client)]


def _alive(client: httpx2.Client) -> Check:
    answer = client.get("/healthz")
    return {
        "check": "the server answers",
        "ok": answer.status_code == 200,
        "detail": answer.json().get("version"),
    }


def _ready(client: httpx2.Client) -> Check:
    answer = client.get("/readyz").json()
    detail = "; ".join(answer["problems"]) or f"environment {answer['environment']}"
    return {"check": "calls can be decided and recorded", "ok": answer["ready"], "detail": detail}


def _refuses_strangers(client: httpx2.Client) -> Check:
    """The canary: a call without a credential must be refused before anything looks at it (invariant 1)."""
    call: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "canary", "arguments": {}},
    }
    answer = client.post("/mcp", json=call, headers={"Accept": "application/json, text/event-stream"})
    return {
        "check": "a call without an identity is refused",
        "ok": answer.status_code == 401,
        "detail": f"status {answer.status_code}",
    }


def _publishes_keys(client: httpx2.Client) -> Check:
    keys = client.get("/.well-known/jwks.json").json().get("keys", [])
    return {"check": "verification keys are published", "ok": bool(keys), "detail": f"{len(keys)} key(s)"}
