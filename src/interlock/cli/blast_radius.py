"""`interlock blast-radius WORKFLOW`: the worst valid call of each tool, and what guards it (A4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.client import api
from interlock.cli.output import emit, safe
from interlock.errors import NotFound


def blast_radius(
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    file: Annotated[
        Path | None, typer.Option(help="Ask this manifest instead of the one in force; needs no server.")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="With --file: the environment.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report the worst call that this workflow could make today, tool by tool, as a concrete request."""
    found = _offline(file, workflow, environment) if file else _live(workflow)
    emit(found, _markdown(found) if markdown else _text(found), as_json)


def _live(workflow: str) -> dict[str, Any]:
    with api() as client:
        return client.get(f"/api/v1/workflows/{workflow}/blast-radius").json()


def _offline(file: Path, workflow: str, environment: str | None) -> dict[str, Any]:
    import msgspec

    from interlock.core.missing import no_workflow
    from interlock.core.worst import report
    from interlock.manifest.bundle import bundle_of
    from interlock.runtime import SystemClock
    from interlock.settings import load

    bundle = bundle_of(file, environment or load().environment)
    if workflow not in bundle.workflows:
        unknown = no_workflow(workflow, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    return msgspec.to_builtins(report(bundle, bundle.workflows[workflow], SystemClock().now()))


def _text(found: dict[str, Any]) -> str:
    shown = [f"Worst valid calls of {safe(found['workflow'])} in {safe(found['environment'])}, worst first:"]
    for call in found["calls"]:
        shown.append(f"\n[bold]{safe(call['tool'])}[/bold]  {safe(call['tier'])}, {safe(call['effect'])}")
        shown += [f"  {label:<11} {safe(value)}" for label, value in _facts(call)]
    if found["capabilities"]:
        shown.append(f"\nbeside tools: {safe(', '.join(found['capabilities']))}")
    shown += ["", *(safe(line) for line in _spending(found))] if found["models"] else []
    shown += [f"\n{safe(note)}" for note in _notes(found)]
    return "\n".join(shown)


def _spending(found: dict[str, Any]) -> list[str]:
    """Say which models may be called, and what stops the spending."""
    lines = [f"models: {', '.join(found['models'])}"]
    for each in found["ceilings"]:
        most = "nothing stops it: shadow" if each["most"] is None else f"never past {_dollars(each['most'])}"
        lines.append(f"spends: {each['scope']}, per {each['window']}: {_dollars(each['limit'])}, {most}")
    return lines if found["ceilings"] else [*lines, "spends: nothing limits what its model calls cost"]


def _notes(found: dict[str, Any]) -> list[str]:
    """Say which calls may lack arguments, because nobody knows what their tools require."""
    if not found["unchecked"]:
        return []
    tools = ", ".join(found["unchecked"])
    return [f"The input schema is not known of {tools}: arguments that it requires may be missing here."]


def _facts(call: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("call", json.dumps(call["arguments"], ensure_ascii=False)),
        ("reaches", _reach(call)),
        ("reversible", call["reversible"]),
        ("if wrong", call["impact"]),
        ("guarded by", _guards(call)),
    ]
    if call["unbounded"]:
        facts.append(("unlimited", ", ".join(call["unbounded"])))
    if call["cost_per_call"]:
        facts.append(("costs", f"{_dollars(call['cost_per_call'])} a call"))
    return facts


def _reach(call: dict[str, Any]) -> str:
    measures = [f"{name} {value}" for name, value in call["reach"].items()]
    return "; ".join([call["widest_scope"], *measures])


def _guards(call: dict[str, Any]) -> str:
    guards = [f"{call['verdict']}: {call['because']}"]
    if call["rules"]:
        guards.append(f"rules {', '.join(call['rules'])}")
    guards += call["confidence"]
    if call["max_calls"] is not None:
        guards.append(f"at most {call['max_calls']} calls a run")
    return "; ".join(guards)


def _dollars(nano: int) -> str:
    whole, rest = divmod(nano, 1_000_000_000)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + " USD"


def _markdown(found: dict[str, Any]) -> str:
    head = ("tool", "tier", "worst call", "reaches", "reversible", "if wrong", "guarded by")
    rows = [
        (
            call["tool"],
            call["tier"],
            f"`{json.dumps(call['arguments'], ensure_ascii=False)}`",
            _reach(call),
            call["reversible"],
            call["impact"],
            _guards(call),
        )
        for call in found["calls"]
    ]
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    table += [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    said = [*(_spending(found) if found["models"] else []), *_notes(found)]
    notes = [line for note in said for line in ("", safe(note))]
    return "\n".join([f"## Worst valid calls of {safe(found['workflow'])}", "", *table, *notes])


def _cell(value: str) -> str:
    return safe(value).replace("|", "\\|").replace("\n", " ")
