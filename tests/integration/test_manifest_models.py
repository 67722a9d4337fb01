"""Providers, runbooks, budgets and models as they are written: what is read, and what is refused where."""

# ruff: noqa: E501 - a golden message is one line

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from interlock.core.document.identity import Organisation
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import DeclaredRates, Provider, Timeouts
from interlock.core.document.runbook import Baseline, Runbook
from interlock.core.document.spending import Compression, Customer, Degraded, Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import Ability, OnHard, Shortening, WireFamily
from interlock.errors import ManifestError
from interlock.manifest import Source, read_manifest
from interlock.manifest.quantity import json_value
from interlock.manifest.schema import json_schema
from interlock.manifest.tree import parse
from interlock.store.documents import decode, encode

GOOD = """\
apiVersion: interlock/v1
kind: Provider
metadata: {name: openai}
spec:
  base_url: https://api.openai.com/v1
  wire_format: openai
  credentials: {api_key: "secret://env/OPENAI_API_KEY", owner: maria, expires: 2027-06-30}
  models:
    - name: gpt-5.5
      price: {input: 1.25, output: 10, cache_read: 0.125, tools: {web_search: 0.01}, tiers: [{above: 200000, input: 2.50, output: 15}]}
      window: 400000
      max_output: 128000
      abilities: [tools, vision, structured, reasoning]
      regions: [us]
    - {name: gpt-5.5-mini, ceiling: {input: 5, output: 20}}
  timeouts: {connect: 5s, idle: 1m}
  concurrency: 64
  fallbacks: {gpt-5.5: [azure/gpt-5.5]}
  drain: 0s
---
apiVersion: interlock/v1
kind: Runbook
metadata: {name: refunds}
spec:
  owner: maria
  baseline: {success_rate: 99%, latency: 800ms, cost_per_run: 0.05, runs_per_hour: 40}
  failure_modes:
    - {name: runaway, symptoms: cost rises, first_action: look, escalate_when: it goes on}
  escalation: [deng]
  rollback: apply the last version
---
apiVersion: interlock/v1
kind: Organisation
metadata: {name: acme}
spec: {budget: {month: 10000, soft: 62.5%, kill: 200%, on_hard: never, shadow: true, strict: true, route: [maria]}, keep_originals: 14d}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: refunds}
spec:
  agent: refund-bot
  owner: maria
  models:
    pin: {main: gpt-5.5}
    allow: ["openai/*"]
    degrade: {gpt-5.5: gpt-5.5-mini}
    output_cap: 8000
    degraded: {output_cap: 500, server_tools: remove, flex: true, tell: false}
  budget: {run: 2.00, hour: 0.000000001}
  customer: {header: x-customer}
  compression:
    - {tool: crm.lookup, above: 16KiB, to: 2KiB, how: summarise, model: gpt-5.5-mini}
    - {tool: "*", above: 1MiB, to: 4096}
"""


def read(text: str) -> tuple[AnyDocument, ...]:
    return read_manifest([Source(name="m.yaml", text=text)]).documents


def refused(text: str) -> list[str]:
    """Return the problems for which a text is refused, without regard to what it names."""
    with pytest.raises(ManifestError) as caught:
        read(text)
    problems: Any = caught.value.problems
    return [str(each) for each in problems]


def document(kind: str, spec: str) -> str:
    return f"apiVersion: interlock/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"


def test_a_provider_is_read_with_prices_as_integers() -> None:
    provider = read(GOOD)[0]
    assert isinstance(provider, Provider)
    assert provider.wire_formats == (WireFamily.OPENAI,)
    assert provider.credentials.api_key == "secret://env/OPENAI_API_KEY"
    assert provider.timeouts == Timeouts(connect=5, first_byte=600, idle=60)
    assert (provider.concurrency, provider.drain, provider.usage_in_stream) == (64, 0, True)
    assert provider.fallbacks == {"gpt-5.5": ("azure/gpt-5.5",)}
    large, mini = provider.models
    assert large.price is not None
    assert large.price.rates == DeclaredRates(input=1_250_000, output=10_000_000, cache_read=125_000)
    assert [(tier.above, tier.rates.input) for tier in large.price.tiers] == [(200_000, 2_500_000)]
    assert large.price.tools == {"web_search": 10_000_000_000}
    assert large.abilities == tuple(Ability)
    assert (mini.price, mini.abilities, mini.window) == (None, None, None)
    assert mini.ceiling is not None
    assert mini.ceiling.rates.input == 5_000_000


