"""The one shape of every list: `{"items": [...], "next": cursor or null}`.

`before=CURSOR` asks for the page that follows; `next` is null on the last one. A list that is never long
comes whole. A reader asks the store for one row more than the page holds: that row says whether there is
another page, and is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from interlock.errors import UsageError
from interlock.web.errors import json_response

T = TypeVar("T")
_DEFAULT, _MOST = 50, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page that a request asks for: at most `limit` items, those after the cursor `before`."""

    limit: int
    before: str

    @property
    def rows(self) -> int:
        """How many rows to read."""
        return self.limit + 1

    def cut(self, found: Sequence[T], cursor: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
        """Return what the page holds, and where the next one begins."""
        kept = found[: self.limit]
        return kept, cursor(kept[-1]) if len(found) > self.limit else None


def page_of(request: Request, *, most: int = _MOST) -> Page:
    """Return the page that is asked for. Raises `UsageError` when the limit is not a number up to `most`."""
    asked = request.query_params.get("limit", "") or str(_DEFAULT)
    if not (asked.isascii() and asked.isdigit()) or not 0 < int(asked[:9]) <= most:
        raise UsageError(f"limit is a whole number from 1 to {most}.")
    return Page(limit=int(asked), before=request.query_params.get("before", ""))


def list_response(items: Iterable[Any], following: str | None = None) -> Response:
    """Answer a list, or a page of one with the cursor of the page that follows."""
    return json_response({"items": list(items), "next": following})
