"""What a tool server asks for during a call, as people are asked it, and what it is answered (F2).

The text is the server's: it is cut, named as the server's, and never an approval of the call. One form is
asked for at a time; what is no form, or too long, is refused to the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from interlock.core.approval import Approval, ApprovalState
from interlock.core.canonical import NotCanonical, canonical
from interlock.core.model import Json

ELICIT = "elicitation/create"
LONGEST_TEXT, LONGEST_FORM = 2_000, 16_000
_SEVERAL = "People are asked for one thing at a time; this asks for several, or for something else beside it."
_NO_FORM = "People are asked with a form; this is none."
_TOO_LONG = f"The form is longer than {LONGEST_FORM} characters, or has no canonical form."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One form that a server wants filled in: the `key` of its request, its `message` and its `schema`."""

    key: str
    message: str
    schema: Mapping[str, Json]

    def put_by(self, server: str) -> dict[str, Json]:
        """Return it as it is kept and shown, named as the server's."""
        return {"server": server, "message": self.message, "schema": dict(self.schema)}


def read(requests: Mapping[str, Any]) -> Question | str:
    """Return the question among a server's input requests, or say why people are not asked it."""
    if len(requests) != 1:
        return _SEVERAL
    ((key, request),) = requests.items()
    if not isinstance(request, Mapping):
        return _SEVERAL
    asked = cast("Mapping[str, Any]", request)
    params: Any = asked.get("params")
    if asked.get("method") != ELICIT or not isinstance(params, Mapping):
        return _SEVERAL
    return _form(key, cast("Mapping[str, Any]", params))


def _form(key: str, params: Mapping[str, Any]) -> Question | str:
    schema: Any = params.get("requestedSchema")
    if params.get("mode", "form") != "form" or not isinstance(schema, Mapping):
        return _NO_FORM
    form = dict(cast("Mapping[str, Json]", schema))
    if form.get("type") != "object":
        return _NO_FORM
    if not _fits(form):
        return _TOO_LONG
    return Question(key=key, message=str(params.get("message", ""))[:LONGEST_TEXT], schema=form)


def _fits(form: dict[str, Json]) -> bool:
    try:
        return len(canonical(form)) <= LONGEST_FORM
    except NotCanonical:
        return False


def reply(asked: Approval) -> dict[str, Json]:
    """Return what the server is told: a person's answer, that they decline, or that nobody answered."""
    match asked.state:
        case ApprovalState.APPROVED:
            return {"action": "accept", "content": asked.answer}
        case ApprovalState.REJECTED:
            return {"action": "decline"}
        case _:
            return {"action": "cancel"}
