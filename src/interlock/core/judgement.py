"""What a change of each field does to authority: the table that `core.authority` goes by (A3, invariant 3).

A field that is not in the table widens whenever it changes. More money, a later kill, another address or
credential, one more model: each widens. What only tells people something does neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from interlock.core import merge
from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.provider import (
    DeclaredPrice,
    DeclaredRates,
    Provider,
    ProviderCredentials,
    ProviderModel,
)
from interlock.core.document.rule import Hours, Policy, Rule
from interlock.core.document.runbook import Runbook
from interlock.core.document.spending import Budget, Degraded, Models
from interlock.core.document.tool import BlastRadius, Credentials, FollowUp, Settlement, Tool, ToolServer
from interlock.core.document.workflow import Approvals, Autonomy, BreakerLimits, Grant, Webhook, Workflow
from interlock.core.merge import NARROWS, NEITHER, WIDENS, Change, Direction, Merge, Merged
from interlock.core.model import AtEnd, OnHard, Source
from interlock.core.model_route import ANY


def record(old: Any, new: Any) -> Merged:
    """Merge two records of one type by the table."""
    return merge.record(old, new, FIELDS.get(cast("type[object]", type(old)), {}))


def _hours(old: Hours | None, new: Hours | None) -> Direction:
    if new is None or old is None:
        return NARROWS if new is None else WIDENS
    shorter = set(new.days) <= set(old.days) and new.start >= old.start and new.end <= old.end
    return NARROWS if shorter and new.tz == old.tz else WIDENS


def _money(nano: int) -> str:
    whole, part = divmod(nano, 1_000_000_000)
    return f"{whole}.{f'{part:09d}'.rstrip('0'):0<2} USD"


def _rate(pico: int) -> str:
    return f"{_money(pico * 1_000)} per million tokens"


def _seconds(value: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}s"


def _removed(_old: Any, new: Any) -> Direction:
    return NARROWS if new is None else WIDENS


def _follow_up(said: FollowUp | None) -> str:
    if said is None:
        return "nothing"
    return f"{said.tool} {_seconds(said.after)} later, once a person confirms it"


def _settlement(said: Settlement | None) -> str:
    if said is None:
        return "nothing"
    within = f"{_seconds(said.within)}, else {said.void.tool}"
    return f"{said.confirm.tool} once a person confirms it within {within}"


def _percent(points: int) -> str:
    return f"{points / 100:g}%"


def _threshold(per_mille: int) -> str:
    return _percent(per_mille * 10)


_ON_HARD = tuple(OnHard)
_SERVER_TOOLS = ("keep", "limit", "remove")


def _on_hard(old: OnHard, new: OnHard) -> Direction:
    """Refusing is stricter than degrading, and degrading a little stricter than degrading all the way."""
    return NARROWS if _ON_HARD.index(new) < _ON_HARD.index(old) else WIDENS


def _allow(old: tuple[str, ...], new: tuple[str, ...]) -> Merged:
    """Merge the models a workflow may call by name; with "*" it may call all, and the others add nothing."""
    if ANY in old and ANY in new:
        return new, [Change("", "models named beside every model changed", NEITHER)]
    if ANY in old:
        return new, [Change("", f"every model narrowed to {', '.join(new) or 'no other model'}", NARROWS)]
    return merge.names("model")(old, new)


def _price(old: DeclaredPrice | None, new: DeclaredPrice | None) -> Merged:
    """Merge prices that override the list; whether the list is dearer cannot be told here."""
    if old is None or new is None:
        words = "price stated" if old is None else "price left to the list"
        return old, [Change("", words, WIDENS)]
    return record(old, new)


def _dearer(old: int | None, new: int | None) -> Direction:
    """A higher rate uses a budget up sooner. A rate that is not said follows another one."""
    return NARROWS if old is not None and new is not None and new > old else WIDENS


def _webhook(old: Webhook | None, new: Webhook | None) -> Merged:
    """Merge where outcomes are told: another place, or another key, is for somebody to look at."""
    if old is None or new is None:
        if new is None:
            return new, [Change("", f"outcomes no longer told to {old.url if old else ''}", NARROWS)]
        return old, [Change("", f"outcomes told to {new.url}", WIDENS)]
    return record(old, new)


def _server_tools(old: str, new: str) -> Direction:
    return NARROWS if _SERVER_TOOLS.index(new) > _SERVER_TOOLS.index(old) else WIDENS


def _expiry(old: int | None, new: int | None) -> Direction:
    return NARROWS if old is None or (new is not None and new < old) else WIDENS


def _source(old: Source, new: Source) -> Direction:
    return NARROWS if old is Source.INTERNAL and new is not Source.INTERNAL else WIDENS


def _stricter(old: Any, new: Any) -> Direction:
    return NARROWS if new.rank > old.rank else WIDENS


def _asked(old: bool | str, new: bool | str) -> Direction:
    """Judge whom tool servers may ask: nobody, people who do not hold the run, the client's own user."""
    rank = (False, "people", True)
    return WIDENS if rank.index(new) > rank.index(old) else NARROWS


