"""`interlock approvals`: see what waits for a person, everything needed to decide, and decide."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from interlock.cli.approval_view import ARGUMENTS, agreed, cut, view
from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError

app = typer.Typer(name="approvals", help="Calls that wait for a person.", no_args_is_help=True)

Approval = Annotated[str, typer.Argument(help="The id of an approval, apr_….")]
Approvals = Annotated[list[str], typer.Argument(help="The ids of approvals, apr_….")]
_MOST_TOGETHER = 100
_COLUMNS = ("id", "tool", "agent", "stage", "agreed", "expires")
_SPARE = ("agent", "stage", "agreed")


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only what asks you, by name, now.")] = False,
    workflow: Annotated[str, typer.Option(help="Only of this workflow.")] = "",
    tool: Annotated[str, typer.Option(help="Only calls of this tool, as server.tool.")] = "",
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what waits for a person, newest first."""
    wanted = {"state": "" if everything else "pending", "before": before, "limit": str(limit)}
    wanted |= {"mine": str(mine).lower(), "workflow": workflow, "tool": tool}
    with api() as client:
        while True:
            found = client.get("/api/v1/approvals", params=wanted).json()
            if watch and not as_json:
                console.clear()
            columns = (*_COLUMNS, "state") if everything else _COLUMNS
            emit_page(found, table(_rows(found["items"]), columns, spare=_SPARE), as_json)
            if not watch:
                return
            time.sleep(2)


@app.command()
def show(
    approval: Approval,
    wait: Annotated[int, typer.Option(help="Wait so many seconds for it to be decided.")] = 0,
    as_json: Json = False,
) -> None:
    """Show all that is needed to decide: the call, its reach, its undo, why it waits, what came before."""
    with api() as client:
        found = client.get(f"/api/v1/approvals/{approval}", params={"wait": str(wait)}).json()
    emit(found, view(found), as_json)


@app.command()
def digest(as_json: Json = False) -> None:
    """Show what waits for you with equal requests together, so that they can be decided at once."""
    with api() as client:
        found = client.get("/api/v1/approvals/digest").json()
    shown = "\n\n".join(_group(each) for each in found["items"]) or "Nothing waits."
    emit(found, shown, as_json)


@app.command()
def approve(
    approvals: Approvals,
    reason: Annotated[str, typer.Option(help="Why, if there is anything to say.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Several: do not ask again.")] = False,
    as_json: Json = False,
) -> None:
    """Let a call pass as it was asked. It is executed at once, or after its delay, under the policy of then.

    Several are shown first, and each is decided for itself. Where it takes two people, this is one yes.
    """
    if len(approvals) > 1:
        _together("approve", approvals, reason, yes=yes, as_json=as_json)
        return
    with api() as client:
        done = client.post(f"/api/v1/approvals/{approvals[0]}/approve", json={"reason": reason}).json()
    emit(done, _approved(done), as_json)


@app.command()
def answer(
    approval: Approval,
    text: Annotated[str, typer.Argument(help="The answer in words.")] = "",
    value: Annotated[str, typer.Option(help="The answer as JSON, where a value is asked for.")] = "",
    as_json: Json = False,
) -> None:
    """Answer a question that an agent put. The agent reads what you say."""
    if bool(text) == bool(value):
        raise UsageError("An answer is words or --value JSON, one of them.")
    try:
        said = json.loads(value) if value else text
    except ValueError as error:
        raise UsageError("--value is not JSON.", hint="Such as --value 12 or --value '\"Berlin\"'") from error
    with api() as client:
        done = client.post(f"/api/v1/approvals/{approval}/answer", json={"answer": said}).json()
    emit(done, f"Answered by {line(done['decided_by'])}.", as_json)


@app.command()
def modify(
    approval: Approval,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    arguments: Annotated[str, typer.Option(help="All arguments as they shall be, as a JSON object.")],
    four_eyes: Annotated[bool, typer.Option("--four-eyes", help="Let another person approve them.")] = False,
    as_json: Json = False,
) -> None:
    """Let the call pass with other arguments. They are checked and decided like a new call."""
    try:
        json.loads(arguments)
    except ValueError as error:
        raise UsageError("--arguments is not JSON.", hint="Such as --arguments '{\"order\": 2}'") from error
    body = '{"arguments": %s, "reason": %s, "four_eyes": %s}' % (  # noqa: UP031 - the text goes on as it is
        arguments,
        json.dumps(reason),
        json.dumps(four_eyes),
    )
    with api() as client:
        headers = {"Content-Type": "application/json"}
        done = client.post(f"/api/v1/approvals/{approval}/modify", content=body, headers=headers).json()
    emit(done, f"{line(done['id'])} is {line(done['state'])}: {line(done['action'])}.", as_json)


