"""One of a few words in a query: what there is not is refused, with the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request

from interlock.errors import UsageError
from interlock.web.near import meant


def one_of(
    request: Request, name: str, known: Iterable[str], *, called: str = "", otherwise: str = ""
) -> str:
    """Return the query's `name`, `otherwise` where it is not given; "" stands for all.

    Raises `UsageError` for a word that is not `known`; `called` is what such a word is, if not `name`.
    """
    asked = request.query_params.get(name, otherwise)
    words = [str(each) for each in known]
    if asked and asked not in words:
        hint = meant(asked, words, f"There are: {', '.join(words)}.")
        raise UsageError(f"There is no {called or name} {asked[:40]!r}.", hint=hint)
    return asked
