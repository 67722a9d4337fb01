"""What a model call used, in one form for every provider (B1, B8).

OpenAI counts cached tokens among the prompt's, Anthropic beside them; here each input token stands in
exactly one field. Reasoning is a part of the output. What a provider reports is data from outside: a
number that cannot be right is never believed and never raises, it makes the usage uncertain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import cast

from interlock.core.model import Json, value

MOST_TOKENS = 1_000_000_000
"""More than any call can use; a larger count is a fault of the reporter."""

TOKENS_PER_KILOBYTE = 300
"""What a thousand bytes of text come to where nothing has been learned yet; prose has about 250."""


class UsageSource(StrEnum):
    """How far the counts can be trusted."""

    PROVIDER = "provider"
    """The provider reported them."""
    ESTIMATED = "estimated"
    """Nothing was reported; the counts follow from the bytes that passed."""
    UNCERTAIN = "uncertain"
    """What was reported is incomplete or contradicts itself."""


@value
class Usage:
    """Tokens and server-side tool calls of one model call; no count is ever negative."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    """Written to a cache of short life; also where a provider does not say how long."""
    cache_write_1h: int = 0
    output: int = 0
    """Everything generated, `reasoning` included."""
    reasoning: int = 0
    tools: Mapping[str, int] = field(default_factory=dict[str, int])
    """What is billed apart: calls of tools that the provider ran itself (`web_search`, `file_search`,
    `code_execution`), and tokens that were audio (`input_audio`, `output_audio`), counted above as well."""
    source: UsageSource = UsageSource.PROVIDER

    @property
    def input(self) -> int:
        """Every token that was read: fresh, from a cache or into one."""
        return self.input_uncached + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def context(self) -> int:
        """What the model had in view when it stopped."""
        return self.input + self.output


class _Counts:
    """Reads counts out of a provider's object, and remembers whether one could not be believed."""

    __slots__ = ("certain", "raw")

    def __init__(self, raw: Mapping[str, Json]) -> None:
        self.raw = raw
        self.certain = True

    def read(self, *path: str, required: bool = False) -> int:
        """Return the count at `path`; 0 where there is none."""
        found: Json = self.raw
        for name in path:
            found = _member(found, name)
        if found is None:
            self.certain = self.certain and not required
            return 0
        return self._believed(found)

    def _believed(self, found: Json) -> int:
        whole = isinstance(found, int | float) and not isinstance(found, bool) and found == found // 1
        if whole and 0 <= found <= MOST_TOKENS:
            return int(found)
        self.certain = False
        return 0

    def part(self, count: int, whole: int) -> int:
        """Return `count`, which can be no more than the `whole` it is a part of."""
        self.certain = self.certain and count <= whole
        return min(count, whole)

    @property
    def source(self) -> UsageSource:
        return UsageSource.PROVIDER if self.certain else UsageSource.UNCERTAIN


