"""The paths that models are called on, in both wire formats, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.core.conversation import WireFormat
from interlock.core.model import WireFamily


class Operation(StrEnum):
    """What is asked of a model."""

    CHAT = "chat"
    RESPONSE = "response"
    MESSAGE = "message"
    EMBEDDINGS = "embeddings"
    COUNT_TOKENS = "count_tokens"
    MODELS = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One path of a provider's API. `suffix` is what its own SDK puts behind its base URL.

    `caps` are the fields that limit the output; the last is the one to set where the caller set none.
    `form` is None where no history is sent.
    """

    path: str
    suffix: str
    family: WireFamily
    operation: Operation
    form: WireFormat | None = None
    caps: tuple[str, ...] = ()

    @property
    def generates(self) -> bool:
        """Whether there is output to pay for."""
        return bool(self.caps)

    @property
    def metered(self) -> bool:
        """Whether there is anything to pay for: counting tokens is free."""
        return self.operation is not Operation.COUNT_TOKENS


_OPENAI, _ANTHROPIC = WireFamily.OPENAI, WireFamily.ANTHROPIC
MODELS = Surface(path="/v1/models", suffix="/models", family=_OPENAI, operation=Operation.MODELS)
SURFACES: dict[str, Surface] = {
    surface.path: surface
    for surface in (
        Surface(
            path="/v1/chat/completions",
            suffix="/chat/completions",
            family=_OPENAI,
            operation=Operation.CHAT,
            form=WireFormat.CHAT,
            caps=("max_completion_tokens", "max_tokens"),
        ),
        Surface(
            path="/v1/responses",
            suffix="/responses",
            family=_OPENAI,
            operation=Operation.RESPONSE,
            form=WireFormat.RESPONSES,
            caps=("max_output_tokens",),
        ),
        Surface(path="/v1/embeddings", suffix="/embeddings", family=_OPENAI, operation=Operation.EMBEDDINGS),
        MODELS,
        Surface(
            path="/v1/messages",
            suffix="/v1/messages",
            family=_ANTHROPIC,
            operation=Operation.MESSAGE,
            form=WireFormat.MESSAGES,
            caps=("max_tokens",),
        ),
        Surface(
            path="/v1/messages/count_tokens",
            suffix="/v1/messages/count_tokens",
            family=_ANTHROPIC,
            operation=Operation.COUNT_TOKENS,
        ),
    )
}
