"""One canonical form of JSON arguments, so that a digest means these arguments and no others (F4, A6).

Two parsers that read one text differently are how an approved call becomes another one. So whatever
two readers could disagree on is refused before it is hashed: duplicate keys, NaN and Infinity, lone
surrogates, deep nesting, anything but an object at the top. A refusal says what and where, never the value.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, NoReturn, cast

from interlock.core.model import Json

MAX_DEPTH = 64
_SHOWN_KEY = 40
_SCALARS = frozenset({int, bool, type(None)})


class NotCanonical(ValueError):
    """The value has no canonical form; the message says what is wrong and where (a path), never the value."""


class _Refused(Exception):  # internal: collects the path while the walk unwinds
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.steps: list[str | int] = []


class _Doubled(dict[str, Json]):
    """An object in which a key came twice; left in place, so that the walk can say where."""

    key: str = ""


def parse_object(raw: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Json]:
    """Read one JSON object from UTF-8 bytes. Integers may have any size that Python reads.

    Raises `NotCanonical` for whatever `check` refuses, for duplicate keys and for what is not JSON.
    """
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotCanonical("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotCanonical(
            f"not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise NotCanonical(f"nested deeper than {max_depth} levels") from None
    except ValueError:
        raise NotCanonical("a whole number has too many digits") from None
    if not isinstance(value, dict):
        raise NotCanonical("not a JSON object at $")
    check(value, max_depth=max_depth)
    return cast(dict[str, Json], value)


def check(value: Json, *, max_depth: int = MAX_DEPTH) -> None:
    """Refuse a decoded value that has no canonical form.

    Raises `NotCanonical` for non-finite numbers, lone surrogates, keys that are not text, values that are
    not JSON, and containers nested deeper than `max_depth` (the outermost is level one).
    """
    try:
        _walk(value, max_depth)
    except _Refused as refused:
        raise NotCanonical(f"{refused.what} at {_path(refused.steps)}") from None


def canonical(value: Json) -> bytes:
    """Return the canonical bytes: keys sorted by code point, no blanks, UTF-8, shortest float form.

    `value` has passed `check` or `parse_object`; what can still be seen to be wrong raises `NotCanonical`.
    """
    try:
        return "".join(_chunks(value, 0)).encode("utf-8")
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        check(value)
        raise NotCanonical("a value that has no canonical form at $") from None


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    doubled.key = Counter(key for key, _ in pairs).most_common(1)[0][0]
    return doubled


def _make_encoder() -> Callable[[Json, int], Iterable[str]]:
    """Return what `JSONEncoder.encode` makes anew for each value, which takes as long as most arguments do.

    In order: no check for circles, no blanks, sorted keys, every key counts, no NaN or Infinity.
    """
    parts: Any = json.encoder
    return parts.c_make_encoder(
        None, json.JSONEncoder().default, parts.encode_basestring, None, ":", ",", True, False, False
    )


_chunks = _make_encoder()
_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _walk(value: object, room: int) -> None:
    kind = type(value)
    if kind is str:
        _check_text(cast(str, value))
    elif kind in _SCALARS:
        return
    elif kind is dict:
        _walk_object(cast(dict[str, Json], value), room)
    elif kind is list:
        _walk_list(cast(list[Json], value), room)
    elif kind is float:
        if not isfinite(cast(float, value)):
            raise _Refused("a number that is not finite")
    elif kind is _Doubled:
        _doubled(cast(_Doubled, value))
    else:
        raise _Refused("a value that is not JSON")


def _walk_object(value: dict[str, Json], room: int) -> None:
    if not room:
        raise _Refused("nested too deep")
    for key, each in value.items():
        try:
            if type(key) is not str:
                raise _Refused("a key that is not text")
            _check_text(key)
            _walk(each, room - 1)
        except _Refused as refused:
            refused.steps.append(str(key))
            raise


def _walk_list(value: list[Json], room: int) -> None:
    if not room:
        raise _Refused("nested too deep")
    for index, each in enumerate(value):
        try:
            _walk(each, room - 1)
        except _Refused as refused:
            refused.steps.append(index)
            raise


def _doubled(value: _Doubled) -> NoReturn:
    refused = _Refused("a duplicate key")
    refused.steps.append(value.key)
    raise refused


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused("a lone surrogate") from None


def _path(steps: list[str | int]) -> str:
    """Write the path as `$.items[3].name`; keys are untrusted text, so they are capped and escaped."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else _key(step) for step in reversed(steps))


def _key(key: str) -> str:
    shown = key if len(key) <= _SHOWN_KEY else key[:_SHOWN_KEY] + "…"
    return f".{shown}" if shown.isidentifier() else f"[{json.dumps(shown)}]"
