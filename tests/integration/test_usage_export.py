"""A provider's export reads the same, whether as CSV or JSON, whoever names the columns."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.reconciliation import Totals
from interlock.errors import UsageError
from interlock.upstream.usage_export import COLUMNS, read_export

DAY = 20_779  # 2026-11-22

OPENAI_USAGE = {
    "object": "page",
    "has_more": False,
    "data": [
        {
            "object": "bucket",
            "start_time": DAY * 86_400,
            "end_time": (DAY + 1) * 86_400,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 1_000,
                    "input_cached_tokens": 800,
                    "output_tokens": 500,
                    "num_model_requests": 5,
                    "model": "gpt-5-2026-08-01",
                    "project_id": None,
                }
            ],
        }
    ],
}
OPENAI_COSTS = {
    "data": [
        {
            "start_time": DAY * 86_400,
            "results": [
                {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-5-2026-08-01, input"},
                {"amount": {"value": 0.02, "currency": "usd"}, "line_item": "gpt-5-2026-08-01, output"},
                {"amount": {"value": 9.99, "currency": "usd"}, "line_item": None},
            ],
        }
    ]
}
ANTHROPIC_USAGE = {
    "data": [
        {
            "starting_at": "2026-11-22T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1_500,
                    "cache_creation": {"ephemeral_1h_input_tokens": 1_000, "ephemeral_5m_input_tokens": 500},
                    "cache_read_input_tokens": 200,
                    "output_tokens": 400,
                    "model": "claude-opus-5",
                }
            ],
        }
    ]
}
ANTHROPIC_COSTS = {
    "data": [
        {
            "starting_at": "2026-11-22T00:00:00Z",
            "results": [{"currency": "USD", "amount": "123.78912", "model": "claude-opus-5"}],
        }
    ]
}
OPENAI_CSV = """start_time_iso,model,input_tokens,input_cached_tokens,output_tokens,num_model_requests
2026-11-22T00:00:00+00:00,gpt-5-2026-08-01,600,500,200,2
2026-11-22T00:00:00+00:00,gpt-5-2026-08-01,400,300,300,3
"""
ANTHROPIC_CSV = """\ufeffusage_date_utc,model,workspace,token_type,cost_usd
2026-11-22,claude-opus-5,Default,input_no_cache,"1,000.25"
2026-11-22,claude-opus-5,Default,output,0.000000001
"""


@pytest.mark.parametrize(
    ("export", "model", "totals"),
    [
        (
            json.dumps(OPENAI_USAGE),
            "gpt-5-2026-08-01",
            Totals(calls=5, input=1_000, cached=800, output=500),
        ),
        (OPENAI_CSV, "gpt-5-2026-08-01", Totals(calls=5, input=1_000, cached=800, output=500)),
        (json.dumps(OPENAI_COSTS), "gpt-5-2026-08-01", Totals(cost=80_000_000)),
        (json.dumps(ANTHROPIC_USAGE), "claude-opus-5", Totals(input=3_200, cached=200, output=400)),
        (json.dumps(ANTHROPIC_COSTS), "claude-opus-5", Totals(cost=1_237_891_200)),
        (ANTHROPIC_CSV, "claude-opus-5", Totals(cost=1_000_250_000_001)),
    ],
)
def test_an_export_says_what_a_day_and_model_used_and_cost(export: str, model: str, totals: Totals) -> None:
    assert read_export(export) == {(DAY, model): totals}


def test_every_column_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/reference/usage-exports.md").read_text()
    assert not [name for names in COLUMNS.values() for name in names if f"`{name}`" not in page]


def test_pages_of_usage_and_of_costs_add_up() -> None:
    together = read_export(json.dumps([OPENAI_USAGE, OPENAI_COSTS]))
    assert together == {
        (DAY, "gpt-5-2026-08-01"): Totals(calls=5, input=1_000, cached=800, output=500, cost=80_000_000)
    }


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ("", "no row"),
        ("a,b\n1,2\n", "no row"),
        ("{", "not JSON"),
        (json.dumps({"data": [], "has_more": True}), "one page of several"),
        ("date,model,cost_usd\n2026-11-22,gpt-5,many\n", "Row 1 has 'many'"),
        ("date,model,cost_usd\nyesterday,gpt-5,1\n", "Row 1 has 'yesterday'"),
        ("date,model,cost,currency\n2026-11-22,gpt-5,1,EUR\n", "not in dollars"),
        ("date,model,input_tokens\n2026-11-22,gpt-5,1e400\n", "where a number belongs"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_row(export: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_export(export)


_cells = st.none() | st.integers() | st.floats() | st.text(max_size=6) | st.dictionaries(st.text(), st.none())
_names = st.sampled_from(["data", "results", *(name for names in COLUMNS.values() for name in names)])
_objects = st.dictionaries(_names, _cells | st.lists(st.dictionaries(_names, _cells), max_size=2), max_size=6)


@given(found=_objects | st.lists(_objects, max_size=3))
def test_no_json_does_more_harm_than_being_refused(found: Any) -> None:
    with suppress(UsageError):
        read_export(json.dumps(found))


@given(text=st.text(max_size=60))
def test_no_text_does_more_harm_than_being_refused(text: str) -> None:
    with suppress(UsageError):
        read_export(f"date,model,cost\n{text}")
