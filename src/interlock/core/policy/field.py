"""What a rule can read: dotted fields of the call, its caller, its tool, its run and its measured reach.

`args` and `reach` are open, for their shape belongs to the tool. `agent`, `tool` and `run` are closed
lists, so that a misspelt field is found at load. `run.calls` takes the rest of the path as one tool name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from interlock.core.model import SECOND, Json, Principal
from interlock.core.policy.flaw import Flaws, near

OPEN_ROOTS = frozenset({"args", "reach"})
KNOWN: Mapping[str, tuple[str, ...]] = {
    "agent": ("name", "env", "owner", "workflow", "version", "actors"),
    "tool": ("name", "server", "tier", "effect", "env", "source", "reversible", "mapped"),
    "run": ("id", "age", "calls", "taints"),
}
ROOTS = ("args", "agent", "tool", "run", "reach")
_MEANT = {"arguments": "args", "argument": "args"}
_CALLS = "run.calls."

Getter = Callable[["Facts"], Json]


class Missing(Exception):
    """A rule reads a field that this call does not have."""


def _nothing() -> dict[str, Json]:
    return {}


@dataclass(slots=True)
class Facts:
    """Everything the rules can read about one call. `agent` and `run` are built when first read.

    `calls` counts the run's other calls by tool, never this one. `unmeasured` says why the reach of the
    call is not known, "" where it is or where nothing measures it. Times are microseconds.
    """

    args: Mapping[str, Json]
    tool: Mapping[str, Json]
    reach: Mapping[str, Json] = field(default_factory=_nothing)
    principal: Principal | None = None
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    labels: frozenset[str] = frozenset()
    started_at: int = 0
    now: int = 0
    unmeasured: str = ""
    agent_fields: Mapping[str, Json] | None = None
    run_fields: Mapping[str, Json] | None = None

    @property
    def agent(self) -> Mapping[str, Json]:
        """The caller, as its token says."""
        if self.agent_fields is None:
            self.agent_fields = _agent_fields(self.principal)
        return self.agent_fields

    @property
    def run(self) -> Mapping[str, Json]:
        """The run so far."""
        if self.run_fields is None:
            self.run_fields = {
                "id": "" if self.principal is None else self.principal.run,
                "age": (self.now - self.started_at) // SECOND,
                "calls": self.calls,
                "taints": sorted(self.labels),
            }
        return self.run_fields


def example_facts(values: Mapping[str, Mapping[str, Json]], tool: Mapping[str, Json]) -> Facts:
    """Return the facts of an example: what it says, over the tool's own fields and a fresh run."""
    return Facts(
        args=values.get("args", {}),
        tool={**tool, **values.get("tool", {})},
        reach=values.get("reach", {}),
        agent_fields=values.get("agent", {}),
        run_fields={"calls": {}, "taints": [], "age": 0, **values.get("run", {})},
    )


def _agent_fields(principal: Principal | None) -> dict[str, Json]:
    if principal is None:
        return {}
    return {
        "name": principal.agent,
        "env": principal.environment,
        "owner": principal.owner,
        "workflow": principal.workflow,
        "version": principal.workflow_version,
        "actors": list(principal.actors),
    }


def known_field(name: str, flaws: Flaws) -> bool:
    """Say whether `name` is a field a rule can read; note a flaw if not."""
    root, dot, rest = name.partition(".")
    if root not in ROOTS:
        flaws.add(
            f"unknown field {name!r}: a field starts with {', '.join(r + '.' for r in ROOTS)}",
            near=_MEANT.get(root) or near(root, ROOTS),
        )
        return False
    if not dot or not all(rest.split(".")):
        flaws.add(f"{name!r} is not a field: write {root}.NAME")
        return False
    if root in OPEN_ROOTS or rest in KNOWN[root] or name.startswith(_CALLS):
        return True
    suggestion = near(rest, KNOWN[root])
    flaws.add(
        f"unknown field {name!r}: {root} has {', '.join(KNOWN[root])}",
        near=f"{root}.{suggestion}" if suggestion else None,
    )
    return False


def getter(name: str) -> Getter:
    """Compile a known field to a function that reads it, or raises `Missing`."""
    root, _, rest = name.partition(".")
    if name.startswith(_CALLS):
        return _calls(name.removeprefix(_CALLS))
    steps = rest.split(".")
    if len(steps) > 1:
        return _nested(_ROOT[root], tuple(steps))
    return _argument(rest) if root == "args" else _direct(_ROOT[root], rest)


def _argument(key: str) -> Getter:
    def read(facts: Facts) -> Json:
        try:
            return facts.args[key]
        except KeyError:
            raise Missing from None

    return read


def _direct(root: Getter, key: str) -> Getter:
    def read(facts: Facts) -> Json:
        try:
            return root(facts)[key]
        except KeyError:
            raise Missing from None

    return read


def _nested(root: Getter, steps: tuple[str, ...]) -> Getter:
    def read(facts: Facts) -> Json:
        value = root(facts)
        try:
            for step in steps:
                value = value[step]
        except (KeyError, TypeError):  # TypeError: not an object there
            raise Missing from None
        return value

    return read


def _calls(tool: str) -> Getter:
    def read(facts: Facts) -> Json:
        return facts.run["calls"].get(tool, 0)

    return read


_ROOT: Mapping[str, Getter] = {
    "args": lambda facts: facts.args,
    "agent": lambda facts: facts.agent,
    "tool": lambda facts: facts.tool,
    "run": lambda facts: facts.run,
    "reach": lambda facts: facts.reach,
}
