"""What a condition asks for and what was there, in words: "up to 50000", "90000".

Values come from outside, so they are shown short and escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from interlock.core.model import Json
from interlock.core.policy.operator import EQUAL, PRESENT, kind_of

_SHOWN = 80
_SHOWN_MEMBERS = 8
_SAID: Mapping[str, str] = {
    EQUAL: "{}",
    "ne": "anything but {}",
    "lt": "less than {}",
    "le": "up to {}",
    "gt": "more than {}",
    "ge": "at least {}",
    "in": "one of {}",
    "not_in": "none of {}",
    "prefix": "text that starts with {}",
    "suffix": "text that ends with {}",
    "glob": "text like {}",
    "contains": "something that contains {}",
    "len": "a length of {}",
    "all_in": "a list with members of {} only",
    "any_not_in": "a list with a member outside {}",
    "all_suffix": "a list whose members all end with {}",
    "any_not_suffix": "a list with a member that does not end with {}",
}


def shown(value: Json) -> str:
    """Return a value for a reader: scalars as short, escaped JSON, anything larger by its size."""
    if type(value) in (list, dict):
        members = cast(list[Json], value)
        return f"{kind_of(members)} of {len(members)}"
    text = _written(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _written(value: Json) -> str:
    if type(value) is int:  # what most refusals are about, in a tenth of the time
        return str(value)
    return json.dumps(value[:_SHOWN] if type(value) is str else value)


def phrased(operator: str, operand: str) -> str:
    """Return in words what an operator asks for, given its operand in words."""
    return _SAID[operator].format(operand)


def said(operator: str, operand: Json) -> str:
    """Return in words what an operator asks for: "up to 50000"."""
    if operator == PRESENT:
        return "present" if operand else "absent"
    return phrased(operator, _operand(operand))


def _operand(operand: Json) -> str:
    if type(operand) is list:
        members = cast(list[Json], operand)
        more = len(members) - _SHOWN_MEMBERS
        return ", ".join(map(shown, members[:_SHOWN_MEMBERS])) + (f" and {more} more" if more > 0 else "")
    if type(operand) is dict:
        bounds = cast(dict[str, Json], operand)
        return " and ".join(phrased(name, shown(bound)) for name, bound in bounds.items() if name in _SAID)
    return shown(operand)
