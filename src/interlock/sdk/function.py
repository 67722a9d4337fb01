"""A function of the program as a governed tool: name, schema, arguments, and how one call of it ended."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from interlock.core.model import Json
from interlock.errors import OutcomeUnknown, UsageError

_PLAIN: dict[Any, dict[str, Json]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
_UNKNOWN = (OutcomeUnknown, TimeoutError, ConnectionError)
"""What a function raises when it cannot know whether it had its effect; any other error is definite."""
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a function ended: `succeeded` with a value, `failed`, or `unknown`, each with its error."""

    how: Literal["succeeded", "failed", "unknown"]
    value: Any = None
    error: BaseException | None = None

    @property
    def message(self) -> str:
        """What is told of the error."""
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"[:_LONGEST]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function under its dotted name. `undo` names the tool that takes its effect back."""

    name: str
    code: Callable[..., Any]
    schema: Mapping[str, Json]
    description: str
    undo: str = ""

    @classmethod
    def of(cls, name: str, code: Callable[..., Any], *, undo: str = "") -> Function:
        """Return a function under a name. Raises `UsageError` where it cannot be called by its arguments."""
        server, _, bare = name.partition(".")
        if not server or not bare or "." in bare:
            raise UsageError(
                f"{name!r} is not the name of a tool.", hint="Name it as the manifest does: server.tool"
            )
        return cls(
            name=name,
            code=code,
            schema=_schema(code),
            description=inspect.getdoc(code) or "",
            undo=undo,
        )

    @property
    def server(self) -> str:
        """The server's part of the name."""
        return self.name.partition(".")[0]

    @property
    def definition(self) -> dict[str, Json]:
        """The function as an MCP tool definition."""
        bare = self.name.partition(".")[2]
        return {"name": bare, "description": self.description, "inputSchema": dict(self.schema)}

    @property
    def asynchronous(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.code)

    def bind(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Json]:
        """Return a call's arguments by name, defaults included. Raises `TypeError` as the function would."""
        bound = inspect.signature(self.code).bind(*arguments, **named)
        bound.apply_defaults()
        return dict(bound.arguments)

    def run(self, arguments: Mapping[str, Json]) -> Ended:
        """Run a plain function."""
        try:
            return Ended(how="succeeded", value=self.code(**arguments))
        except _UNKNOWN as error:
            return Ended(how="unknown", error=error)
        except Exception as error:  # noqa: BLE001 - whatever the function says, the call has ended
            return Ended(how="failed", error=error)
        except BaseException as error:  # noqa: BLE001 - interrupted in the middle: nobody knows how far it got
            return Ended(how="unknown", error=error)

    async def run_async(self, arguments: Mapping[str, Json]) -> Ended:
        """Run a coroutine function."""
        try:
            return Ended(how="succeeded", value=await self.code(**arguments))
        except _UNKNOWN as error:
            return Ended(how="unknown", error=error)
        except Exception as error:  # noqa: BLE001 - whatever the function says, the call has ended
            return Ended(how="failed", error=error)


def _schema(code: Callable[..., Any]) -> dict[str, Json]:
    hints = get_type_hints(code)
    properties: dict[str, Json] = {}
    required: list[Json] = []
    for name, parameter in inspect.signature(code).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(
                f"{code.__name__}() takes {name} by position alone, or any number of them.",
                hint="A governed function's arguments have names, so that rules can speak of them.",
            )
        properties[name] = schema_of(hints.get(name, Any))
        if parameter.default is parameter.empty:
            required.append(name)
    return {
        "type": "object", "properties": properties, "required": required, "additionalProperties": False,
    }  # fmt: skip


def schema_of(hint: Any) -> dict[str, Json]:
    """Return the JSON Schema of a type hint; what has no equal in JSON Schema is left open."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is list or hint is list:
        return {"type": "array", **({"items": schema_of(parts[0])} if parts else {})}
    if origin is dict or hint is dict:
        return {"type": "object", **({"additionalProperties": schema_of(parts[1])} if parts else {})}
    return {}
