"""What a person wanted to do over HTTP and was refused is written down, in a transaction of its own.

Reading is no act. What a use case has put on record itself, with more about it, is not written twice.
"""

from __future__ import annotations

import logging

from starlette.requests import Request

from interlock.errors import InterlockError, StoreError
from interlock.wiring import Wired

log = logging.getLogger(__name__)

_READING = frozenset({"GET", "HEAD"})
_LONGEST_PATH, _LONGEST_WHY, _LONGEST_NAME = 200, 300, 64


def acts(request: Request, person: str) -> None:
    """Note who sent this request; their credential has been verified."""
    request.state.person = person


async def record(request: Request, error: InterlockError) -> None:
    """Put on record that a person was refused. Where that cannot be written, they are refused all the same.

    What they sent is cut: a path, a name and a sentence of bounded length, never the body.
    """
    person = getattr(request.state, "person", "")
    if not person or request.method in _READING:
        return
    wired: Wired = request.app.state.wired
    named = request.path_params
    act = f"{request.method} {request.url.path[:_LONGEST_PATH]}"
    body = {"act": act, "code": error.code, "why": error.message[:_LONGEST_WHY]}
    try:
        await wired.store.transact(
            lambda transaction: transaction.audit(
                "person.refused",
                person=person,
                action=_named(named.get("id", ""), "act_"),
                run=_named(named.get("run", ""), "run_"),
                body=body,
            )
        )
    except StoreError as failed:
        log.warning("a refusal of %s could not be put on record: %s", person, failed.message)


def _named(value: str, prefix: str) -> str:
    return value[:_LONGEST_NAME] if value.startswith(prefix) else ""
