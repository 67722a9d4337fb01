"""The fields that every kind is made of: names, secrets by reference, quantities, and the strict model.

Quantities become integers here (`manifest.quantity`); the JSON Schema of each says how it is written.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from interlock.core.model import (
    Ability,
    AtEnd,
    EffectClass,
    OnFailure,
    OnHard,
    RiskTier,
    Shortening,
    Source,
    WireFamily,
)
from interlock.manifest import quantity

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.[!-~]{1,128}")
SECRET = re.compile(r"secret://env/[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
URL = re.compile(r"https?://[^\s/]+(/\S*)?")
_BASE_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
_HOOK = re.compile(r"https?://[^\s/@?#]+(/[^\s#]*)?")
_MODEL = re.compile(r"[!-~]{1,200}")

THRESHOLD_PATTERN = r"^\d{1,3}(\.\d)?\s?%$"


def matching(pattern: re.Pattern[str], expected: str) -> Any:
    """Return what makes a text match all of `pattern`; `expected` says it in words."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def need_zone(tz: str) -> None:
    """Refuse a name that is no time zone's. Raises `ValueError`."""
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone such as Europe/Berlin in tz") from None


def shown_as(convert: Any, schema: dict[str, Any]) -> tuple[Any, Any]:
    """Return what makes a quantity of the manifest an integer, and how the JSON Schema shows it."""
    return BeforeValidator(convert), WithJsonSchema(schema)


LETTERS = "letters, digits, - and _, at most 63 characters"
Name = Annotated[str, matching(NAME, f"a name of {LETTERS}")]
PersonName = Annotated[str, matching(PERSON, "a name of letters, digits, dots, - and _")]
ToolName = Annotated[str, matching(TOOL, "a tool as server.tool, such as payments.refund")]
Variable = Annotated[str, matching(_VARIABLE, "the name of an environment variable")]
Header = Annotated[str, matching(_HEADER, "the name of an HTTP header")]
Email = Annotated[str, matching(_EMAIL, "an e-mail address")]
Url = Annotated[str, matching(URL, "a URL such as https://tools.example.com/mcp")]
BaseUrl = Annotated[
    str, matching(_BASE_URL, "a URL such as https://api.openai.com/v1, without user, query or fragment")
]
HookUrl = Annotated[
    str, matching(_HOOK, "a URL such as https://hooks.example.com/outcomes, without user or fragment")
]
ModelName = Annotated[str, matching(_MODEL, "the name of a model, or provider/name")]
Secret = Annotated[
    str, matching(SECRET, "a reference such as secret://env/NAME; a secret never stands in a manifest")
]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Duration = Annotated[
    int,
    *shown_as(
        quantity.seconds,
        {"type": "string", "pattern": r"^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2},
    ),
]
Threshold = Annotated[int, *shown_as(quantity.per_mille, {"type": "string", "pattern": THRESHOLD_PATTERN})]
Share = Annotated[int, *shown_as(quantity.share, {"type": ["number", "string"], "minimum": 0, "maximum": 1})]
_DOLLARS: dict[str, Any] = {"type": ["number", "string"], "minimum": 0}
Money = Annotated[int, *shown_as(quantity.nano_dollars, _DOLLARS)]
PerMillion = Annotated[int, *shown_as(quantity.pico_per_token, _DOLLARS)]
PerCall = Annotated[int, *shown_as(quantity.pico_per_call, _DOLLARS)]
Latency = Annotated[
    int, *shown_as(quantity.microseconds, {"type": "string", "pattern": r"^\d+ms$|^(\d+h)?(\d+m)?(\d+s)?$"})
]
Bytes = Annotated[
    int, *shown_as(quantity.byte_count, {"type": ["integer", "string"], "pattern": r"^\d+([KM]iB)?$"})
]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Day = Annotated[int, *shown_as(quantity.end_of_use, {"type": "string", "format": "date"})]
Json = Annotated[Any, BeforeValidator(quantity.json_value)]
JsonMap = dict[str, Json]
Tier = Annotated[RiskTier, Field(strict=False)]
Effect = Annotated[EffectClass, Field(strict=False)]
Origin = Annotated[Source, Field(strict=False)]
End = Annotated[AtEnd, Field(strict=False)]
Failure = Annotated[OnFailure, Field(strict=False)]
OnHardLimit = Annotated[OnHard, Field(strict=False)]
How = Annotated[Shortening, Field(strict=False)]
Able = Annotated[Ability, Field(strict=False)]
Wire = Annotated[WireFamily, Field(strict=False)]


class Strict(BaseModel):
    """No unknown fields, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
