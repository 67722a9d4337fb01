"""A preview's answer is either clearly a measure or worth nothing; reach never shrinks by doubt (A1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.reach import NotMeasured, fill, grew, happened, numbers, of_call, read

few = settings(max_examples=60)
scalars = st.one_of(st.booleans(), st.integers(0, 2**40), st.text(max_size=8))
reaches = st.dictionaries(st.sampled_from(["records", "recipients", "kind", "eu"]), scalars, max_size=4)


def text(value: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def structured(value: object) -> dict[str, Any]:
    return {"content": [], "structuredContent": value}


def test_references_stand_for_the_arguments_of_the_call() -> None:
    declared = {
        "segment": "$args.segment",
        "deep": {"list": ["$args.who.name", 5]},
        "price": "$$5",
        "all": True,
    }
    args = {"segment": "pro", "who": {"name": "kim"}}
    filled = {"segment": "pro", "deep": {"list": ["kim", 5]}, "price": "$5", "all": True}
    assert fill(declared, args) == filled


@pytest.mark.parametrize("args", [{}, {"who": "kim"}, {"who": {"nam": "kim"}}])
def test_what_the_call_does_not_have_cannot_be_asked_for(args: dict[str, Any]) -> None:
    with pytest.raises(NotMeasured, match=r"^the call has no args\.who\.name$"):
        fill({"name": "$args.who.name"}, args)


@pytest.mark.parametrize(
    "answer",
    [
        {"recipients": 12},
        {"records": 0, "recipients": 3, "money": 12.5, "services": 2},
        {"services": ["mail", "billing"]},
        {"result": 7, "eu": True, "region": "eu-west", "delta": -1},
    ],
)
def test_measures_are_read_from_structured_content_or_from_one_json_text(answer: dict[str, Any]) -> None:
    assert read(structured(answer)) == read(text(answer)) == answer


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("$args.cents", 200),
        ("$args.who.cents", 7),
        ("$args.nothing", "$args.nothing"),
        ("$args.gone", "$args.gone"),
        (5, 5),
        ("all", "all"),
    ],
)
def test_a_declared_measure_is_that_of_the_call_where_the_call_says_it(measure: Any, said: Any) -> None:
    assert of_call(measure, {"cents": 200, "who": {"cents": 7}, "nothing": None}) == said


def test_what_says_nothing_about_reach_is_left_out() -> None:
    answer = {"recipients": 1, "sample": ["a@example.com"], "note": "x" * 101, "next": None, "page": {"n": 1}}
    assert read(structured(answer)) == {"recipients": 1}


def test_structured_content_goes_before_text() -> None:
    assert read({**text({"recipients": 1}), "structuredContent": {"recipients": 9}}) == {"recipients": 9}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"recipients": -1}, "its recipients is no such measure"),
        ({"recipients": True}, "its recipients is no such measure"),
        ({"records": "12"}, "its records is no such measure"),
        ({"money": None, "records": 1}, "its money is no such measure"),
        ({"money": float("nan")}, "its money is no such measure"),
        ({"money": float("inf")}, "its money is no such measure"),
        ({"records": 2**63}, "its records is no such measure"),
        ({"records": 10**400}, "its records is no such measure"),
        ({"services": -1}, "its services is no such measure"),
        ({"services": ["a", 5]}, "its services is no such measure"),
        ({"services": ["a"] * 33}, "its services is no such measure"),
        ({}, "its answer measures nothing"),
        ({"rows": []}, "its answer measures nothing"),
        ({str(number): number for number in range(33)}, "its answer is too large to be a measure"),
    ],
)
def test_nonsense_measures_nothing(answer: dict[str, Any], problem: str) -> None:
    with pytest.raises(NotMeasured) as caught:
        read(structured(answer))
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"content": "12"},
        {"content": []},
        {"content": [5]},
        {"content": [{"type": "image", "data": "", "mimeType": "image/png"}]},
        {"content": [*text({"recipients": 1})["content"], *text({"recipients": 9})["content"]]},
        {"content": [*text({"recipients": 1})["content"], 5]},
        text("twelve"),
        text([12]),
        text('{"recipients": 1, "recipients": 9}'),
        text('{"recipients": NaN}'),
        text("\ud800"),
        {**text({"recipients": 1}), "structuredContent": [1]},
    ],
)
def test_an_answer_that_is_not_one_object_measures_nothing(payload: dict[str, Any]) -> None:
    with pytest.raises(NotMeasured, match="not an object"):
        read(payload)


def test_a_text_too_long_for_a_measure_is_not_even_parsed() -> None:
    with pytest.raises(NotMeasured, match="too large"):
        read(text({"note": "x" * 20_000, "recipients": 1}))


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        (None, None, False),
        (None, {"recipients": 9}, False),
        ({"recipients": 9}, None, True),
        ({"recipients": 9}, {"recipients": 9}, False),
        ({"recipients": 9}, {"recipients": 8.5}, False),
        ({"recipients": 9}, {"recipients": 10}, True),
        ({"recipients": 9, "records": 1}, {"recipients": 1, "records": 2}, True),
        ({"recipients": 9}, {}, True),
        ({}, {"recipients": 0}, True),
        ({"region": "eu"}, {"region": "world"}, True),
        ({"region": "eu"}, {"region": "eu"}, False),
        ({"eu": True}, {"eu": 1}, True),
        ({"services": ["a"]}, {"services": ["a", "b"]}, True),
    ],
)
def test_reach_grows_by_more_by_other_and_by_doubt(before: Any, now: Any, grown: bool) -> None:
    assert grew(before, now) is grown


@few
@given(reaches, reaches)
def test_reach_that_did_not_grow_is_no_larger_anywhere(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert not grew(before, dict(before))
    if not grew(before, now):
        assert before.keys() == now.keys()
        assert all(now[name] <= before[name] for name in now)


@few
@given(st.recursive(st.one_of(st.none(), scalars, st.floats()), lambda inner: st.lists(inner, max_size=3)))
def test_reading_an_answer_either_measures_or_says_that_it_does_not(value: Any) -> None:
    try:
        found = read(structured({"recipients": value, "kind": value}))
    except NotMeasured:
        return
    assert found["recipients"] >= 0


def test_texts_are_not_kept_where_an_argument_could_be_among_them() -> None:
    assert numbers({"recipients": 3, "eu": True, "region": "eu", "services": ["a"]}) == {
        "recipients": 3,
        "eu": True,
    }


def test_a_probe_is_asked_by_the_calls_key_which_is_no_argument() -> None:
    declared = {"key": "$key", "in": [{"key": "$key"}], "own": "$args.key", "plain": "$$key"}
    assert fill(declared, {"key": "theirs"}, key="ours") == {
        "key": "ours", "in": [{"key": "ours"}], "own": "theirs", "plain": "$key",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"happened": True}, True),
        ({"happened": "pay_1"}, True),
        ({"happened": [1]}, True),
        ({"happened": False}, False),
        ({"happened": None}, False),
        ({"happened": []}, False),
        ({"happened": 0}, False),
        ({"other": True}, None),
    ],
)
def test_a_probe_says_that_a_call_happened_or_not_or_nothing(answer: Any, says: bool | None) -> None:
    assert happened(structured(answer), "happened") is says


def test_an_answer_that_is_no_object_says_nothing() -> None:
    assert happened({"content": []}, "happened") is None
