"""The wire formats that agents speak to models in, and how their histories fall into groups."""

from __future__ import annotations

from enum import StrEnum


class WireFormat(StrEnum):
    """The wire formats that agents speak to models in."""

    CHAT = "openai_chat"
    RESPONSES = "openai_responses"
    MESSAGES = "anthropic_messages"
