"""The state of the help desk: tickets, mail and refunds in one JSON file that outlives every process.

The file is the outside world of a demonstration: it records each effect with the call that made it,
whatever Interlock says about it. Changes are made under a file lock and replace the file as a whole.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
State = dict[str, Any]

_CUSTOMERS = {
    "C-1": {"name": "Ada Lindqvist", "email": "ada@example.com", "segments": ["pro", "eu"]},
    "C-2": {"name": "Bao Tran", "email": "bao@example.com", "segments": ["free"]},
    "C-3": {"name": "Chidi Okafor", "email": "chidi@example.com", "segments": ["pro"]},
    "C-4": {"name": "Dana Weiss", "email": "dana@example.com", "segments": ["free", "eu"]},
    "C-5": {"name": "Emre Aydin", "email": "emre@example.com", "segments": ["pro", "eu"]},
}
_TICKETS = (
    ("T-1", "C-1", "Charged twice in October", "The invoice of 3 October was charged twice: 49.00 EUR each."),
    ("T-2", "C-2", "Cannot reset my password", "The reset mail never arrives."),
    ("T-3", "C-3", "Export fails with large files", "Exports above 2 GB stop at 97 percent."),
    ("T-4", "C-4", "Please delete my account", "I no longer use the product."),
    ("T-5", "C-5", "Refund for the broken add-on", "The add-on never worked. I want my 900.00 EUR back."),
)


def fresh() -> State:
    """Return the state of a help desk on its first day: five customers, five open tickets, no effects."""
    return {
        "customers": _CUSTOMERS,
        "tickets": {
            ticket: {"customer": customer, "subject": subject, "body": body, "status": "open", "notes": {}}
            for ticket, customer, subject, body in _TICKETS
        },
        "mails": [],
        "refunds": [],
        "effects": [],
        "next": 1,
    }


class Desk:
    """The help desk in one file. A file that does not exist yet is a fresh desk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> State:
        """Return the state as it is now."""
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return fresh()

    def change(self, tool: str, arguments: dict[str, Any], work: Callable[[State], Result]) -> Result:
        """Apply `work` to the state, note the effect and replace the file, or do nothing if it raises."""
        with self._alone():
            state = self.read()
            result = work(state)
            state["effects"].append({"tool": tool, "arguments": arguments})
            self._replace(state)
            return result

    def _replace(self, state: State) -> None:
        beside = self._path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(state, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)

    @contextmanager
    def _alone(self) -> Generator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def new_id(state: State, prefix: str) -> str:
    """Take the next number of the desk."""
    number = state["next"]
    state["next"] = number + 1
    return f"{prefix}-{number}"


def members(state: State, segment: str) -> list[str]:
    """Return the mail addresses of a segment; `all` is everybody."""
    return [
        each["email"]
        for each in state["customers"].values()
        if segment == "all" or segment in each["segments"]
    ]
