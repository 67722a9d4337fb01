"""What a model call used, in one form for every provider (B1, B8).

OpenAI counts cached tokens among the prompt's, Anthropic beside them; here each input token stands in
exactly one field. Reasoning is a part of the output. What a provider reports is data from outside: a
number that cannot be right is never believed and never raises, it makes the usage uncertain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from functools import reduce
from typing import cast

from interlock.core.model import Json, value

MOST_TOKENS = 1_000_000_000
"""More than any call can use; a larger count is a fault of the reporter."""

TOKENS_PER_KILOBYTE = 300
"""What a thousand bytes of text come to where nothing has been learned yet; prose has about 250."""

INPUT_AUDIO, OUTPUT_AUDIO = "input_audio", "output_audio"
"""Names under which audio tokens are counted once more, because they cost more."""


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

    __slots__ = ("certain",)

    def __init__(self) -> None:
        self.certain = True

    def read(self, holder: Mapping[str, Json], name: str, *, required: bool = False) -> int:
        """Return the count of that name; 0 where there is none."""
        found = holder.get(name)
        if type(found) is int and 0 <= found <= MOST_TOKENS:
            return found
        if found is None:
            self.certain = self.certain and not required
            return 0
        return self._believed(found)

    def input(self, count: int) -> int:
        """Return `count`, the whole input of a call: no call reads nothing."""
        self.certain = self.certain and count > 0
        return count

    def part(self, count: int, whole: int) -> int:
        """Return `count`, which can be no more than the `whole` it is a part of."""
        if count <= whole:
            return count
        self.certain = False
        return whole

    def _believed(self, found: Json) -> int:
        if isinstance(found, float) and found.is_integer() and 0 <= found <= MOST_TOKENS:
            return int(found)
        self.certain = False
        return 0

    @property
    def source(self) -> UsageSource:
        return UsageSource.PROVIDER if self.certain else UsageSource.UNCERTAIN


def openai_chat(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an OpenAI chat completion, or of one in the dialect of a compatible provider.

    Some count reasoning beside the completion, not in it; there the total says so, and the total counts.
    """
    counts, raw = _Counts(), _object(raw)
    prompt = counts.input(counts.read(raw, "prompt_tokens"))
    beside = counts.read(raw, "total_tokens") - prompt
    output = max(counts.read(raw, "completion_tokens", required=True), beside)
    cached = counts.read(raw, "prompt_cache_hit_tokens") or counts.read(raw, "cached_tokens")
    read, said = _object(raw.get("prompt_tokens_details")), _object(raw.get("completion_tokens_details"))
    return _openai(counts, prompt, output, read, said, cached=cached)


def openai_responses(raw: Mapping[str, Json], items: Iterable[Json] = ()) -> Usage:
    """Return the usage of an OpenAI response; `items` is its `output`, in which its tool calls stand."""
    counts, raw = _Counts(), _object(raw)
    prompt = counts.input(counts.read(raw, "input_tokens"))
    output = counts.read(raw, "output_tokens", required=True)
    read, said = _object(raw.get("input_tokens_details")), _object(raw.get("output_tokens_details"))
    return _openai(counts, prompt, output, read, said, tools=_server_tools(items))


