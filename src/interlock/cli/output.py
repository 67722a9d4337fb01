"""What a command prints: a table for people, JSON for programs. Untrusted text is escaped and capped."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PIPED = 240
_GAP = 2
_PROSE = 36
"""A longer text may fold: it does not push other columns out."""
_NAMES = frozenset({"id", "kid"})
"""Columns that are copied into the next command: never folded."""


class _Console(Console):
    """A console that lets the command's edge hear of a reader that has gone."""

    def on_broken_pipe(self) -> None:
        """Let the error pass: rich would end the process here, without a word."""
        self.quiet = True
        raise


def _console(stream: TextIO, *, stderr: bool = False) -> Console:
    """A console that folds to the terminal, and not at all where a program or a file reads."""
    return _Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else _PIPED)


console = _console(sys.stdout)
notes = _console(sys.stderr, stderr=True)

_CAP = 2_000


def safe(value: object, *, cap: int = _CAP) -> str:
    """Return text from outside fit for a terminal: control characters shown, markup escaped, capped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    shown = "".join(each if each == "\n" or each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    if len(shown) > cap:
        shown = f"{shown[:cap]}… ({len(text)} characters)"
    return escape(shown)


def line(value: object, *, cap: int = _CAP) -> str:
    """Return text from outside fit for one line of a terminal: a line break cannot fake another line."""
    return safe(value, cap=cap).replace("\n", "\\n")


def warn(text: str) -> None:
    """Say something on standard error that must not be overlooked."""
    notes.print(f"[yellow]interlock: {safe(text)}[/yellow]")


def table(
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str],
    *,
    title: str | None = None,
    spare: Sequence[str] = (),
) -> Table:
    """Return `rows` as a table of `columns`; a missing value is an empty cell.

    Where the terminal is too narrow, columns of `spare` are left out, the first one first; --json has all.
    """
    cells = [{column: _cell(row.get(column)) for column in columns} for row in rows]
    kept = _fitting(columns, cells, spare)
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in kept:
        shown.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in _NAMES)
    for row in cells:
        shown.add_row(*(row[column] for column in kept))
    return shown


def emit(data: Any, shown: object, as_json: bool) -> None:
    """Print `data` as JSON where asked, else `shown` (a table or text)."""
    if as_json:
        text = json.dumps(data, ensure_ascii=False, indent=2, default=str)
        sys.stdout.write("".join(map(_visible, text)) + "\n")
    else:
        console.print(shown)


def _fitting(columns: Sequence[str], rows: Sequence[Mapping[str, str]], spare: Sequence[str]) -> list[str]:
    kept = list(columns)
    for each in spare:
        widths = (
            max([len(column), *(min(len(row[column]), _PROSE) for row in rows)]) + _GAP for column in kept
        )
        if sum(widths) - _GAP > console.width:
            kept.remove(each)
    return kept


def _cell(value: object) -> str:
    if value is None:
        return ""
    return line(value, cap=200)


def _visible(character: str) -> str:
    """Return a character of a JSON text; one that a terminal might obey or hide stands as its escape."""
    if character == "\n" or character.isprintable():
        return character
    return json.dumps(character)[1:-1]
