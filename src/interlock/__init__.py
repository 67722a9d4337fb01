"""Interlock: decide, enforce, record and undo what AI agents do.

The public API is three import paths: `interlock`, `interlock.errors`, `interlock.testing`. The SDK is loaded
when its names are first asked for, because this file runs whenever any part of the package is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["Outcome", "__version__", "run", "tool"]  # pyright: ignore[reportUnsupportedDunderAll]


_WHERE = {"Outcome": "interlock.sdk.result", "run": "interlock.sdk.run", "tool": "interlock.sdk.run"}


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'interlock' has no attribute {name!r}")
    return getattr(import_module(module), name)