def test_a_runbook_an_organisation_and_what_a_workflow_may_spend_are_read() -> None:
    _, runbook, organisation, flow = read(GOOD)
    assert isinstance(runbook, Runbook)
    assert runbook.missing == ()
    assert runbook.baseline == Baseline(
        success_rate=9_900, latency=800_000, cost_per_run=50_000_000, runs_per_hour=40
    )
    assert isinstance(organisation, Organisation)
    assert organisation.keep_originals == 14 * 86_400
    limits = organisation.budget
    assert limits is not None
    assert (limits.month, limits.soft, limits.hard, limits.kill) == (10_000 * 10**9, 625, 1_000, 2_000)
    assert (limits.on_hard, limits.shadow, limits.strict) == (OnHard.NEVER, True, True)
    assert limits.route == ("maria",)
    assert isinstance(flow, Workflow)
    assert flow.models == Models(
        pin={"main": "gpt-5.5"},
        allow=("openai/*",),
        degrade={"gpt-5.5": "gpt-5.5-mini"},
        output_cap=8_000,
        degraded=Degraded(output_cap=500, server_tools="remove", flex=True, tell=False),
    )
    assert flow.budget is not None
    assert (flow.budget.run, flow.budget.hour) == (2_000_000_000, 1)
    assert flow.customer == Customer(header="x-customer")
    assert flow.compression == (
        Compression(
            tool="crm.lookup", above=16_384, to=2_048, how=Shortening.SUMMARISE, model="gpt-5.5-mini"
        ),
        Compression(tool="*", above=1_048_576, to=4_096),
    )


def test_what_is_read_is_what_the_store_gives_back() -> None:
    declared = read(GOOD)
    assert decode(encode(declared))[0] == declared


def test_a_provider_may_speak_both_wire_formats() -> None:
    spec = "{base_url: 'http://127.0.0.1:8000/v1', wire_format: [openai, anthropic], models: [{name: m}]}"
    [provider] = read(document("Provider", spec))
    assert isinstance(provider, Provider)
    assert provider.wire_formats == (WireFamily.OPENAI, WireFamily.ANTHROPIC)


def test_the_schema_accepts_the_new_kinds_and_refuses_what_is_wrong_with_them() -> None:
    validator = jsonschema_rs.validator_for(json.loads(json.dumps(json_schema())))
    for node in parse("m", GOOD):
        assert validator.is_valid(json_value(node.plain()))
    for kind, spec in (("Provider", "{base_url: x}"), ("Organisation", "{budget: {soft: 70}}")):
        [node] = parse("m", document(kind, spec))
        assert not validator.is_valid(json_value(node.plain()))


PROVIDER = "{base_url: 'https://x/v1', wire_format: openai, models: [{name: m%s}]%s}"

