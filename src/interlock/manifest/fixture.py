"""Policy fixtures: calls and the verdicts they must get, in YAML, read with the same care as a manifest."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from interlock.manifest import source
from interlock.manifest.check import problems_of
from interlock.manifest.field import Json, Share, Strict
from interlock.manifest.problem import ManifestProblem, Place, invalid
from interlock.manifest.tree import parse

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)")


def _moment(value: object) -> int:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("expected a moment with its zone, such as 2026-11-22T12:00:00Z")
    return int(datetime.fromisoformat(value).timestamp()) * 1_000_000


Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]


class RunSoFar(Strict):
    """What the imaginary run has done: admitted calls by tool, the taints it has collected, its score.

    `trials` are the clean ones of the tool in this version of the workflow.
    """

    calls: dict[str, int] = Field(default={})
    taints: list[str] = Field(default=[])
    score: Share | None = Field(None)
    trials: int = Field(0, ge=0)


class Case(Strict):
    """One call and the verdict it must get. `because` is the rule's id or the reason's code."""

    name: str = Field("")
    workflow: str = Field("")
    tool: str
    args: dict[str, Json] = Field(default={})
    run: RunSoFar = Field(default_factory=lambda: RunSoFar.model_validate({}))
    reach: dict[str, Json] | None = Field(None)
    at: Moment | None = Field(None)
    expect: Literal["allow", "allow_with_review", "require_approval", "deny"]
    because: str | None = Field(None)


class Fixture(Strict):
    """A file of cases. `manifest` is relative to it; `workflow` and `at` stand in where a case has none."""

    manifest: str | None = Field(None)
    environment: str | None = Field(None)
    workflow: str = Field("")
    at: Moment | None = Field(None)
    cases: list[Case] = Field(min_length=1)


def read_fixture(path: Path) -> Fixture:
    """Return the fixture in one file. Raises `ManifestError` with the place of every problem."""
    [file] = source.read(path) if path.is_file() else [None]
    if file is None:
        raise invalid([ManifestProblem(place=Place(file=str(path)), message="no such file")])
    nodes = parse(file.name, file.text)
    if len(nodes) != 1:
        raise invalid(
            [ManifestProblem(place=Place(file=file.name), message="expected one document with cases")]
        )
    problems = problems_of(Fixture, nodes[0])
    if problems:
        raise invalid(problems)
    return Fixture.model_validate(nodes[0].plain())