def embeddings(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an embeddings call, which has no output."""
    counts = _Counts()
    prompt = counts.input(counts.read(_object(raw), "prompt_tokens"))
    return Usage(input_uncached=prompt, source=counts.source)


def anthropic(raw: Mapping[str, Json]) -> Usage:
    """Return the usage of an Anthropic message; join the events of a stream with `merge` first.

    What was done beside the answer, a summary of the history for instance, stands only among its iterations.
    """
    counts, raw = _Counts(), _object(raw)
    beside = [
        _message(counts, each)
        for each in map(_object, _list(raw.get("iterations")))
        if each.get("type") not in (None, "message")
    ]
    whole = reduce(_sum, [_message(counts, raw), *beside])
    counts.input(whole.input)
    searches = counts.read(_object(raw.get("server_tool_use")), "web_search_requests")
    return replace(whole, tools={"web_search": searches} if searches else {}, source=counts.source)


def _message(counts: _Counts, raw: Mapping[str, Json]) -> Usage:
    """Return the tokens of one turn of a model of Anthropic's."""
    created = _object(raw.get("cache_creation"))
    long = counts.read(created, "ephemeral_1h_input_tokens")
    short = counts.read(created, "ephemeral_5m_input_tokens")
    written = max(short, counts.read(raw, "cache_creation_input_tokens") - long)
    fresh, cached = (
        counts.read(raw, "input_tokens", required=True),
        counts.read(raw, "cache_read_input_tokens"),
    )
    output = counts.read(raw, "output_tokens", required=True)
    thinking = counts.read(_object(raw.get("output_tokens_details")), "thinking_tokens")
    return Usage(
        input_uncached=fresh,
        cache_read=cached,
        cache_write_5m=written,
        cache_write_1h=long,
        output=output,
        reasoning=counts.part(thinking, output),
    )


def _sum(one: Usage, other: Usage) -> Usage:
    """Return the tokens of two turns together."""
    return Usage(
        input_uncached=one.input_uncached + other.input_uncached,
        cache_read=one.cache_read + other.cache_read,
        cache_write_5m=one.cache_write_5m + other.cache_write_5m,
        cache_write_1h=one.cache_write_1h + other.cache_write_1h,
        output=one.output + other.output,
        reasoning=one.reasoning + other.reasoning,
    )


def merge(earlier: Mapping[str, Json], later: Mapping[str, Json]) -> dict[str, Json]:
    """Join two usage objects of one call as a provider sent them: what the later one says counts."""
    if not earlier:
        return dict(later)
    return {**earlier, **{name: said for name, said in later.items() if said is not None}}


def reported(event: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Find the usage object in a reply or in an event of a stream; None where there is none.

    It stands at the top, in the `response` or `message` that the event carries, or in a vendor's field.
    """
    for name in ("", "response", "message", "x_groq"):
        holder = _object(event.get(name)) if name else event
        if found := _object(holder.get("usage")):
            return found
    return None


def tier_of(*said: Mapping[str, Json]) -> str:
    """Return the service tier that a request asks for or a reply says it had; "" where neither is said.

    Anthropic calls its fast one a speed, and names the tier it would have otherwise beside it.
    """
    named = ""
    for each in said:
        if each.get("speed") == "fast":
            return "fast"
        named = named or str(each.get("service_tier") or "")
    return named


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


def _openai(
    counts: _Counts,
    prompt: int,
    output: int,
    read: Mapping[str, Json],
    said: Mapping[str, Json],
    *,
    cached: int = 0,
    tools: Mapping[str, int] | None = None,
) -> Usage:
    """Return the usage of which `read` and `said` are the details; `cached` is a count outside of them."""
    if not (read or said or cached or tools):
        return Usage(input_uncached=prompt, output=output, source=counts.source)
    cached = counts.part(counts.read(read, "cached_tokens") or cached, prompt)
    written = counts.part(counts.read(read, "cache_write_tokens"), prompt - cached)
    heard = counts.part(counts.read(read, "audio_tokens"), prompt)
    spoken = counts.part(counts.read(said, "audio_tokens"), output)
    apart = {name: count for name, count in ((INPUT_AUDIO, heard), (OUTPUT_AUDIO, spoken)) if count}
    return Usage(
        input_uncached=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=counts.part(counts.read(said, "reasoning_tokens"), output),
        tools=apart | dict(tools or {}),
        source=counts.source,
    )


def _list(found: Json) -> list[Json]:
    return cast(list[Json], found) if isinstance(found, list) else []


def _object(found: Json) -> dict[str, Json]:
    return cast(dict[str, Json], found) if isinstance(found, dict) else {}


_SERVER_TOOLS: Mapping[str, str] = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
    "image_generation_call": "image_generation",
}


def _server_tools(items: Iterable[Json]) -> dict[str, int]:
    calls: dict[str, int] = {}
    for item in items:
        name = _SERVER_TOOLS.get(str(_object(item).get("type")))
        if name is not None:
            calls[name] = calls.get(name, 0) + 1
    return calls
