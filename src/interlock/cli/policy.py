"""`interlock policy`: why a call would be decided as it would, and fixtures of calls and verdicts (A5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from interlock.cli.client import api
from interlock.cli.options import Json
from interlock.cli.output import console, emit, safe, table
from interlock.errors import NotFound, UsageError

if TYPE_CHECKING:
    from interlock.core.bundle import Bundle
    from interlock.manifest.fixture import Case, Fixture

app = typer.Typer(name="policy", help="Ask the policy, without a call being made.", no_args_is_help=True)

Environment = Annotated[str | None, typer.Option(help="With a file: the environment.")]
Question = dict[str, Any]
Ask = Callable[[Question], dict[str, Any]]


@app.command()
def explain(
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    tool: Annotated[str, typer.Argument(help="A tool, server.tool.")],
    args: Annotated[str, typer.Option(help="The call's arguments as a JSON object.")] = "{}",
    calls: Annotated[
        str, typer.Option(help="Calls the run has made already, as JSON: tool to count.")
    ] = "{}",
    taint: Annotated[list[str] | None, typer.Option(help="A label the run has collected.")] = None,
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="The run's quality score so far, from 0 to 1.")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="Clean trials of the tool in this version.")] = 0,
    file: Annotated[
        Path | None, typer.Option(help="Ask this manifest instead of the one in force; needs no server.")
    ] = None,
    environment: Environment = None,
    as_json: Json = False,
) -> None:
    """Say what would be decided on a call, by which rule or gate, and what would have passed."""
    question = {
        "workflow": workflow,
        "tool": tool,
        "arguments": _object(args, "--args"),
        "calls": _object(calls, "--calls"),
        "labels": taint or [],
        "score": None if score is None else round(score * 10_000),
        "trials": trials,
    }
    with _asking(file, environment) as ask:
        found = ask(question)
    lines = [safe(each) for each in found["text"]] + [f"note: {safe(each)}" for each in found["notes"]]
    emit(found, "\n".join(lines), as_json)


@app.command("test")
def check(
    fixture: Annotated[Path, typer.Argument(help="A YAML file of calls and expected verdicts.")],
    file: Annotated[
        Path | None,
        typer.Option(help="The manifest to test; the default is the fixture's, else what is in force."),
    ] = None,
    environment: Environment = None,
    as_json: Json = False,
) -> None:
    """Check that each call of a fixture gets the verdict it must get; exit 1 when one does not."""
    from interlock.manifest.fixture import read_fixture

    found = read_fixture(fixture)
    manifest = file or (fixture.parent / found.manifest if found.manifest else None)
    with _asking(manifest, environment or found.environment) as ask:
        results = [_result(found, case, ask) for case in found.cases]
    failed = [each for each in results if not each["ok"]]
    columns = ("ok", "name", "tool", "expected", "verdict", "because")
    emit({"passed": not failed, "cases": results}, table(results, columns), as_json)
    if not as_json:
        console.print(f"{len(results) - len(failed)} of {len(results)} as expected")
    if failed:
        raise typer.Exit(1)


def _result(fixture: Fixture, case: Case, ask: Ask) -> dict[str, Any]:
    found = ask(
        {
            "workflow": case.workflow or fixture.workflow,
            "tool": case.tool,
            "arguments": case.args,
            "calls": case.run.calls,
            "labels": case.run.taints,
            "score": case.run.score,
            "trials": case.run.trials,
            "reach": case.reach,
            "at": case.at or fixture.at,
        }
    )
    decision = found["decision"]
    reasons = [each for each in decision["reasons"] if each["verdict"] == decision["verdict"]]
    named = {each["rule"] for each in reasons} | {each["code"] for each in reasons}
    right = decision["verdict"] == case.expect and (case.because is None or case.because in named)
    first = decision["reasons"][0]
    return {
        "ok": right,
        "name": case.name or case.tool,
        "tool": case.tool,
        "expected": case.expect if case.because is None else f"{case.expect} ({case.because})",
        "verdict": decision["verdict"],
        "because": first["rule"] or first["code"],
        "text": found["text"],
    }


@contextmanager
def _asking(file: Path | None, environment: str | None) -> Generator[Ask]:
    """Yield a way to ask: a manifest on disk, or the bundle in force over one connection."""
    if file is not None:
        yield _offline(_bundle(file, environment))
        return
    with api() as client:
        yield lambda question: client.post("/api/v1/policy/explain", json=question).json()


def _bundle(file: Path, environment: str | None) -> Bundle:
    from interlock.manifest.bundle import bundle_of
    from interlock.settings import load

    return bundle_of(file, environment or load().environment)


def _offline(bundle: Bundle) -> Ask:
    import msgspec

    from interlock.core.explain import explain as lines
    from interlock.core.missing import no_workflow
    from interlock.core.trial import Trial, ask
    from interlock.runtime import SystemClock

    def answer(question: Question) -> dict[str, Any]:
        if question["workflow"] not in bundle.workflows:
            unknown = no_workflow(question["workflow"], bundle)
            raise NotFound(unknown.message, hint=unknown.hint)
        trial = Trial(
            workflow=question["workflow"],
            tool=question["tool"],
            arguments=question["arguments"],
            calls=question["calls"],
            labels=frozenset(question["labels"]),
            reach=question.get("reach"),
            now=question.get("at") or SystemClock().now(),
            score=question["score"],
            trials=question["trials"],
        )
        decision = ask(bundle, trial)
        notes = ["offline: the arguments were not checked against the tool's own schema"]
        return {"decision": msgspec.to_builtins(decision), "text": lines(decision), "notes": notes}

    return answer


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise UsageError(f"{option} takes a JSON object, such as '{{\"amount_cents\": 500}}'.")
    return cast("dict[str, Any]", found)