def _neither(_old: Any, _new: Any) -> Direction:
    return NEITHER


FIELDS: Mapping[type, Mapping[str, Merge]] = {
    Person: {"roles": merge.names("role"), "channels": merge.value("channels", _neither)},
    Team: {
        "members": merge.names("member", keep_one=True),
        "rota": merge.value("rota", lambda _old, new: NARROWS if new is None else WIDENS),
        "budget": merge.inside("budget", record, absent=WIDENS),
    },
    Rotation: {
        "members": merge.names("member", keep_one=True),
        **{name: merge.value(name, _neither) for name in ("tz", "first", "hour", "every")},
    },
    ToolServer: {
        "credentials": record,
        "source": merge.value("source", _source),
        "stateless": merge.allowed("sharing one connection between agents"),
    },
    Credentials: {"expires": merge.value("expiry", _expiry)},
    Tool: {
        "blast_radius": merge.inside("map entry", record, absent=NARROWS),
        "undo": merge.value("undo", _removed),
        "follow_up": merge.value("follow-up", _removed, _follow_up),
        "settlement": merge.value("settlement", _removed, _settlement),
        "sinks": merge.guards("sink"),
        "cost_per_call": merge.higher("cost per call", _money),
    },
    BlastRadius: {"widest_scope": merge.text("widest scope"), "impact": merge.text("impact")},
    Agent: {
        "budget": merge.inside("budget", record, absent=WIDENS),
        "purpose": merge.text("purpose"),
        "review_every": merge.lower("review interval", _seconds),
    },
    Organisation: {
        "budget": merge.inside("budget", record, absent=WIDENS),
        "keep_originals": merge.value("time that originals are kept", _neither),
    },
    Provider: {
        "wire_formats": merge.names("wire format", keep_one=True),
        "models": merge.keyed("model", lambda model: model.name, record, added=WIDENS),
        "credentials": record,
        "timeouts": merge.value("timeouts", _neither),
        "concurrency": merge.lower("calls at once"),
        "usage_in_stream": merge.value("usage in streams", _neither),
        "fallbacks": merge.entries("fallback of"),
        "drain": merge.value("seconds of draining", _neither),
    },
    ProviderCredentials: {"expires": merge.value("expiry", _expiry)},
    ProviderModel: {
        "price": _price,
        "ceiling": merge.inside("ceiling price", record, absent=NARROWS),
        "window": merge.lower("context window"),
        "max_output": merge.lower("largest answer"),
    },
    DeclaredPrice: {"rates": record},
    DeclaredRates: {
        "input": merge.higher("price of input", _rate),
        "output": merge.higher("price of output", _rate),
        "cache_read": merge.value("price of cache reads", _dearer),
        "cache_write_5m": merge.value("price of cache writes for 5 minutes", _dearer),
        "cache_write_1h": merge.value("price of cache writes for an hour", _dearer),
        "reasoning": merge.value("price of reasoning", _dearer),
    },
    Runbook: {
        "owner": merge.value("owner", _neither),
        "baseline": merge.text("baseline"),
        "failure_modes": merge.text("failure modes"),
        "escalation": merge.value("escalation", _neither),
        "rollback": merge.text("rollback"),
    },
    Workflow: {
        "tools": merge.keyed("tool", lambda grant: grant.tool, record, added=WIDENS),
        "resources": merge.names("resource"),
        "prompts": merge.names("prompt"),
        "sampling": merge.allowed("sampling"),
        "elicitation": merge.value("elicitation", _asked),
        "completion": merge.allowed("completion"),
        "scope": merge.scope,
        "rules": merge.keyed("rule", lambda rule: rule.id, record, added=NARROWS),
        "models": record,
        "budget": merge.inside("budget", record, absent=WIDENS),
        "breaker": record,
        "approvals": record,
        "autonomy": record,
        "runbook": merge.value("runbook", _neither),
        "customer": merge.value("customer label", _neither),
        "compression": merge.value("compression of tool results", _neither),
        "webhook": _webhook,
    },
    Models: {
        "pin": merge.entries("model pinned as"),
        "degrade": merge.entries("degradation of"),
        "allow": _allow,
        "output_cap": merge.lower("tokens of an answer"),
        "degraded": record,
    },
    Degraded: {
        "output_cap": merge.lower("tokens of a degraded answer"),
        "server_tools": merge.value("tools of the provider, when degraded,", _server_tools),
        "flex": merge.value("slow tier, when degraded,", _neither),
        "tell": merge.value("telling the model to finish", _neither),
    },
    Policy: {"rules": merge.keyed("rule", lambda rule: rule.id, record, added=NARROWS)},
    Grant: {"where": merge.where, "max_calls": merge.lower("calls a run")},
    Rule: {
        "tool": merge.value("tool", lambda _old, new: NARROWS if new == "*" else WIDENS),
        "when": merge.when,
        "unless_hours": merge.value("hours without it", _hours),
        "then": merge.value("verdict", _stricter),
        "examples": merge.value("examples", _neither),
    },
    Budget: {
        "run": merge.lower("budget of a run", _money),
        "hour": merge.lower("budget of an hour", _money),
        "day": merge.lower("budget of a day", _money),
        "month": merge.lower("budget of a month", _money),
        "soft": merge.lower("soft threshold", _threshold),
        "hard": merge.lower("hard threshold", _threshold),
        "kill": merge.lower("kill threshold", _threshold),
        "on_hard": merge.value("what the hard limit does", _on_hard),
        "shadow": merge.allowed("shadow mode, which stops nothing,"),
        "strict": merge.value("strict holds", lambda _old, new: NARROWS if new else WIDENS),
    },
    BreakerLimits: {
        "tool_failures": merge.lower("failures until the breaker trips"),
        "identical_calls": merge.lower("identical calls until the breaker trips"),
        "quality_floor": merge.higher("quality floor", _percent),
        "quality_runs": merge.lower("low runs in a row until the breaker trips"),
    },
    Autonomy: {
        "confidence_floor": merge.higher("confidence floor of a write", _percent),
        "familiar_after": merge.higher("clean trials until a tool is familiar"),
    },
    Approvals: {
        "approvers": merge.names("approver", keep_one=True),
        "fallback": merge.names("fallback approver"),
        "escalation": merge.names("escalation"),
        "sla": merge.value("sla", _neither),
        "reminder": merge.value("reminder", _neither),
        "at_end": merge.value("at_end", lambda _old, new: WIDENS if new is AtEnd.PARK else NARROWS),
        "four_eyes": merge.guards("tier that two people approve"),
        "expire_after": merge.lower("time until a waiting call expires", _seconds),
    },
}
