"""Tools as they were registered, and what their servers offer now. A tool that drifted is disabled."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.misfit import Shape
from interlock.core.model import Json, Pin
from interlock.store import schema
from interlock.store.news import Topic
from interlock.store.transaction import Transaction

_PINS = schema.pins
_COLUMNS = tuple(_PINS.columns.keys())
_ADD = sa.text(
    f"INSERT INTO pins ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{each}' for each in _COLUMNS)})"
    " ON CONFLICT (tool) DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTool:
    """One row: the pin, the definition it is a hash of, and the schema of its results as last listed."""

    pin: Pin
    name: str
    description: str
    schema: dict[str, Json]
    result_schema: dict[str, Json] | None
    registered_at: int


def all_pins(connection: sa.Connection) -> list[PinnedTool]:
    """Return every registered tool."""
    return [_read(row) for row in connection.execute(sa.select(_PINS).order_by(_PINS.c.tool))]


def find_pin(connection: sa.Connection, tool: str) -> PinnedTool | None:
    """Return one registered tool."""
    row = connection.execute(sa.select(_PINS).where(_PINS.c.tool == tool)).first()
    return None if row is None else _read(row)


def shapes(connection: sa.Connection) -> dict[str, Shape]:
    """Return what is known of the values of every registered tool."""
    return {each.pin.tool: Shape(each.schema, each.result_schema or {}) for each in all_pins(connection)}


def register(
    transaction: Transaction,
    tool: str,
    *,
    digest: str,
    name: str,
    description: str,
    schema: Json,
    result_schema: Json = None,
) -> Pin | None:
    """Pin a tool as it is now, or return None where another process has just done it."""
    values = {
        "tool": tool,
        "digest": digest,
        "seen": digest,
        "name": name,
        "description": description,
        "schema": json.dumps(schema, sort_keys=True),
        "registered_at": transaction.now,
        "disabled": False,
        "result_schema": _said(result_schema),
    }
    if transaction.execute(_ADD, values).rowcount == 0:
        return None
    transaction.tell(Topic.PIN, tool)
    return Pin(tool=tool, digest=digest, seen=digest)


def forget(transaction: Transaction, tool: str) -> None:
    """Forget how a tool was registered: it is registered anew in the same commit."""
    transaction.execute(sa.delete(_PINS).where(_PINS.c.tool == tool))


def see(transaction: Transaction, pin: Pin, seen: str) -> Pin:
    """Note what the server offers now; anything but what was registered disables the tool."""
    transaction.execute(
        sa.update(_PINS)
        .where(_PINS.c.tool == pin.tool)
        .values({"seen": seen, "disabled": seen != pin.digest})
    )
    transaction.tell(Topic.PIN, pin.tool)
    return Pin(tool=pin.tool, digest=pin.digest, seen=seen)


def learn_result(transaction: Transaction, tool: str, schema: Json) -> None:
    """Note what the server says now of a tool's results: no part of the pin, nothing is admitted by it."""
    transaction.execute(sa.update(_PINS).where(_PINS.c.tool == tool).values({"result_schema": _said(schema)}))
    transaction.tell(Topic.PIN, tool)


def _said(schema: Json) -> str | None:
    return json.dumps(schema, sort_keys=True) if isinstance(schema, dict) else None


def _read(row: sa.Row[tuple[object, ...]]) -> PinnedTool:
    columns = row._mapping  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented way to columns by name
    return PinnedTool(
        pin=Pin(tool=columns["tool"], digest=columns["digest"], seen=columns["seen"]),
        name=columns["name"],
        description=columns["description"],
        schema=json.loads(columns["schema"]),
        result_schema=json.loads(columns["result_schema"] or "null"),
        registered_at=columns["registered_at"],
    )
