"""Which listed model a name means: price lists match names by pattern, so that dated aliases are found.

A pattern is plain JSON with one key: `equals`, `starts_with`, `ends_with`, `contains` or `regex` with a
text, `any` or `all` with a list of patterns. Names are compared in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from interlock.core.model import Json

Pattern = Mapping[str, Json]

_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")

_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "equals": lambda name, said: name == said,
    "starts_with": lambda name, said: name.startswith(said),
    "ends_with": lambda name, said: name.endswith(said),
    "contains": lambda name, said: said in name,
    "regex": lambda name, said: re.search(said, name) is not None,
}


def matches(pattern: Pattern, name: str) -> bool:
    """Return whether `name`, in lower case, is one that `pattern` means. Raises `KeyError` for no pattern."""
    ((how, said),) = pattern.items()
    if how == "any":
        return any(matches(each, name) for each in said)
    if how == "all":
        return all(matches(each, name) for each in said)
    return _TESTS[how](name, said)


def spellings(name: str) -> tuple[str, ...]:
    """Return the names to look for: as given, then with a date like 20260801 written 2026-08-01."""
    given = name.lower()
    dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", given)
    return (given,) if dashed == given else (given, dashed)
