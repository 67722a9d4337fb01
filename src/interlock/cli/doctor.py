"""`interlock doctor`: is enforcement really on, and what would stop a call right now.

It does not ask the server whether it governs; it tries to get past it. A gateway that lets one of these
canaries through is not enforcing, whatever its configuration says (invariants 1, 2).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.output import emit, table, warn
from interlock.cli.provider_checks import provider_checks
from interlock.errors import InterlockError, TokenInvalid
from interlock.sdk.endpoint import Endpoint, raise_for_error, stored_token
from interlock.sdk.grant import GRANT
from interlock.sdk.local import endpoint
from interlock.sdk.proof import CODE
from interlock.settings import Settings, load, misspelt

if TYPE_CHECKING:
    import httpx2

Check = dict[str, Any]
_CANARY = "interlock-canary"
_FORGED = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImNhbmFyeSJ9.e30.Y2FuYXJ5"
_ERA = "2026-07-28"
_TRIES = 20


def doctor(
    workflow: Annotated[
        str,
        typer.Option(
            help="Open a short run of this workflow too: what it does not grant must be denied, on record."
        ),
    ] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that the gateway refuses what it must and can record what it decides; exit 1 if not."""
    settings = load()
    for each in misspelt():
        warn(each)
    with endpoint(settings, shared=False) as place:
        checks = _checks(place, settings, workflow)
    emit({"items": checks, "next": None}, table(checks, ("check", "ok", "detail")), json_)
    if not all(each["ok"] for each in checks):
        raise typer.Exit(1)


def _checks(place: Endpoint, settings: Settings, workflow: str) -> list[Check]:
    import httpx2

    with httpx2.Client(base_url=place.base_url, transport=place.transport(), timeout=30) as client:
        checks = [
            _alive(client),
            _ready(client),
            _refuses(client, "a call without an identity is refused", 401),
            _refuses(client, "a call with a forged token is refused", 401, authorization=f"Bearer {_FORGED}"),
            _refuses(client, "a page of another site is refused", 403, origin="http://canary.invalid"),
            _publishes_keys(client),
        ]
        checks += _credentials(client, settings.token or stored_token(settings))
        checks += _providers(client, settings.token or stored_token(settings))
        return checks + (_canary_run(client, settings, workflow) if workflow else [])


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


def _refuses(client: httpx2.Client, check: str, status: int, **headers: str) -> Check:
    """A canary at the door: it must be turned away before anything looks at what it wants."""
    answer = _call(client, **headers)
    return {"check": check, "ok": answer.status_code == status, "detail": f"status {answer.status_code}"}


def _publishes_keys(client: httpx2.Client) -> Check:
    keys = client.get("/.well-known/jwks.json").json().get("keys", [])
    return {"check": "verification keys are published", "ok": bool(keys), "detail": f"{len(keys)} key(s)"}


def _credentials(client: httpx2.Client, person: str) -> list[Check]:
    """Say which tool servers' credentials end soon, or have ended: their calls are refused then (H2).

    Only who is signed in may see the tool servers.
    """
    if not person:
        return []
    found = client.get("/api/v1/tools/servers", headers={"Authorization": f"Bearer {person}"})
    raise_for_error(found)
    servers = found.json()["items"]
    said = [str(each["warning"]) for each in servers if each["warning"]]
    return [
        {
            "check": "no credential of a tool server has expired",
            "ok": not any(each["expired"] for each in servers),
            "detail": " ".join(said) or f"{len(servers)} tool server(s)",
        }
    ]


def _providers(client: httpx2.Client, person: str) -> list[Check]:
    """Say what would fail the calls of model providers. Only who is signed in may see them."""
    if not person:
        return []
    found = client.get("/api/v1/providers", headers={"Authorization": f"Bearer {person}"})
    raise_for_error(found)
    return provider_checks(found.json()["items"])


def _canary_run(client: httpx2.Client, settings: Settings, workflow: str) -> list[Check]:
    """A canary inside: a real run asks for what no workflow grants, and is used once more after its end."""
    person = settings.token or stored_token(settings)
    if not person:
        raise TokenInvalid("A canary run needs somebody who starts it.", hint="interlock token login")
    try:
        with _run_of(client, workflow, person) as (run, token):
            answer = _call(client, authorization=f"Bearer {token}")
            denied = _check("a call that is not granted is denied", _status_in(answer), "denied")
            recorded = _check("the denial is on record", _on_record(client, person, run), "call.denied")
        after = _call(client, authorization=f"Bearer {token}")
        ended = _check("a token is worth nothing after its run", str(after.status_code), "401")
    except InterlockError as error:
        return [{"check": f"a run of {workflow} opens and is governed", "ok": False, "detail": error.message}]
    return [denied, recorded, ended]


def _check(what: str, found: str, wanted: str) -> Check:
    return {"check": what, "ok": found == wanted, "detail": found}


@contextmanager
def _run_of(client: httpx2.Client, workflow: str, person: str) -> Generator[tuple[str, str]]:
    """Open a run as a launcher does, and end it."""
    signed = {"Authorization": f"Bearer {person}"}
    opened = client.post("/api/v1/runs", json={"workflow": workflow}, headers=signed)
    raise_for_error(opened)
    form = {
        "grant_type": GRANT,
        "subject_token_type": CODE,
        "subject_token": opened.json()["code"],
        "workflow": workflow,
        "expires_in": "60",
    }
    given = client.post("/oauth/token", data=form)
    raise_for_error(given)
    token = given.json()["access_token"]
    try:
        yield given.json()["run"], token
    finally:
        client.post("/oauth/revoke", data={"token": token, "reason": "interlock doctor is done"})


def _call(client: httpx2.Client, **headers: str) -> httpx2.Response:
    meta = {
        "io.modelcontextprotocol/protocolVersion": _ERA,
        "io.modelcontextprotocol/clientInfo": {"name": "interlock doctor", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"name": _CANARY, "arguments": {}, "_meta": meta}
    sent = {
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": _ERA,
        "Mcp-Method": "tools/call",
        "Mcp-Name": _CANARY,
        **headers,
    }
    return client.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers=sent
    )


def _status_in(answer: httpx2.Response) -> str:
    """Return what a tool result says of itself: denied, or whatever got through instead."""
    try:
        return str(answer.json()["result"]["structuredContent"]["status"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _on_record(client: httpx2.Client, person: str, run: str) -> str:
    """Wait, for a second, until the canary's denial is in the audit log; return its kind."""
    for _ in range(_TRIES):
        found = client.get(
            "/api/v1/audit",
            params={"run": run, "kind": "call.denied"},
            headers={"Authorization": f"Bearer {person}"},
        )
        raise_for_error(found)
        if entries := found.json()["items"]:
            return str(entries[0]["kind"])
        time.sleep(0.05)
    return "nothing"
