"""What to say when somebody names a workflow that is not in force: what was meant, or what there is."""

from __future__ import annotations

from difflib import get_close_matches

from interlock.core.bundle import Bundle
from interlock.errors import NotFound

_NAME, _LISTED = 60, 10


def no_workflow(name: str, bundle: Bundle | None) -> NotFound:
    """Return the error for an unknown workflow, with a near name or the names there are."""
    return NotFound(f"There is no workflow named {name[:_NAME]!r}.", hint=_hint(name, bundle))


def _hint(name: str, bundle: Bundle | None) -> str:
    if bundle is None or not bundle.workflows:
        return "No workflow is in force. Declare one in a manifest, then: interlock apply"
    if near := get_close_matches(name, list(bundle.workflows), n=1):
        return f"Did you mean {near[0]}?"
    names = sorted(bundle.workflows)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"There are: {', '.join(names[:_LISTED])}{more}."