GOLDEN: list[tuple[str, str]] = [
    (
        document("Provider", "{base_url: 'https://user:pw@x/v1', wire_format: opnai, models: []}"),
        "m.yaml:4:18: spec.base_url: expected a URL such as https://api.openai.com/v1, without user, query or fragment, not what stands here\n"
        "m.yaml:4:55: spec.wire_format[0]: expected openai or anthropic, not 'opnai' (did you mean 'openai'?)\n"
        "m.yaml:4:70: spec.models: list should have at least 1 item after validation, not 0",
    ),
    (
        document("Provider", PROVIDER % ("", ', credentials: {api_key: "secret://env/K"}')),
        "m.yaml:4:89: spec.credentials: static credentials need an owner and an expires date, not what stands here",
    ),
    (
        document("Provider", PROVIDER % ("", ", credentials: {api_key: sk-4711}")),
        "m.yaml:4:99: spec.credentials.api_key: expected a reference such as secret://env/NAME; a secret never stands in a manifest, not what stands here",
    ),
    (
        document("Provider", PROVIDER % (", price: {input: 0.0000001}", "")),
        "m.yaml:4:89: spec.models[0].price.input: expected dollars per million tokens such as 2.50, with at most 6 digits after the point, not '1E-7'",
    ),
    (
        document("Provider", PROVIDER % (", price: {imput: 1}", "")),
        "m.yaml:4:81: spec.models[0].price.input: required and missing\n"
        "m.yaml:4:82: spec.models[0].price.imput: unknown field (did you mean 'input'?)",
    ),
    (
        document(
            "Provider",
            PROVIDER % (", price: {input: 1, tiers: [{above: 9, input: 1}, {above: 9, input: 2}]}", ""),
        ),
        "m.yaml:4:81: spec.models[0].price: expected tiers in rising order of above, not this mapping",
    ),
    (
        document("Provider", PROVIDER % (", abilities: [vison]", ", timeouts: {idle: 0s}")),
        "m.yaml:4:86: spec.models[0].abilities[0]: expected tools, vision, structured or reasoning, not 'vison' (did you mean 'vision'?)\n"
        "m.yaml:4:106: spec.timeouts: expected each timeout to be at least 1s, not this mapping",
    ),
    (
        document("Runbook", "{baseline: {latency: 3}, failure_modes: [{name: a, symptoms: b}]}"),
        "m.yaml:4:28: spec.baseline.latency: expected a duration such as 800ms, 45s or 2m, not '3'\n"
        "m.yaml:4:48: spec.failure_modes[0].first_action: required and missing\n"
        "m.yaml:4:48: spec.failure_modes[0].escalate_when: required and missing",
    ),
    (
        document("Organisation", "{budget: {kill: 250%, currency: EUR}}"),
        "m.yaml:4:39: spec.budget.currency: expected USD, not 'EUR'",
    ),
    (
        document("Organisation", "{budget: {kill: 250%}}"),
        "m.yaml:4:16: spec.budget: expected kill between 100% and 200%, not this mapping",
    ),
    (
        document("Organisation", "{budget: {hard: 60%, kill: 90%, soft: 5%}}"),
        "m.yaml:4:16: spec.budget: expected kill between 100% and 200%, not this mapping",
    ),
    (
        document("Organisation", "{budget: {soft: 70.25%}}"),
        "m.yaml:4:23: spec.budget.soft: expected a percentage with at most one digit after the point, not '70.25%'",
    ),
    (
        document("Organisation", "{budget: {on_hard: neve}}"),
        "m.yaml:4:26: spec.budget.on_hard: expected never, soft or full, not 'neve' (did you mean 'never'?)",
    ),
    (
        document("Workflow", "{agent: a, owner: m, customer: {}}"),
        "m.yaml:4:38: spec.customer: expected a header or a value, not this mapping",
    ),
    (
        document("Workflow", "{agent: a, owner: m, customer: {header: Authorization}}"),
        "m.yaml:4:38: spec.customer: expected a header that holds no secret, not this mapping",
    ),
    (
        document(
            "Workflow",
            '{agent: a, owner: m, compression: [{tool: "*", above: 1k, to: 1}, {tool: "*", above: 1, to: 2}]}',
        ),
        "m.yaml:4:61: spec.compression[0].above: expected a size such as 16KiB, or a number of bytes, not '1k'\n"
        "m.yaml:4:73: spec.compression[1]: expected to between 1 and above, not this mapping",
    ),
    (
        document(
            "Workflow", '{agent: a, owner: m, compression: [{tool: "*", above: 2, to: 1, how: summarise}]}'
        ),
        "m.yaml:4:42: spec.compression[0]: summarise needs a model, and truncate takes none, not this mapping",
    ),
    (
        document("Person", "{email: a@example.com, channels: {webhook: nowhere}}"),
        "m.yaml:4:7: spec: expected channels.webhook to be a URL, not this mapping",
    ),
    (
        document("Person", "{email: a@example.com, channels: {webhook_key: hunter2}}"),
        "m.yaml:4:7: spec: expected channels.webhook_key to be a reference such as secret://env/NAME, not this mapping",
    ),
]


@pytest.mark.parametrize(("text", "message"), GOLDEN, ids=range(len(GOLDEN)))
def test_a_problem_is_said_with_its_place(text: str, message: str) -> None:
    assert "\n".join(refused(text)) == message
