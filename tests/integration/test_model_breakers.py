"""A breaker that is open stops the model calls of its workflow and its agent as well (E1, B1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.core.breaker import BreakerKind
from interlock.core.model import BreakerState
from interlock.services.sign_off import SignOff
from interlock.services.trip import trip_by_hand
from interlock.store.people import Person
from interlock.testing import ModelServer, Reply
from support.model_endings import RELAXED, documents
from support.model_gateway import CLAUDE, GPT, a_model_gateway

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer(lambda _: Reply()) as server:
        yield server


@pytest.mark.parametrize("kind", [BreakerKind.WORKFLOW, BreakerKind.AGENT])
async def test_no_provider_hears_of_a_call_whose_breaker_is_open(
    tmp_path: Path, upstream: ModelServer, kind: BreakerKind
) -> None:
    async with a_model_gateway(documents(upstream.url), tmp_path) as running:
        wired = running.wired
        name = RELAXED if kind is BreakerKind.WORKFLOW else "bot"
        await trip_by_hand(
            store=wired.store, memory=wired.memory, kind=kind, name=name, by="maria", reason="odd"
        )
        token = await running.token()
        for path, model in ((CHAT, GPT), (MESSAGES, CLAUDE)):
            refused = await running.ask(token, path, model=model, max_tokens=9)
            assert refused.status_code == 402, refused.text
            assert f"The breaker of the {kind.value} {name} is open: maria opened it." in refused.text
            assert "breaker_open" in refused.text
        assert upstream.received == []
        sign = SignOff(store=wired.store, memory=wired.memory, runtime=wired.runtime, settings=wired.settings)
        signer = Person(name="maria", roles=frozenset({"operator"}))
        await sign(kind, name, BreakerState.HALF_OPEN, by=signer, reason="looked at")
        assert (await running.ask(token, CHAT)).status_code == 200
