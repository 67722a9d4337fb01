"""Whether what an entry of the map names exists and fits: preview, probe, undo, second step, exercise.

Every name that resolves to nothing is a problem with a near name, said before anything is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from interlock.core.document.tool import Companion, Exercise, Probe, Tool
from interlock.core.model import PRODUCTION, EffectClass, Json, RiskTier
from interlock.core.policy.flaw import Flaws
from interlock.core.reference import Names
from interlock.core.tool import REAL_DELAY


def check_tool(tool: Tool, names: Names, flaws: Flaws) -> None:
    """Check what a tool's entry names: its server, its preview, its undo, its sinks."""
    server, dot, bare = tool.name.partition(".")
    if not (server and dot and bare):
        flaws.at("metadata", "name").add(f"a tool is named server.tool, not {tool.name!r}")
    else:
        names.need("ToolServer", server, names.servers, flaws.at("metadata", "name"))
    _check_companions(tool, names, flaws)
    for index, sink in enumerate(tool.sinks):
        if not sink.startswith("args."):
            flaws.at("spec", "sinks", index).add(f"a sink is an argument: write args.NAME, not {sink!r}")


def _check_companions(tool: Tool, names: Names, flaws: Flaws) -> None:
    if tool.tier is RiskTier.READ_ONLY and tool.effect not in (None, EffectClass.READ):
        flaws.at("spec", "effect").add(f"a read_only tool has the effect read, not {tool.effect}")
    if tool.preview is not None:
        _check_companion(tool.preview, names, flaws.at("spec", "preview"), sources=("args",))
        preview = names.tools.get(tool.preview.tool)
        if preview is not None and not _reads_only(preview):
            flaws.at("spec", "preview", "tool").add("a preview is read_only, and this tool is not")
    if tool.probe is not None:
        _check_probe(tool, tool.probe, names, flaws.at("spec", "probe"))
    if tool.undo is not None:
        _check_companion(tool.undo, names, flaws.at("spec", "undo"), sources=("args", "result"))
    if tool.settlement is not None or tool.follow_up is not None:
        _check_second(tool, names, flaws.at("spec"))
    if tool.exercise is not None:
        _check_exercise(tool, tool.exercise, names, flaws.at("spec", "exercise"))


def _check_probe(tool: Tool, probe: Probe, names: Names, flaws: Flaws) -> None:
    """Check that a probe is a read that can say what became of a call, of a tool that can be probed."""
    asked = Companion(tool=probe.tool, arguments=probe.arguments)
    _check_companion(asked, names, flaws, sources=("args",), whole=("key",))
    found = names.tools.get(probe.tool)
    if found is not None and not _reads_only(found):
        flaws.at("tool").add("a probe is read_only, and this tool is not")
    if tool.effect is not EffectClass.PROBEABLE:
        flaws.add("a probe belongs to a tool of the effect probeable")


def _check_exercise(tool: Tool, exercise: Exercise, names: Names, flaws: Flaws) -> None:
    names.need("ToolServer", exercise.server, names.servers, flaws.at("server"))
    undo = tool.taken_back_by
    if undo is None:
        flaws.add("an exercise tries out an undo, and this tool names none")
    elif undo.tool.partition(".")[0] != tool.name.partition(".")[0]:
        said = "one server stands in for the tool and its undo, so both must be of one server"
        flaws.at("server").add(said)


def _check_second(tool: Tool, names: Names, flaws: Flaws) -> None:
    """Check what makes a reversible call final: one second step, itself final, with time for people (E4)."""
    settlement, follow_up = tool.settlement, tool.follow_up
    if settlement is not None:
        here = flaws.at("settlement")
        _check_companion(settlement.void, names, here.at("void"), sources=("args", "result"))
        _check_step(tool, settlement.confirm, names, here.at("confirm"))
        _check_span(settlement.within, names, here.at("within"))
        if tool.undo is not None or follow_up is not None:
            here.add("what is settled or voided needs neither an undo nor a follow_up beside it")
    if settlement is None and follow_up is not None:
        here = flaws.at("follow_up")
        _check_step(tool, follow_up.call, names, here)
        _check_span(follow_up.after, names, here.at("after"))
        if tool.undo is None:
            here.add("a follow_up makes final what could be undone until then, and this tool names no undo")


def _check_step(tool: Tool, step: Companion, names: Names, flaws: Flaws) -> None:
    _check_companion(step, names, flaws, sources=("args", "result"))
    found = names.tools.get(step.tool)
    if step.tool == tool.name or (found is not None and found.second is not None):
        flaws.at("tool").add("a second step is the last: its tool has neither a follow_up nor a settlement")


def _check_span(seconds: int, names: Names, flaws: Flaws) -> None:
    if seconds < 1:
        flaws.add("people need some time: expected at least 1s")
    elif names.environment == PRODUCTION and seconds < REAL_DELAY:
        flaws.add(f"in production people need at least {REAL_DELAY // 60}m")


def check_circles(tools: Mapping[str, Tool], flaws_of: Mapping[str, Flaws]) -> None:
    """Note each circle that goes through a preview once, at the first of its previewed tools by name.

    Undos may well form one: what removes is undone by what adds. An undo never starts another by itself.
    """
    reported: set[frozenset[str]] = set()
    for name, tool in sorted(tools.items()):
        circle = _circle(name, tool.preview.tool, tools) if tool.preview is not None else []
        if circle and frozenset(circle) not in reported:
            reported.add(frozenset(circle))
            flaws_of[name].at("spec").add(f"a preview runs in a circle: {' -> '.join((*circle, circle[0]))}")


def _circle(start: str, preview: str, tools: Mapping[str, Tool]) -> list[str]:
    """Return the shortest way from a tool through its preview back to itself, or nothing."""
    ways = [[start, preview]]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        if way[-1] == start:
            return way[:-1]
        for following in _follows(tools.get(way[-1])):
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def _follows(tool: Tool | None) -> list[str]:
    if tool is None:
        return []
    return [each.tool for each in (tool.preview, tool.undo) if each is not None]


def _reads_only(tool: Tool) -> bool:
    return tool.mapped and tool.tier is RiskTier.READ_ONLY and tool.effect is EffectClass.READ


def _check_companion(
    companion: Companion,
    names: Names,
    flaws: Flaws,
    *,
    sources: tuple[str, ...],
    whole: tuple[str, ...] = (),
) -> None:
    names.need("Tool", companion.tool, names.tools, flaws.at("tool"))
    for path, value in _texts(companion.arguments, ()):
        root, _, rest = value.removeprefix("$").partition(".")
        named = (root in sources and all(rest.split("."))) or (root in whole and not rest)
        if value.startswith("$") and not value.startswith("$$") and not named:
            known = (*(f"${source}.NAME" for source in sources), *(f"${each}" for each in whole))
            allowed = " or ".join(known)
            flaws.at("arguments", *path).add(f"{value!r} refers to nothing known here: use {allowed}")


def _texts(value: Json, path: tuple[str | int, ...]) -> Iterable[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in cast(Mapping[str, Json], value).items():
            yield from _texts(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(cast(list[Json], value)):
            yield from _texts(each, (*path, index))
