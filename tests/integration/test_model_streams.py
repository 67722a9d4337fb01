"""However a stream comes in pieces, the same events pass, usage is found, and any end is well-formed (B8)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.usage import Usage
from interlock.testing.model_reply import Reply, Said, ToolCall
from interlock.testing.model_surface import SURFACES as SHAPES
from interlock.upstream.llm.meter import Meter
from interlock.upstream.llm.surface import SURFACES

few = settings(max_examples=60)
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
SPOKEN = Reply(text='one "usage" two\n\nthree', tool_calls=(ToolCall(name="f", arguments={"a": "é"}),))
ASKED: dict[str, Any] = {"model": "m", "stream_options": {"include_usage": True}}


def stream_of(path: str, reply: Reply = SPOKEN) -> bytes:
    shape = SHAPES[path].stream
    assert shape is not None
    return b"".join(shape(Said(reply, ASKED)))


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(places)]


def events(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@few
@given(path=st.sampled_from(PATHS), cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_any_pieces_pass_as_the_same_events(path: str, cuts: list[int]) -> None:
    stream, meter = stream_of(path), Meter(SURFACES[path])
    passed = [meter.feed(piece) for piece in pieces(stream, cuts)]
    assert b"".join([*passed, meter.rest()]) == stream
    assert all(piece.endswith(b"\n\n") for piece in passed if piece)
    assert meter.complete
    assert meter.usage == Usage(input_uncached=12, output=7)


@few
@given(cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_the_event_that_tells_usage_alone_is_taken_out_and_nothing_else(cuts: list[int]) -> None:
    stream, meter = stream_of(PATHS[0]), Meter(SURFACES[PATHS[0]], hide_usage=True)
    passed = b"".join([*(meter.feed(piece) for piece in pieces(stream, cuts)), meter.rest()])
    alone = [event for event in events(stream) if event["choices"] == []]
    assert [event for event in events(stream) if event not in alone] == events(passed)
    assert len(alone) == 1
    assert passed.endswith(b"data: [DONE]\n\n")
    assert meter.usage == Usage(input_uncached=12, output=7)


@pytest.mark.parametrize("path", PATHS)
def test_lines_may_end_as_on_other_systems(path: str) -> None:
    meter = Meter(SURFACES[path])
    stream = stream_of(path).replace(b"\n", b"\r\n")
    assert b"".join(meter.feed(stream[at : at + 7]) for at in range(0, len(stream), 7)) == stream
    assert meter.usage is not None


@few
@given(path=st.sampled_from(PATHS), cut=st.integers(1, 10_000))
def test_a_stream_can_be_ended_anywhere_and_says_that_it_was_cut(path: str, cut: int) -> None:
    stream, meter = stream_of(path), Meter(SURFACES[path])
    passed = meter.feed(stream[: cut % len(stream)])
    ending = meter.end(Usage(input_uncached=12, output=3), tell_usage=True)
    whole = events(passed + ending)
    if not passed:
        assert ending == b""
    elif path == PATHS[0]:
        reasons = [choice["finish_reason"] for event in whole for choice in event["choices"]]
        assert [reason for reason in reasons if reason] in (["length"], ["tool_calls"])
        assert (passed + ending).endswith(b"data: [DONE]\n\n")
    elif path == PATHS[1]:
        assert whole[-1]["type"] in ("response.incomplete", "response.completed")
        assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    else:
        opened = [event["index"] for event in whole if event["type"] == "content_block_start"]
        closed = [event["index"] for event in whole if event["type"] == "content_block_stop"]
        assert opened == closed
        assert whole[-1]["type"] == "message_stop"


def test_a_stream_that_has_ended_is_not_ended_again() -> None:
    for path in PATHS:
        meter = Meter(SURFACES[path])
        meter.feed(stream_of(path))
        assert meter.end(Usage(), tell_usage=True) == b"", path


def test_text_is_estimated_by_its_bytes_and_not_by_its_wrapping() -> None:
    meter = Meter(SURFACES[PATHS[0]])
    meter.feed(stream_of(PATHS[0], Reply(text="x" * 3_000)))
    assert 3_000 <= meter.output_size < 3_050
