"""Tokens are counted off the event loop, with no network; where nothing can count, bytes bound them (B6)."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from interlock.upstream.tokenizer import Counted, Counting, Tokenizer, bound, encoding_name

PROSE = "A tokenizer splits a text into pieces that a model has seen before. " * 40


def counted(tokenizer: Tokenizer, raw: bytes, model: str) -> Counted:
    return asyncio.run(tokenizer.count(raw, model))


def a_body(*texts: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text} for text in texts]}).encode()


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[Tokenizer]:
    made = Tokenizer()
    yield made
    made.close()


def test_the_tokens_of_a_text_are_counted(tokenizer: Tokenizer) -> None:
    told = counted(tokenizer, a_body(PROSE), "openai/gpt-5.5-2026-08-01")
    assert told.how is Counting.COUNTED
    assert 560 <= told.tokens <= 570  # 14 tokens, forty times, and what is around them


def test_a_model_whose_encoding_is_not_published_is_bounded_by_its_bytes(tokenizer: Tokenizer) -> None:
    raw = a_body(PROSE)
    assert counted(tokenizer, raw, "claude-opus-5") == bound(raw)
    assert bound(raw).how is Counting.BYTES
    assert bound(raw).tokens == len(raw)


def test_what_is_no_json_is_bounded_by_its_bytes(tokenizer: Tokenizer) -> None:
    assert counted(tokenizer, b"{", "gpt-4o").how is Counting.BYTES


def test_media_are_not_counted_as_text(tokenizer: Tokenizer) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 20_000}}
    raw = json.dumps({"messages": [{"role": "user", "content": [image]}]}).encode()
    assert 1_500 < counted(tokenizer, raw, "gpt-4o").tokens < 1_600


def test_the_event_loop_goes_on_while_a_long_text_is_counted(tokenizer: Tokenizer) -> None:
    async def turns() -> int:
        await tokenizer.count(a_body("warm"), "gpt-4o")
        counting = asyncio.ensure_future(tokenizer.count(a_body(PROSE * 400), "gpt-4o"))
        done = 0
        while not counting.done():
            await asyncio.sleep(0)
            done += 1
        assert (await counting).tokens > 200_000
        return done

    assert asyncio.run(turns()) > 5


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5.5-mini", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("GPT-4-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("claude-opus-5", None),
        ("llama-4", None),
    ],
)
def test_encodings_are_known_by_the_names_of_models(model: str, name: str | None) -> None:
    assert encoding_name(model) == name


def test_counting_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    fresh = Tokenizer()
    assert counted(fresh, a_body(PROSE), "gpt-4").how is Counting.COUNTED
    fresh.close()


def test_without_the_extra_the_bytes_are_the_answer_and_it_is_said() -> None:
    code = (
        "import sys, asyncio; sys.modules['bpe_openai'] = None\n"
        "from interlock.upstream.tokenizer import Tokenizer\n"
        "print(asyncio.run(Tokenizer().count(b'{}', 'gpt-4o')).how.value)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "bytes"
