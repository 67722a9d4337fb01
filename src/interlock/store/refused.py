"""What could not be done while the store could not be written, so that it is on record afterwards.

Bounded: the first refusals are kept one by one, the rest are counted.
"""

from __future__ import annotations

import threading

from interlock.store.audit import Draft
from interlock.store.transaction import draft

KEPT = 1_000


class Refused:
    """A list of refusals that callers add to and the writer takes from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Draft] = []
        self._units = self._over = self._until = 0
        self._told = (0, 0)
        self._since: int | None = None
        self._reason = ""

    def __bool__(self) -> bool:
        return self._since is not None

    def failed(self, reason: str, drafts: list[Draft], *, units: int, now: int) -> None:
        """Note that a commit failed: why, what its units wanted to record, and how many they were."""
        with self._lock:
            self._since = now if self._since is None else self._since
            self._until, self._reason = now, reason
            self._units += units
            for each in drafts:
                self._keep(each)

    def add(self, wanted: Draft) -> None:
        """Note that something was refused because it could not be recorded."""
        with self._lock:
            self._since = wanted[0] if self._since is None else self._since
            self._until = max(self._until, wanted[0])
            self._keep(wanted)

    def entries(self) -> list[Draft]:
        """Return the audit entries that put all of it on record."""
        with self._lock:
            if self._since is None:
                return []
            self._told = self._units, self._over
            body = {
                "reason": self._reason,
                "since": self._since,
                "until": self._until,
                "units": self._units,
                "refused": len(self._kept) + self._over,
                "not_listed": self._over,
            }
            said = draft(self._until, ("store.unavailable", "", "", "", "", "", ""), body)
            return [said, *(_refusal(each) for each in self._kept)]

    def recorded(self, entries: int) -> None:
        """Forget what `entries` returned, so many: it is on disk. What was added since stays."""
        with self._lock:
            self._kept = self._kept[max(0, entries - 1) :]
            self._units -= self._told[0]
            self._over -= self._told[1]
            if not (self._kept or self._units or self._over):
                self._since = None

    def _keep(self, wanted: Draft) -> None:
        if len(self._kept) < KEPT:
            self._kept.append(wanted)
        else:
            self._over += 1


def _refusal(wanted: Draft) -> Draft:
    at, kind, *fields, _body = wanted
    return draft(at, ("store.refused", *map(str, fields)), {"of": kind})
