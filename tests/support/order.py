"""The order of the tests: those marked `long` begin first, each on another worker.

A long test that begins last leaves the other workers nothing to do. The rest stays as it was shuffled.
"""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests at the front of each worker's share, the longest of all first."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = sorted(filter(_seconds, items), key=_seconds, reverse=True)
    rest = [each for each in items if not _seconds(each)]
    dealt: list[pytest.Item] = []
    for number in range(workers):
        hand = long[number::workers]
        share = (len(items) - len(dealt)) // (workers - number)  # as xdist cuts the list for --dist worksteal
        taken = max(share - len(hand), 0)
        dealt += hand + rest[:taken]
        rest = rest[taken:]
    items[:] = dealt + rest


def _seconds(item: pytest.Item) -> int:
    marker = item.get_closest_marker("long")
    return marker.args[0] if marker else 0
