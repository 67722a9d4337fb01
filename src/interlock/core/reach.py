"""What a preview says about one call: how it is asked, how its answer is read, when reach has grown (A1).

A tool whose arguments only select declares a read-only call that measures: `$args.NAME` in its arguments
stands for the value in the call. Its answer is an object of named scalars. Anything that is not clearly a
measure makes the whole answer worthless, and then the widest scope counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from interlock.core.canonical import NotCanonical, parse_object
from interlock.core.model import Json

COUNTS = frozenset({"records", "recipients", "money"})
SERVICES = "services"

_LONGEST_TEXT = 16_384
_LONGEST_WORD = 100
_MOST = 32
_LARGEST = 2**63 - 1
_ARGS = "args."


class NotMeasured(ValueError):
    """Why the reach of a call is not known. The text holds names and kinds, never a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of measuring: `reach`, or the `problem` that kept it unknown; on which policy bundle."""

    bundle: str
    reach: Mapping[str, Json] | None = None
    problem: str = ""


def fill(arguments: Mapping[str, Json], args: Mapping[str, Json], *, key: str = "") -> dict[str, Json]:
    """Return `arguments` with each `$args.NAME` replaced by that argument of the call, and `$$` read as `$`.

    `$key` stands for the call's idempotency key, where it has one. Raises `NotMeasured` where the call does
    not have the argument.
    """
    return {name: _filled(value, args, key) for name, value in arguments.items()}


def _filled(value: Json, args: Mapping[str, Json], key: str) -> Json:
    if isinstance(value, str) and value.startswith("$"):
        if value == "$key" and key:
            return key
        return value[1:] if value.startswith("$$") else _argument(value[1:], args)
    if isinstance(value, Mapping):
        return fill(cast("Mapping[str, Json]", value), args, key=key)
    if isinstance(value, list):
        return [_filled(each, args, key) for each in cast("list[Json]", value)]
    return value


def _argument(name: str, args: Mapping[str, Json]) -> Json:
    found: Json = args
    for step in name.removeprefix(_ARGS).split("."):
        if not isinstance(found, Mapping) or step not in found:
            raise NotMeasured(f"the call has no {name}")
        found = cast("Mapping[str, Json]", found)[step]
    return found


def of_call(measure: Json, args: Mapping[str, Json]) -> Json:
    """Return a declared measure for one call: `$args.NAME` is that argument, itself where it has none."""
    if not (isinstance(measure, str) and measure.startswith("$" + _ARGS)):
        return measure
    try:
        found = _argument(measure[1:], args)
    except NotMeasured:
        return measure
    return measure if found is None else found


def read(payload: Mapping[str, Json]) -> dict[str, Json]:
    """Return what the result of a preview measures, from its structured content or else its one JSON text.

    `records`, `recipients` and `money` are numbers from 0, `services` is one or a list of names; any other
    number, truth value or short text is kept as it is, and what is none of these is left out. Raises
    `NotMeasured` when a measure is of another kind, when nothing is measured, or when there is too much.
    """
    answer = answer_of(payload)
    if len(answer) > _MOST:
        raise NotMeasured("its answer is too large to be a measure")
    reach = {name: value for name, value in answer.items() if _is_measure(name, value)}
    if not reach:
        raise NotMeasured("its answer measures nothing")
    return reach


def happened(payload: Mapping[str, Json], says: str) -> bool | None:
    """Return what the answer of a probe says about a call: it happened, it did not, or None: it does not say.

    What stands under the name `says` decides: nothing, false, zero and what is empty mean that it did not.
    """
    try:
        answer = answer_of(payload)
    except NotMeasured:
        return None
    return bool(answer[says]) if says in answer else None


def answer_of(payload: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the object that a tool answered with. Raises `NotMeasured` where it is none."""
    structured = payload.get("structuredContent")
    if isinstance(structured, Mapping):
        return cast("Mapping[str, Json]", structured)
    text = _only_text(payload.get("content")) if structured is None else None
    if text is None:
        raise NotMeasured("its answer is not an object")
    if len(text) > _LONGEST_TEXT:
        raise NotMeasured("its answer is too large to be a measure")
    try:
        return parse_object(text.encode(errors="surrogatepass"))
    except NotCanonical:
        raise NotMeasured("its answer is not an object") from None


def _only_text(content: Json) -> str | None:
    blocks = cast("list[Json]", content) if isinstance(content, list) else []
    if len(blocks) != 1 or not isinstance(blocks[0], Mapping):
        return None
    text = cast("Mapping[str, Json]", blocks[0]).get("text")
    return text if isinstance(text, str) else None


def _is_measure(name: str, value: Json) -> bool:
    """Whether a value says something about reach. Raises `NotMeasured` for a known measure that does not."""
    if name in COUNTS:
        fits = _is_number(value) and value >= 0
    elif name == SERVICES:
        fits = (_is_number(value) and value >= 0) or _are_names(value)
    else:
        return isinstance(value, bool) or _is_number(value) or _is_word(value)
    if not fits:
        raise NotMeasured(f"its {name} is no such measure")
    return True


def _is_number(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST  # which no infinity is, and what is no number neither


def _is_word(value: Json) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD


def _are_names(value: Json) -> bool:
    names = cast("list[Json]", value) if isinstance(value, list) else None
    return names is not None and len(names) <= _MOST and all(_is_word(each) for each in names)


def grew(before: Mapping[str, Json] | None, now: Mapping[str, Json] | None) -> bool:
    """Whether a call reaches further `now` than what was known `before`, or it cannot be told.

    Unknown is the widest. A number that is larger, a measure that came or went and anything but a number
    that is another all count.
    """
    if before is None or now is None:
        return before is not None
    return any(_larger(before.get(name), now.get(name)) for name in {*before, *now})


def _larger(before: Json, now: Json) -> bool:
    if _is_number(before) and _is_number(now):
        return now > before
    return type(before) is not type(now) or before != now


def numbers(reach: Mapping[str, Json]) -> dict[str, Json]:
    """Return the measures that are no text: what may be kept where no argument value may stand."""
    return {name: value for name, value in reach.items() if isinstance(value, bool) or _is_number(value)}
