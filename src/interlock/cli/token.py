"""`interlock token`: signing in, personal tokens, and the keys that sign run tokens (H2, H6)."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.credentials import remember
from interlock.cli.moment import moment
from interlock.cli.options import Json
from interlock.cli.output import console, emit, notes, safe, table
from interlock.cli.page import emit_page
from interlock.settings import load

app = typer.Typer(name="token", help="Sign in, personal tokens, signing keys.", no_args_is_help=True)

Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
_DAY = 86_400


@app.command()
def create(
    person: Annotated[str, typer.Option(help="Whose token; an admin may make one for another.")] = "",
    role: Annotated[
        list[str] | None, typer.Option(help="Only this role (repeatable); else all they have.")
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[int, typer.Option(min=1, max=365, help="Days until it ends.")] = 90,
    as_json: Json = False,
) -> None:
    """Make a personal API token. It is shown this once."""
    body: dict[str, Any] = {
        "person": person,
        "roles": role or None,
        "label": label,
        "expires_in": days * _DAY,
    }
    with api() as client:
        made = client.post("/api/v1/tokens", json=body).json()
    emit(made, made["token"], as_json)
    if not as_json:
        notes.print(f"[dim]Token {safe(made['id'])} of {safe(made['person'])}; it is not shown again.[/dim]")


@app.command("list")
def list_(
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, for an admin or auditor.")] = False,
    as_json: Json = False,
) -> None:
    """List personal tokens; their secrets are kept nowhere."""
    with api() as client:
        found = client.get("/api/v1/tokens", params={"all": "true"} if everybody else {}).json()
    rows = [
        {
            **each,
            "roles": "all" if each["roles"] is None else ", ".join(each["roles"]),
            "expires": moment(each["expires_at"]),
            "revoked": moment(each["revoked_at"]),
        }
        for each in found["items"]
    ]
    columns = ("id", "person", "label", "roles", "expires", "revoked", "created_by")
    emit_page(found, table(rows, columns, spare=("created_by", "label", "revoked")), as_json)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="A personal token's id (tok_…) or a run token's (jti_…).")],
    as_json: Json = False,
) -> None:
    """Revoke a personal token, or a single run token; it stops counting at once."""
    with api() as client:
        done = client.delete(f"/api/v1/tokens/{token}").json()
    emit(done, f"{safe(token)} is revoked.", as_json)


@app.command()
def login(
    person: Annotated[str, typer.Option(prompt=True, help="Your name in the manifest.")],
    password_stdin: Stdin = False,
    show: Annotated[bool, typer.Option("--print", help="Print the token instead of keeping it.")] = False,
    as_json: Json = False,
) -> None:
    """Sign in with a password; the token lasts twelve hours and is kept in the data directory."""
    body = {"person": person, "password": _password("Password", confirm=False, from_stdin=password_stdin)}
    with api() as client:
        made = client.post("/api/v1/sign-in", json=body).json()
    if show or as_json:
        emit(made, made["token"], as_json)
        return
    kept = remember(load(), person=made["person"], token=made["token"])
    console.print(f"Signed in as {safe(person)}; the token is in {safe(str(kept))}.")


@app.command()
def passwd(
    person: Annotated[str, typer.Option(help="Whose password; an admin may set another's.")] = "",
    password_stdin: Stdin = False,
    current_stdin: Annotated[
        bool, typer.Option("--current-stdin", help="The first line of standard input is the current one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Set a password of at least twelve characters."""
    current = ""
    if current_stdin:
        current = sys.stdin.readline().rstrip("\n")
    elif not password_stdin and not person:
        current = typer.prompt(
            "Current password (empty if none)", default="", hide_input=True, show_default=False
        )
    new = _password("New password", confirm=True, from_stdin=password_stdin)
    with api() as client:
        done = client.post(
            "/api/v1/password", json={"person": person, "password": new, "current": current}
        ).json()
    emit(done, f"The password of {safe(done['person'])} is set.", as_json)


@app.command()
def keys(as_json: Json = False) -> None:
    """List the signing keys of this environment and what each does now."""
    with api() as client:
        found = client.get("/api/v1/keys").json()
    _show_keys(found, found["items"], as_json)


@app.command("rotate-keys")
def rotate_keys(
    publish_ahead: Annotated[
        int | None, typer.Option(min=0, max=_DAY, help="Seconds the next key is published before it signs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rotate the signing key without downtime: the next is published, then signs; the old retires last."""
    with api() as client:
        done = client.post("/api/v1/keys", json={"publish_ahead": publish_ahead}).json()
    if not as_json:
        console.print(f"{safe(done['kid'])} signs from {moment(done['signs_at'])}.")
        console.print(f"The key before it verifies until {moment(done['old_retires_at'])}.")
    _show_keys(done, done["keys"], as_json)


@app.command("revoke-key")
def revoke_key(
    kid: Annotated[str, typer.Argument(help="The key's id; see: interlock token keys.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    as_json: Json = False,
) -> None:
    """Emergency: stop believing a signing key at once, with every run token it signed."""
    with api() as client:
        done = client.post(f"/api/v1/keys/{kid}/revoke", json={"reason": reason}).json()
    if not as_json:
        console.print(f"{safe(kid)} is revoked; {safe(done['signs_now'])} signs now.")
    _show_keys(done, done["keys"], as_json)


def _show_keys(data: Any, found: list[dict[str, Any]], as_json: bool) -> None:
    rows = [
        {**each, **{field: moment(each[f"{field}_at"]) for field in ("signs", "retires", "revoked")}}
        for each in found
    ]
    columns = ("kid", "state", "signs", "retires", "revoked")
    emit(data, table(rows, columns, spare=("revoked", "retires")), as_json)


def _password(prompt: str, *, confirm: bool, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm))
