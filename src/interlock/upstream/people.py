"""People as a tool server: an agent puts a question, and what a person answers is the tool's result.

The answer was given before the call is sent: a call of these tools always waits for a person, like one that
needs an approval, and is told, reminded of and escalated like one. No model and no client answers for them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection

from interlock.core.approval import Approval
from interlock.core.model import Json
from interlock.upstream.executor import Dispatch, NotSent, Outcome, Succeeded

Answers = Callable[[str], Awaitable[Approval | None]]
_QUESTION: dict[str, Json] = {
    "type": "string", "minLength": 1, "maxLength": 4000, "description": "The question, in plain words.",
}  # fmt: skip
_READS: dict[str, Json] = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}
TOOLS: tuple[dict[str, Json], ...] = (
    {
        "name": "ask",
        "title": "Ask a person",
        "description": "Puts a question to a responsible person and returns the answer in their words. It "
        "may take a while: the pending answer says how to collect it.",
        "inputSchema": {
            "type": "object",
            "properties": {"question": _QUESTION},
            "required": ["question"],
            "additionalProperties": False,
        },
        "annotations": _READS,
    },
    {
        "name": "value",
        "title": "Ask a person for a value",
        "description": "Asks a responsible person for a value; it is checked against the JSON Schema.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "question": _QUESTION,
                "schema": {"type": "object", "description": "The JSON Schema that the value must fit."},
            },
            "required": ["question", "schema"],
            "additionalProperties": False,
        },
        "annotations": _READS,
    },
)


class People:
    """The servers of this environment whose tools are people. `answers` finds what an action was answered."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._names: frozenset[str] = frozenset()

    def configure(self, names: Collection[str]) -> None:
        """Serve exactly these."""
        self._names = frozenset(names)

    def __contains__(self, server: str) -> bool:
        """Whether the server is one of people."""
        return server in self._names

    def tools(self) -> list[dict[str, Json]]:
        """Return what can be asked."""
        return [dict(each) for each in TOOLS]

    def states(self) -> list[dict[str, Json]]:
        """Return each server's name; people are always there."""
        return [
            {"server": name, "connected": True, "protocol": "people", "reason": None, "sessions": 0}
            for name in sorted(self._names)
        ]

    async def execute(self, dispatch: Dispatch) -> Outcome:
        """Return the answer of the person who was asked; without one nothing was asked."""
        asked = await self._answers(dispatch.action) if dispatch.action else None
        if asked is None:
            return NotSent(message="No person has answered this question.")
        value = asked.answer
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return Succeeded(
            payload={
                "content": [{"type": "text", "text": text}],
                "structuredContent": {"answer": value},
                "isError": False,
            }
        )
