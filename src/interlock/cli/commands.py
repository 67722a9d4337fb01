"""Every command, in the order in which `interlock --help` lists them.

A command's module has its name, and is imported when it is added: who asks for one does not wait for all.
"""

from __future__ import annotations

from importlib import import_module

import typer

_VERBS = (
    "init",
    "schema",
    "validate",
    "plan",
    "apply",
    "serve",
    "run",
    "mcp",
    "demo",
    "doctor",
    "blast-radius",
)
_NOUNS = (
    "changes",
    "policy",
    "runs",
    "approvals",
    "actions",
    "audit",
    "agents",
    "kill",
    "breaker",
    "autonomy",
    "digest",
    "alerts",
    "incidents",
    "deployments",
    "rollback",
    "token",
    "tools",
    "undo",
    "budget",
    "prices",
    "signals",
)


def add_all(app: typer.Typer) -> None:
    """Add every command to `app`."""
    for name in (*_VERBS, *_NOUNS):
        add(app, name)


def add(app: typer.Typer, name: str) -> None:
    """Add the command `name`, or all commands of the noun `name`, to `app`."""
    word = name.replace("-", "_")
    module = import_module(f"interlock.cli.{word}")
    if name in _NOUNS:
        app.add_typer(module.app, name=name)
    else:
        app.command(name)(getattr(module, word))


def is_known(name: str) -> bool:
    """Return whether there is a command or noun `name`."""
    return name in _VERBS or name in _NOUNS
