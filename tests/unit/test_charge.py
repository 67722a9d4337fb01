"""The table of endings: what is charged for a call, however it ended (B8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.charge import Ending, charged, with_tools
from interlock.core.conversation import WireFormat
from interlock.core.usage import Usage, UsageSource

REPORTED = Usage(input_uncached=10, output=5)
SEEN = Usage(input_uncached=12, output=7, source=UsageSource.ESTIMATED)


def test_what_the_provider_reports_of_an_answer_is_charged_exactly() -> None:
    assert charged(Ending.ANSWERED, REPORTED, SEEN, complete=True) == REPORTED


def test_an_uncertain_report_is_never_below_what_passed() -> None:
    doubted = replace(REPORTED, source=UsageSource.UNCERTAIN)
    said = charged(Ending.ANSWERED, doubted, SEEN, complete=True)
    assert said is not None
    assert (said.input, said.output, said.source) == (12, 7, UsageSource.UNCERTAIN)


@pytest.mark.parametrize("ending", [Ending.REJECTED, Ending.NOT_SENT])
def test_what_was_refused_before_any_output_costs_nothing(ending: Ending) -> None:
    assert charged(ending, REPORTED, SEEN, complete=True) is None


def test_what_was_sent_and_never_answered_costs_its_input_and_is_flagged() -> None:
    said = charged(Ending.FAILED, None, SEEN, complete=False)
    assert said == Usage(input_uncached=12, source=UsageSource.UNCERTAIN)


@pytest.mark.parametrize("ending", [Ending.ANSWERED, Ending.LEFT, Ending.CUT, Ending.BROKEN])
def test_without_a_report_what_passed_is_charged(ending: Ending) -> None:
    assert charged(ending, None, SEEN, complete=False) == SEEN


@pytest.mark.parametrize("ending", [Ending.LEFT, Ending.CUT, Ending.BROKEN])
def test_an_early_report_is_a_lower_bound_only(ending: Ending) -> None:
    said = charged(ending, REPORTED, SEEN, complete=False)
    assert said is not None
    assert (said.input, said.output, said.source) == (12, 7, UsageSource.UNCERTAIN)


def test_a_caller_who_leaves_after_the_usage_has_come_is_charged_exactly() -> None:
    assert charged(Ending.LEFT, REPORTED, SEEN, complete=True) == REPORTED


SEARCH = {"web_search": 10, "code_execution": 10}


@pytest.mark.parametrize(
    ("form", "source", "told", "wanted"),
    [
        (WireFormat.RESPONSES, UsageSource.PROVIDER, {}, {}),
        (WireFormat.RESPONSES, UsageSource.ESTIMATED, {}, {"web_search": 1, "code_execution": 1}),
        (WireFormat.MESSAGES, UsageSource.PROVIDER, {}, {"code_execution": 1}),
        (WireFormat.CHAT, UsageSource.PROVIDER, {}, {"web_search": 1, "code_execution": 1}),
        (WireFormat.CHAT, UsageSource.PROVIDER, {"web_search": 3}, {"web_search": 3, "code_execution": 1}),
        (
            None,
            UsageSource.PROVIDER,
            {"web_search": 1, "code_execution": 2},
            {"web_search": 1, "code_execution": 2},
        ),
    ],
)
def test_a_tool_of_the_provider_that_nobody_tells_of_counts_once(
    form: WireFormat | None, source: UsageSource, told: dict[str, int], wanted: dict[str, int]
) -> None:
    said = with_tools(Usage(output=1, tools=told, source=source), SEARCH, form)
    assert (said.tools, said.output) == (wanted, 1)


def test_a_tool_that_may_not_run_does_not_count() -> None:
    usage = Usage(output=1)
    assert with_tools(usage, {"web_search": 0}, WireFormat.CHAT) is usage
