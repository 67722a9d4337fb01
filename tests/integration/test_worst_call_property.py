"""Whatever schema a tool has and whatever its grant asks for: the printed worst call passes both (A4)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.document.tool import BlastRadius
from interlock.core.document.workflow import Grant
from interlock.core.model import RiskTier
from interlock.core.trial import Trial, ask
from interlock.core.worst import WorstCall, report
from interlock.services.register import schema_check
from support.policies import NOW, a_bundle, a_tool, a_workflow

TOOL, FLOW = "crm.update", "refunds"
Schema = dict[str, Any]

PATTERNS = (
    r"^T-[0-9]+$",
    r"^[A-Z]{3}$",
    r"^(EUR|USD|GBP)$",
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}$",
    r"^https?://[^\s/]+/.*$",
    r"^\+?[1-9]\d{1,14}$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    r"^(?:a|b(?:c|d))+$",
    r"^[\w.-]+$",
    r"^(?P<year>\d{4})-Q[1-4]$",
    r"^.{3,10}$",
    r"\S",
    r"^[^a-z]*$",
    r"^[\]\-x]+$",
    r"^#?([a-fA-F0-9]{6}|[a-fA-F0-9]{3})$",
    r"^arn:aws:[a-z0-9]+:[a-z0-9-]*:[0-9]{12}:.+$",
    r"^v(0|[1-9]\d*)\.(0|[1-9]\d*)$",
    r"^\p{L}+$",
    r"(?i)^order-\d+$",
)
FORMATS = ("date", "date-time", "email", "uuid", "uri", "ipv4", "hostname", "made-up")


def texts() -> st.SearchStrategy[Schema]:
    """Schemas of texts; a length is asked for only where the pattern leaves one open."""
    lengths = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 8), "maxLength": st.integers(8, 12)},
    )
    patterns = st.sampled_from(PATTERNS).map(lambda each: {"type": "string", "pattern": each})
    longer = st.integers(1, 9).map(lambda n: {"type": "string", "pattern": r"^T-[0-9]+$", "minLength": n})
    formats = st.sampled_from(FORMATS).map(lambda each: {"type": "string", "format": each})
    return st.one_of(lengths, patterns, longer, formats)


def numbers() -> st.SearchStrategy[Schema]:
    """Schemas of numbers that some number meets."""
    bounds = st.tuples(st.integers(-1000, 1000), st.integers(60, 5000), st.sampled_from((1, 2, 7, 60)))
    whole = bounds.map(
        lambda of: {"type": "integer", "minimum": of[0], "maximum": of[0] + of[1], "multipleOf": of[2]}
    )
    open_ended = st.sampled_from(
        (
            {"type": "integer"},
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "number", "minimum": 0, "maximum": 0.5},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"type": "number", "multipleOf": 0.01, "maximum": 99.99},
            {"type": "integer", "maximum": -1},
        )
    )
    return st.one_of(whole, open_ended)


def enums() -> st.SearchStrategy[Schema]:
    values = st.lists(st.sampled_from(("all", "pro", "free", 1, 2, None, True)), min_size=1, unique_by=repr)
    return values.map(lambda each: {"enum": each})


def compound(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    arrays = st.tuples(inner, st.integers(0, 3)).map(
        lambda of: {"type": "array", "items": of[0], "minItems": of[1], "maxItems": of[1] + 2}
    )
    distinct = st.integers(1, 3).map(
        lambda n: {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": n, "uniqueItems": True}
    )
    objects = st.dictionaries(st.sampled_from(("a", "b")), inner, min_size=1).map(
        lambda each: {
            "type": "object", "properties": each, "required": sorted(each), "additionalProperties": False
        }
    )  # fmt: skip
    choices = st.lists(inner, min_size=1, max_size=2).map(lambda each: {"anyOf": [*each, {"type": "null"}]})
    merged = inner.map(lambda each: {"allOf": [each, {"description": "the same"}]})
    return st.one_of(arrays, distinct, objects, choices, merged)


def values() -> st.SearchStrategy[Schema]:
    return st.recursive(st.one_of(texts(), numbers(), enums()), compound, max_leaves=4)


RADIUS = BlastRadius(widest_scope="one", impact="money", reversible="none")


def worst(where: dict[str, Any], schema: Schema, radius: BlastRadius = RADIUS) -> WorstCall:
    """Return the worst call, once it is made sure that it passes the schema and the decision itself."""
    tool = a_tool(tier=RiskTier.HIGH_BLAST_RADIUS, blast_radius=radius)
    found = a_bundle(a_workflow(Grant(tool=TOOL, where=where)), tools=(tool,))
    check = schema_check(schema)
    [call] = report(found, found.workflows[FLOW], NOW, schemas={TOOL: schema}, checks={TOOL: check}).calls
    assert call.valid, (call.arguments, call.because)
    assert check(call.arguments) is None
    trial = Trial(workflow=FLOW, tool=TOOL, arguments=call.arguments, now=NOW)
    assert ask(found, trial, check=check).verdict is call.verdict
    return call


@given(given=st.dictionaries(st.sampled_from("abcd"), values(), max_size=3))
def test_a_worst_call_meets_every_schema_that_can_be_met(given: dict[str, Schema]) -> None:
    schema = {
        "type": "object", "properties": given, "required": sorted(given), "additionalProperties": False
    }  # fmt: skip
    assert set(worst({}, schema).arguments) == set(given)


@given(
    most=st.integers(60, 5000),
    step=st.sampled_from((1, 5, 7, 60)),
    least=st.integers(-100, 0),
    operator=st.sampled_from(("le", "lt")),
)
def test_a_worst_amount_is_the_largest_that_grant_and_schema_both_allow(
    most: int, step: int, least: int, operator: str
) -> None:
    amount = {"type": "integer", "minimum": least, "multipleOf": step}
    schema = {"type": "object", "properties": {"amount": amount}, "required": ["amount"]}
    allowed = most - (operator == "lt")
    assert worst({"args.amount": {operator: most}}, schema).arguments == {"amount": allowed // step * step}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(("EUR", "USD", "GBP", "CHF")), min_size=1, unique=True))
def test_a_worst_choice_is_one_that_grant_and_schema_share(granted: list[str]) -> None:
    currency = {"enum": ["SEK", *sorted(granted, reverse=True)[:1], "NOK"]}
    schema = {"type": "object", "properties": {"currency": currency}, "required": ["currency"]}
    call = worst({"args.currency": {"in": granted}}, schema)
    assert call.arguments["currency"] in granted


@settings(max_examples=30)
@given(most=st.integers(1, 10_000), usual=st.integers(1, 10_000))
def test_what_a_schema_suggests_or_leaves_out_makes_no_call_look_smaller(most: int, usual: int) -> None:
    amount = {"type": "integer", "minimum": 1, "maximum": most, "default": min(usual, most)}
    optional = {"type": "object", "properties": {"amount": amount}}
    radius = BlastRadius(widest_scope="one", impact="money", reversible="none", money="$args.amount")
    for schema in (optional, {**optional, "required": ["amount"]}):
        assert worst({}, schema, radius).arguments == {"amount": most}
