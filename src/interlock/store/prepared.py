"""A statement of the call path, compiled once and then handed to the driver as text.

The compiler and parameter processing of SQLAlchemy cost more than the database does with such a row. Only
for statements whose parameters are text, whole numbers or None, which both drivers take as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError


class Ran(Protocol):
    """What both drivers return."""

    rowcount: int

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        ...


class Prepared:
    """One statement with named parameters, for either database."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, Callable[[Mapping[str, Any]], Any]]] = {}

    def run(self, connection: sa.Connection, parameters: Mapping[str, Any]) -> Ran:
        """Execute it on `connection`, inside the transaction that is open there. Raises `DBAPIError`."""
        dialect = connection.dialect
        known = self._texts.get(dialect.name)
        if known is None:
            known = self._texts[dialect.name] = self._compiled(dialect, parameters)
        text, given = known
        driver: Any = connection.connection.dbapi_connection
        try:
            return driver.execute(text, given(parameters))
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError(text, None, error) from error

    def _compiled(
        self, dialect: sa.Dialect, parameters: Mapping[str, Any]
    ) -> tuple[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the text, and how what the driver is given is made of the parameters."""
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(parameters))
        names: list[str] = compiled.positiontup if compiled.positional else []
        if len(names) > 1:
            return compiled.string, itemgetter(*names)
        return compiled.string, (lambda given: tuple(given[each] for each in names)) if names else _as_given


def _as_given(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    return parameters
