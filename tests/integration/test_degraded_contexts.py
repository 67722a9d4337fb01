"""A long history beyond the hard limit reaches the provider valid, cut, and cut at one place (B4)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from interlock.core.conversation import WireFormat
from interlock.core.document.spending import Budget, Models
from interlock.testing import ModelServer, Reply
from support.histories import history, refused
from support.model_gateway import CLAUDE, GPT, a_model_gateway, manifest, providers

pytestmark = pytest.mark.anyio
TURN = ("said", [1_000, 1_000])
JUMP = 70
TURNS = [30, 31, 32, JUMP, JUMP + 1, JUMP + 2]
"""How long the history is call by call; once it has grown by so much that the cut must move on."""
SURFACES = {
    WireFormat.CHAT: ("/v1/chat/completions", GPT, {"max_tokens": 50}),
    WireFormat.RESPONSES: ("/v1/responses", GPT, {"max_output_tokens": 50}),
    WireFormat.MESSAGES: ("/v1/messages", CLAUDE, {"max_tokens": 50}),
}


@pytest.mark.parametrize("wire", list(WireFormat))
async def test_a_growing_history_is_cut_at_one_place_and_never_broken(
    tmp_path: Path, wire: WireFormat
) -> None:
    path, model, cap = SURFACES[wire]
    with ModelServer() as acme, ModelServer() as claude:
        for server in (acme, claude):
            server.script(Reply(input_tokens=6_000, output_tokens=10))
        documents = manifest(
            providers(acme, claude), Budget(run=10_000_000, kill=50_000), models=Models(allow=("*",))
        )
        async with a_model_gateway(documents, tmp_path) as gateway:
            headers = {"Authorization": f"Bearer {await gateway.token()}"}
            answers: list[Any] = []
            for turns in TURNS:
                sent = {"model": model, wire.history: history(wire, [TURN] * turns), **cap}
                answers.append(await gateway.http.post(path, json=sent, headers=headers))
        received = [each.body[wire.history] for each in (acme.received or claude.received)]
    assert [answer.status_code for answer in answers] == [200] * len(TURNS)
    for answer, items in zip(answers, received, strict=True):
        assert "context" in answer.headers["x-interlock-degraded"].split(";")
        assert refused(wire, items) is None
        assert "was left out to save context" in str(items)
    new = 1 if wire is WireFormat.MESSAGES else 2  # items at the end that the message to finish changes
    moved = [
        later[: len(earlier) - new] != earlier[: len(earlier) - new] for earlier, later in pairwise(received)
    ]
    assert moved == [turns == JUMP for turns in TURNS[1:]]


@pytest.mark.parametrize(("pins", "kept"), [("", []), ("3-4", [3, 4]), ("everything", range(100))])
async def test_what_a_caller_pins_stays_whole_and_doubt_pins_all(
    tmp_path: Path, pins: str, kept: range | list[int]
) -> None:
    items = history(WireFormat.CHAT, [TURN] * 30)
    with ModelServer() as acme, ModelServer() as claude:
        acme.script(Reply(input_tokens=6_000, output_tokens=10))
        documents = manifest(
            providers(acme, claude), Budget(run=10_000_000, kill=50_000), models=Models(allow=("*",))
        )
        async with a_model_gateway(documents, tmp_path) as gateway:
            headers = {"Authorization": f"Bearer {await gateway.token()}", "interlock-pin": pins}
            sent = {"model": GPT, "messages": items, "max_tokens": 50}
            answer = await gateway.http.post("/v1/chat/completions", json=sent, headers=headers)
        (received,) = [each.body["messages"] for each in acme.received]
    assert refused(WireFormat.CHAT, received) is None
    assert ("context" in answer.headers["x-interlock-degraded"].split(";")) is (pins != "everything")
    pinned = [item for index, item in enumerate(items) if index in kept]
    assert all(item in received for item in pinned)
    assert (items[6] in received) is (pins == "everything")
