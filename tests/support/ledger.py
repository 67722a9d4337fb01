"""Rows of the ledger for tests."""

from __future__ import annotations

from itertools import count
from typing import Any

from interlock.core.model import DAY
from interlock.store.model_calls import LedgerRow

MONDAY = 20_779 * DAY
_numbers = count()


def a_row(**values: Any) -> LedgerRow:
    """Return what one attempt left in the ledger: free of charge, on Monday, unless it is said otherwise."""
    given: dict[str, Any] = {
        "attempt": f"att_{next(_numbers)}",
        "environment": "dev",
        "run": "run_1",
        "root_run": "run_1",
        "workflow": "refunds",
        "version": 1,
        "agent": "bot",
        "provider": "openai",
        "requested_model": "gpt-5",
        "served_model": "gpt-5",
        "price_version": "openai/gpt-5@1",
        "ending": "complete",
        "started_at": MONDAY,
        "ended_at": MONDAY,
    }
    return LedgerRow(**{**given, **values})
