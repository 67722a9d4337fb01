"""A call is held for, and charged at, the service tier that it asks for and is served (B8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interlock.upstream.llm.body import read
from interlock.upstream.llm.meter import Meter
from interlock.upstream.llm.surface import SURFACES

MESSAGE = SURFACES["/v1/messages"]
CHAT = SURFACES["/v1/chat/completions"]


@pytest.mark.parametrize(
    ("more", "tier"),
    [({}, ""), ({"service_tier": "flex"}, "flex"), ({"speed": "fast", "service_tier": "auto"}, "fast")],
)
def test_a_request_names_the_tier_it_asks_for(more: dict[str, Any], tier: str) -> None:
    raw = msgspec.json.encode({"model": "m", "messages": [], **more})
    assert read(raw, CHAT).service_tier == tier


def test_a_fast_message_is_charged_as_one() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "service_tier": "standard", "speed": "fast"}
    meter = Meter(MESSAGE)
    meter.whole(msgspec.json.encode({"type": "message", "model": "m", "content": [], "usage": usage}))
    assert meter.service_tier == "fast"
