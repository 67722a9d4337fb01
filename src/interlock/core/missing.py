"""What to say when somebody names a workflow that is not in force: what was meant, or what there is."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from interlock.core.bundle import Bundle

_NAME, _LISTED = 60, 10


class Missing(NamedTuple):
    """What to say: that it does not exist, and what to do next."""

    message: str
    hint: str


def no_workflow(name: str, bundle: Bundle | None) -> Missing:
    """Return what to say of an unknown workflow, with a near name or the names there are."""
    return Missing(f"There is no workflow named {name[:_NAME]!r}.", _hint(name, bundle))


def _hint(name: str, bundle: Bundle | None) -> str:
    if bundle is None or not bundle.workflows:
        return "No workflow is in force. Declare one in a manifest, then: interlock apply"
    if near := get_close_matches(name, list(bundle.workflows), n=1):
        return f"Did you mean {near[0]}?"
    names = sorted(bundle.workflows)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"There are: {', '.join(names[:_LISTED])}{more}."
