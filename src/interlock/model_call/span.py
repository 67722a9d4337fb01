"""What a trace says of one attempt at a model call, and the only place that knows the names (C3, B1, B4).

`gen_ai.*` are the names of OpenTelemetry's GenAI conventions, which may still change; `interlock.*` stand
where there is no name yet. No words of a request or an answer are told, and no customer.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from interlock.core.charge import Ending
from interlock.core.usage import Usage
from interlock.services.spend.attempt import Attempt
from interlock.upstream.llm.surface import Operation
from interlock.upstream.span import Attribute, Span

_OPERATIONS = {
    Operation.CHAT: "chat",
    Operation.RESPONSE: "chat",
    Operation.MESSAGE: "chat",
    Operation.EMBEDDINGS: "embeddings",
}
_NO_FAULT = frozenset({Ending.ANSWERED, Ending.LEFT})
_NANO = 1_000_000_000


def span_of(attempt: Attempt, ending: Ending, *, served: str, status: int) -> Span:
    """Return the span of an attempt that was settled.

    `served` is the model that the provider names, "" where it named none; `status` is its answer's, or 0.
    """
    ask = attempt.ask
    operation = _OPERATIONS.get(ask.surface.operation, ask.surface.operation.value)
    told: dict[str, Attribute] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": attempt.route.provider.name,
        "gen_ai.request.model": ask.requested,
        "gen_ai.response.model": served or attempt.route.model.name,
        "gen_ai.request.stream": ask.body.stream,
        "gen_ai.agent.name": ask.principal.agent,
        "gen_ai.workflow.name": ask.principal.workflow,
        "server.address": urlsplit(attempt.route.provider.base_url).hostname or "",
        **_ours(attempt, ending),
    }
    if status:
        told["http.response.status_code"] = status
    if attempt.usage is not None:
        told |= _used(attempt.usage)
    if ask.step:
        told["interlock.step.name"] = ask.step
    error = "" if ending in _NO_FAULT else ending.value
    if error:
        told["error.type"] = error
    return Span(
        name=f"{operation} {ask.requested}",
        run=ask.principal.run,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        attributes=told,
        parent=ask.traceparent,
        error=error,
    )


def _ours(attempt: Attempt, ending: Ending) -> dict[str, Attribute]:
    """Return who answers for a call, what it cost, and what its budget made of it."""
    principal, cost, price = attempt.ask.principal, attempt.cost or 0, attempt.quote.price
    return {
        "interlock.call.id": attempt.ask.call,
        "interlock.attempt.id": attempt.id,
        "interlock.run.id": principal.run,
        "interlock.workflow.version": principal.workflow_version,
        "interlock.cost.usd": cost / _NANO,
        "interlock.cost.nano_usd": cost,
        "interlock.price.version": price.label if price.provider else "",
        "interlock.budget.state": attempt.held.state.value,
        "interlock.degraded": attempt.degraded,
        "interlock.sent.model": attempt.route.model.name,
        "interlock.ending": ending.value,
    }


def _used(usage: Usage) -> dict[str, Attribute]:
    return {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        "interlock.usage.source": usage.source.value,
        "interlock.context.tokens": usage.context,
    }
