"""One request for a decision as a person reads it: all that is needed, nothing that could steer them."""

from __future__ import annotations

import json
from typing import Any

from interlock.cli.moment import moment
from interlock.cli.output import line
from interlock.core.reach import of_call

ARGUMENTS = 50_000
"""So many characters of a call's arguments are shown; what is cut is said to be cut."""


def view(found: dict[str, Any]) -> str:
    """Return the one view on which a person decides. All of it is escaped and capped."""
    call, tool = found["call"], found["tool"]
    kind = f"{line(call['tier'])}, effect {line(call['effect'])}"
    shown = [
        f"[bold]{line(call['tool'])}[/bold] ({kind}) is {_state(found)}",
        *_question(found),
        f"  arguments    {line(call['arguments'], cap=ARGUMENTS)}",
        *cut(found),
        f"  asked by     {line(call['agent'])} for {line(call['workflow'])}, {line(call['run'])}",
        f"  owner        {line(found['owner'])}" + _started(found),
        f"  requested    {moment(found['requested_at'])}",
        f"  expires      {_end(found)}",
        f"  approvers    {_approvers(found)}",
        *_stages(found),
        *_votes(found),
        *([*_reach(found), *_measured(tool, found["reach"])] if found["kind"] == "approve" else []),
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


def cut(found: dict[str, Any]) -> list[str]:
    """Say that the arguments are longer than what is shown: nobody approves what they did not see."""
    length = len(json.dumps(found["call"]["arguments"], ensure_ascii=False))
    if length <= ARGUMENTS:
        return []
    return [
        f"  [bold red]NOT ALL SHOWN[/bold red] {length - ARGUMENTS} of {length} characters are missing. "
        f"Read them before you decide: interlock approvals show {line(found['id'])} --json"
    ]


def _approvers(found: dict[str, Any]) -> str:
    names = line(", ".join(found["approvers"]))
    if names:
        return names
    return "nobody: no stage has anybody" if found["stages"] else "whoever holds the role approver"


def _end(found: dict[str, Any]) -> str:
    """Say what silence does: it never lets the call pass, and is never a refusal."""
    if found["state"] != "pending":
        return moment(found["expires_at"]) or "never"
    if found["expires_at"] is None:
        return "never: it is parked until somebody decides, or its run ends"
    return f"{moment(found['expires_at'])}; then it expires, which is no refusal"


def _stages(found: dict[str, Any]) -> list[str]:
    """Say who is asked now, who is asked next, and when."""
    names = [each["name"] for each in found["stages"]]
    if found["state"] != "pending" or not names:
        return []
    at = names.index(found["stage"])
    until = f" until {moment(found['stage_ends_at'])}" if found["stage_ends_at"] else ""
    after = found["stages"][at + 1] if at + 1 < len(names) else None
    following = (
        f"; then {line(after['name'])}: {line(', '.join(after['people']) or 'nobody')}"
        if after
        else "; then an incident is opened"
    )
    return [f"  stage        {line(found['stage'])}{until}{following}"]


def _votes(found: dict[str, Any]) -> list[str]:
    """Say who has agreed, where it takes two people."""
    if found["needs"] < 2:
        return []
    said = [
        f"{line(each['person'])} at {moment(each['at'])}"
        + (f" ({line(each['reason'])})" if each["reason"] else "")
        for each in found["votes"]
    ]
    if found["state"] == "approved":  # the vote that decides is the decision itself
        said.append(f"{line(found['decided_by'])} at {moment(found['decided_at'])}")
    return [f"  agreed       {agreed(found)}" + (f": {', '.join(said)}" if said else "")]


def _question(found: dict[str, Any]) -> list[str]:
    """Say what is asked where an answer is wanted, and what was answered."""
    if found["kind"] == "approve":
        return []
    theirs = found["question"]
    asked = {"question": theirs["message"], **theirs} if theirs else found["call"]["arguments"]
    how = "--value JSON" if found["kind"] == "input" else "TEXT"
    said = [f"  question     {line(asked.get('question'), cap=ARGUMENTS)}"]
    if theirs:
        said.insert(0, f"  [yellow]in the words of the tool server[/yellow] {line(theirs['server'])}:")
    if found["kind"] == "input":
        said.append(f"  must fit     {line(asked.get('schema'), cap=ARGUMENTS)}")
    if found["answer"] is not None:
        return [*said, f"  answer       {line(found['answer'], cap=ARGUMENTS)}"]
    return [*said, f"  to answer    interlock approvals answer {line(found['id'])} {how}"]


def _state(found: dict[str, Any]) -> str:
    by = f" by {line(found['decided_by'])}" if found["decided_by"] else ""
    reason = f": {line(found['reason'])}" if found["reason"] else ""
    return f"{line(found['state'])}{by}{reason}"


def _started(found: dict[str, Any]) -> str:
    return f"; the run was started by {line(found['requester'])}" if found["requester"] else ""


def _reach(found: dict[str, Any]) -> list[str]:
    tool, asked = found["tool"], found["call"]["arguments"]
    radius = tool.get("blast_radius")
    if not radius:
        return ["  reach        not mapped: the widest is assumed"]
    parts = [
        f"{name} {line(of_call(radius[name], asked))}"
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


def agreed(found: dict[str, Any]) -> str:
    """Say how many have agreed, where it takes more than one."""
    decided = 1 if found["state"] == "approved" else 0
    return f"{len(found['votes']) + decided} of {found['needs']}"
