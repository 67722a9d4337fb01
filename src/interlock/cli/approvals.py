"""`interlock approvals`: see what waits for a person, everything needed to decide, and decide."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.moment import moment
from interlock.cli.options import Before, Json, Limit
from interlock.cli.output import console, emit, line, table
from interlock.cli.page import emit_page
from interlock.errors import UsageError

app = typer.Typer(name="approvals", help="Calls that wait for a person.", no_args_is_help=True)

Approval = Annotated[str, typer.Argument(help="The id of an approval, apr_….")]
_ARGUMENTS = 50_000
_COLUMNS = ("id", "tool", "agent", "expires")


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds.")] = False,
    before: Before = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what waits for a person, newest first."""
    wanted = {"state": "" if everything else "pending", "before": before, "limit": str(limit)}
    with api() as client:
        while True:
            found = client.get("/api/v1/approvals", params=wanted).json()
            if watch and not as_json:
                console.clear()
            columns = (*_COLUMNS, "state") if everything else _COLUMNS
            emit_page(found, table(_rows(found["items"]), columns, spare=("agent",)), as_json)
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
def approve(
    approval: Approval,
    reason: Annotated[str, typer.Option(help="Why, if there is anything to say.")] = "",
    as_json: Json = False,
) -> None:
    """Let the call pass as it was asked. It is executed at once, under the policy of that moment."""
    with api() as client:
        done = client.post(f"/api/v1/approvals/{approval}/approve", json={"reason": reason}).json()
    emit(done, f"Approved by {line(done['decided_by'])}; {line(done['action'])} is carried out.", as_json)


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
    approval: Approval,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    as_json: Json = False,
) -> None:
    """Turn the call down. It never runs."""
    with api() as client:
        done = client.post(f"/api/v1/approvals/{approval}/reject", json={"reason": reason}).json()
    emit(done, f"Rejected by {line(done['decided_by'])}.", as_json)


def view(found: dict[str, Any]) -> str:
    """Return the one view on which a person decides. All of it is escaped and capped."""
    call, tool = found["call"], found["tool"]
    kind = f"{line(call['tier'])}, effect {line(call['effect'])}"
    shown = [
        f"[bold]{line(call['tool'])}[/bold] ({kind}) is {_state(found)}",
        f"  arguments    {line(call['arguments'], cap=_ARGUMENTS)}",
        *_cut(found),
        f"  asked by     {line(call['agent'])} for {line(call['workflow'])}, {line(call['run'])}",
        f"  owner        {line(found['owner'])}" + _started(found),
        f"  requested    {moment(found['requested_at'])}",
        f"  expires      {moment(found['expires_at'])}",
        f"  approvers    {line(', '.join(found['approvers']) or 'whoever holds the role approver')}",
        *_reach(tool),
        *_measured(tool, found["reach"]),
        *_why(found["reasons"]),
    ]
    if found["changed_since"]:
        shown.append(f"  [yellow]since asked[/yellow]  {line(found['changed_since'])}: it will be asked anew")
    if found["revision_of"]:
        shown.append(f"  revision of  {line(found['revision_of'])}")
    if found["earlier"]:
        shown.append("  earlier in this run:")
        shown += [
            f"    {moment(each['created_at'])}  {line(each['tool'])}  {line(each['state'])}"
            for each in found["earlier"]
        ]
    return "\n".join(shown)


def _cut(found: dict[str, Any]) -> list[str]:
    """Say that the arguments are longer than what is shown: nobody approves what they did not see."""
    length = len(json.dumps(found["call"]["arguments"], ensure_ascii=False))
    if length <= _ARGUMENTS:
        return []
    return [
        f"  [bold red]NOT ALL SHOWN[/bold red] {length - _ARGUMENTS} of {length} characters are missing. "
        f"Read them before you decide: interlock approvals show {line(found['id'])} --json"
    ]


def _state(found: dict[str, Any]) -> str:
    by = f" by {line(found['decided_by'])}" if found["decided_by"] else ""
    reason = f": {line(found['reason'])}" if found["reason"] else ""
    return f"{line(found['state'])}{by}{reason}"


def _started(found: dict[str, Any]) -> str:
    return f"; the run was started by {line(found['requester'])}" if found["requester"] else ""


def _reach(tool: dict[str, Any]) -> list[str]:
    radius = tool.get("blast_radius")
    if not radius:
        return ["  reach        not mapped: the widest is assumed"]
    parts = [
        f"{name} {line(radius[name])}"
        for name in ("records", "recipients", "money", "services")
        if radius.get(name) is not None
    ]
    undo = tool.get("undo")
    back = f"{line(undo['tool'])} {line(undo['arguments'])}" if undo else "none"
    return [
        f"  reach        {line(radius['widest_scope'])}" + (f" ({', '.join(parts)})" if parts else ""),
        f"  if wrong     {line(radius['impact'])}",
        f"  reversible   {line(radius['reversible'])}; undo: {back}",
        *([f"  delay        {tool['delay']} s, cancellable until then"] if tool.get("delay") else []),
    ]


def _measured(tool: dict[str, Any], reach: dict[str, Any]) -> list[str]:
    """Say how far this very call reaches, where a preview measures it (A1)."""
    if reach["measured"] is not None:
        measures = ", ".join(
            f"{line(name)} {line(value)}" for name, value in sorted(reach["measured"].items())
        )
        by = f", by {line(tool['preview'])}" if tool.get("preview") else ""
        return [f"  measured     {measures}{by}; it is measured again before it runs"]
    if reach["unknown"] is not None:
        return [
            f"  measured     [yellow]not known[/yellow], {line(reach['unknown'])}: the widest scope counts"
        ]
    return []


def _why(reasons: list[dict[str, Any]]) -> list[str]:
    shown: list[str] = []
    for each in reasons:
        rule = f" (rule {line(each['rule'])})" if each.get("rule") else ""
        shown.append(f"  why          {line(each['verdict'])}: {line(each['message'])}{rule}")
        for miss in each.get("near_misses", []):
            allowed, actual = line(miss["expected"]), line(miss["actual"])
            shown.append(f"               {line(miss['field'])}: allowed {allowed}; this is {actual}")
    return shown


def _rows(found: list[dict[str, Any]]) -> list[dict[str, object]]:
    return [
        {
            "id": each["id"],
            "state": each["state"],
            "tool": each["call"]["tool"],
            "agent": each["call"]["agent"],
            "expires": moment(each["expires_at"]),
        }
        for each in found
    ]
