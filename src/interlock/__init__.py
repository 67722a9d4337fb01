"""Interlock: decide, enforce, record and undo what AI agents do.

The public API is three import paths: `interlock`, `interlock.errors`, `interlock.testing`.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
