"""The order of the tests: those marked `long` begin first, dealt among the workers.

A long test that begins last leaves the other workers nothing to do. A module that is marked so with
`together=True` is begun as a whole, by one worker: whoever took a share of it later would start once more
what its tests share. The rest stays as it was shuffled.
"""

from __future__ import annotations

import os

import pytest

Block = tuple[int, list[pytest.Item]]
"""Tests that begin one after the other on the same worker, and about how many seconds they take."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests at the front of each worker's share, the longest of all first."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    hands = _hands(_blocks(items), workers)
    rest = [each for each in items if _long(each) is None]
    dealt: list[pytest.Item] = []
    for number, hand in enumerate(hands):
        share = (len(items) - len(dealt)) // (workers - number)  # as xdist cuts the list for --dist worksteal
        taken = max(share - len(hand), 0)
        dealt += hand + rest[:taken]
        rest = rest[taken:]
    items[:] = dealt + rest


def _blocks(items: list[pytest.Item]) -> list[Block]:
    """Return what is long, the longest first."""
    found: dict[str, Block] = {}
    for each in items:
        marker = _long(each)
        if marker is not None:
            name = str(each.path) if marker.kwargs.get("together") else each.nodeid
            found.setdefault(name, (marker.args[0], []))[1].append(each)
    return sorted(found.values(), key=lambda block: block[0], reverse=True)


def _hands(blocks: list[Block], workers: int) -> list[list[pytest.Item]]:
    """Deal the blocks among the workers, each to the one that has least to do."""
    busy = [0] * workers
    hands: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for seconds, tests in blocks:
        least = busy.index(min(busy))
        busy[least] += seconds
        hands[least] += tests
    return hands


def _long(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("long")