@app.command()
def reject(
    approvals: Approvals,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    yes: Annotated[bool, typer.Option("--yes", help="Several: do not ask again.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a call down. It never runs. Several are shown first."""
    if len(approvals) > 1:
        _together("reject", approvals, reason, yes=yes, as_json=as_json)
        return
    with api() as client:
        done = client.post(f"/api/v1/approvals/{approvals[0]}/reject", json={"reason": reason}).json()
    emit(done, f"Rejected by {line(done['decided_by'])}.", as_json)


def _together(act: str, names: list[str], reason: str, *, yes: bool, as_json: bool) -> None:
    """Show several requests, and decide exactly what was shown. Raises `UsageError` for what was cut."""
    wanted = list(dict.fromkeys(names))
    if len(wanted) > _MOST_TOGETHER:
        raise UsageError(f"At most {_MOST_TOGETHER} are decided together.")
    with api() as client:
        found = [client.get(f"/api/v1/approvals/{each}").json() for each in wanted]
        if hidden := [each["id"] for each in found if cut(each)]:
            raise UsageError(
                f"The arguments of {line(hidden[0])} are too long to be shown beside others.",
                hint="Decide it by itself.",
            )
        if not as_json:
            for each in found:
                console.print(_row(each["id"], each["call"]["tool"], each["call"]["arguments"]))
        if not yes and not typer.confirm(f"{act.capitalize()} these {len(found)}?"):
            raise typer.Exit(1)
        items = [{"id": each["id"], "digest": each["call"]["digest"]} for each in found]
        body = {"act": act, "items": items, "reason": reason}
        done = client.post("/api/v1/approvals/decisions", json=body).json()
    emit(done, "\n".join(_outcome(each) for each in done["items"]), as_json)
    if any(each["error"] for each in done["items"]):
        raise typer.Exit(1)


def _outcome(each: dict[str, Any]) -> str:
    if each["error"]:
        return f"{line(each['id'])}  [red]not decided[/red]: {line(each['error']['message'])}"
    decided = each["approval"]
    return f"{line(each['id'])}  {_approved(decided) if decided['state'] != 'rejected' else 'Rejected.'}"


def _approved(done: dict[str, Any]) -> str:
    if done["state"] == "pending":
        return f"Agreed, {agreed(done)}: it waits for another person."
    due = done["due_at"]
    when = f" at {moment(due)}, and can be cancelled until then" if due else ""
    return f"Approved by {line(done['decided_by'])}; {line(done['action'])} is carried out{when}."


def _group(group: dict[str, Any]) -> str:
    """Return equal requests as one block: what they share, and each with its whole arguments."""
    ids = " ".join(line(each["id"]) for each in group["items"])
    reasons = line(", ".join(group["reasons"]))
    approved = group["items"][0]["kind"] == "approve"
    return "\n".join(
        [
            f"[bold]{len(group['items'])} x {line(group['tool'])}[/bold] of {line(group['workflow'])} "
            f"({line(group['tier'])}; {reasons})",
            *(_row(each["id"], each["agent"], each["arguments"]) for each in group["items"]),
            f"  interlock approvals approve {ids}"
            if approved
            else f"  interlock approvals answer ID, of {ids}",
        ]
    )


def _row(name: str, what: str, arguments: object) -> str:
    return f"  {line(name)}  {line(what)}  {line(arguments, cap=ARGUMENTS)}"


def _rows(found: list[dict[str, Any]]) -> list[dict[str, object]]:
    return [
        {
            "id": each["id"],
            "state": each["state"],
            "tool": each["call"]["tool"],
            "agent": each["call"]["agent"],
            "stage": each["stage"],
            "agreed": agreed(each) if each["needs"] > 1 else None,
            "expires": moment(each["expires_at"]) or "never",
        }
        for each in found
    ]