def openai_chat(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an OpenAI chat completion, or of one in the dialect of a compatible provider.

    Some count reasoning beside the completion, not in it; there the total says so, and the total counts.
    """
    counts = _Counts(raw)
    prompt = counts.read("prompt_tokens", required=True)
    reasoning = counts.read("completion_tokens_details", "reasoning_tokens")
    output = max(counts.read("completion_tokens", required=True), counts.read("total_tokens") - prompt)
    return _openai(counts, prompt, output, reasoning, details="prompt_tokens_details")


def openai_responses(raw: Mapping[str, Json], items: Iterable[Json] = ()) -> Usage:
    """Return the usage of an OpenAI response; `items` is its `output`, in which its tool calls stand."""
    counts = _Counts(raw)
    prompt = counts.read("input_tokens", required=True)
    reasoning = counts.read("output_tokens_details", "reasoning_tokens")
    output = counts.read("output_tokens", required=True)
    usage = _openai(counts, prompt, output, reasoning, details="input_tokens_details")
    return replace(usage, tools={**usage.tools, **_server_tools(items)})


def embeddings(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an embeddings call, which has no output."""
    counts = _Counts(raw)
    prompt = counts.read("prompt_tokens", required=True)
    return Usage(input_uncached=prompt, source=counts.source)


def anthropic(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an Anthropic message; join the events of a stream with `merge` first."""
    counts = _Counts(raw)
    long = counts.read("cache_creation", "ephemeral_1h_input_tokens")
    short = counts.read("cache_creation", "ephemeral_5m_input_tokens")
    written = counts.read("cache_creation_input_tokens")
    output = counts.read("output_tokens", required=True)
    thinking = counts.read("output_tokens_details", "thinking_tokens")
    searches = counts.read("server_tool_use", "web_search_requests")
    return Usage(
        input_uncached=counts.read("input_tokens", required=True),
        cache_read=counts.read("cache_read_input_tokens"),
        cache_write_5m=max(short, written - long),
        cache_write_1h=long,
        output=output,
        reasoning=counts.part(thinking, output),
        tools={"web_search": searches} if searches else {},
        source=counts.source,
    )


def merge(earlier: Mapping[str, Json], later: Mapping[str, Json]) -> dict[str, Json]:
    """Join two usage objects of one call as a provider sent them: what the later one says counts."""
    return {**earlier, **{name: said for name, said in later.items() if said is not None}}


def reported(event: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Find the usage object in a reply or in an event of a stream; None where there is none.

    It stands at the top, in the `response` or `message` that the event carries, or in a vendor's field.
    """
    for holder in (event, event.get("response"), event.get("message"), event.get("x_groq")):
        found = _member(holder, "usage")
        if found and isinstance(found, Mapping):
            return cast(Mapping[str, Json], found)
    return None


def tokens(size: int, per_kilobyte: int = TOKENS_PER_KILOBYTE) -> int:
    """Return how many tokens `size` bytes of text come to, rounded up."""
    return -(-size * per_kilobyte // 1000)


def estimated(*, input_tokens: int, output_bytes: int, per_kilobyte: int = TOKENS_PER_KILOBYTE) -> Usage:
    """Return the usage of a call that reported none, from its estimated input and the bytes of its reply."""
    return Usage(
        input_uncached=input_tokens,
        output=tokens(output_bytes, per_kilobyte),
        source=UsageSource.ESTIMATED,
    )


def at_least(usage: Usage, seen: Usage) -> Usage:
    """Raise an uncertain `usage` to what was `seen` to pass; one that the provider vouches for stands."""
    if usage.source is UsageSource.PROVIDER:
        return usage
    missing = max(0, seen.input - usage.input)
    return replace(
        usage,
        input_uncached=usage.input_uncached + missing,
        output=max(usage.output, seen.output),
    )


def _openai(counts: _Counts, prompt: int, output: int, reasoning: int, *, details: str) -> Usage:
    cached = counts.read(details, "cached_tokens") or counts.read("prompt_cache_hit_tokens")
    cached = counts.part(cached or counts.read("cached_tokens"), prompt)
    written = counts.part(counts.read(details, "cache_write_tokens"), prompt - cached)
    heard = counts.part(counts.read(details, "audio_tokens"), prompt)
    spoken = counts.part(counts.read("completion_tokens_details", "audio_tokens"), output)
    return Usage(
        input_uncached=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=counts.part(reasoning, output),
        tools={name: count for name, count in (("input_audio", heard), ("output_audio", spoken)) if count},
        source=counts.source,
    )


def _member(holder: Json, name: str) -> Json:
    return cast(Mapping[str, Json], holder).get(name) if isinstance(holder, Mapping) else None


_SERVER_TOOLS: Mapping[str, str] = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
}


def _server_tools(items: Iterable[Json]) -> dict[str, int]:
    calls: dict[str, int] = {}
    for item in items:
        name = _SERVER_TOOLS.get(str(_member(item, "type")))
        if name is not None:
            calls[name] = calls.get(name, 0) + 1
    return calls
