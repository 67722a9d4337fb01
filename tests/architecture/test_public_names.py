"""The public interface is three import paths, and their names are pinned here."""

from __future__ import annotations

import interlock
from interlock import errors, testing

PUBLIC = {
    "interlock": ["Outcome", "__version__", "run", "tool"],
    "interlock.testing": [
        "FixedClock",
        "ModelServer",
        "Received",
        "Reply",
        "Stub",
        "StubServer",
        "ToolCall",
        "UsageAt",
    ],
    "interlock.errors": [
        "AuditBroken",
        "CallError",
        "CommitUnknown",
        "Denied",
        "GrantRefused",
        "InDoubt",
        "InterlockError",
        "ManifestError",
        "NotFound",
        "NotPermitted",
        "OutcomeUnknown",
        "Pending",
        "RunHalted",
        "SnapshotMoved",
        "StateConflict",
        "StoreError",
        "StoreInUse",
        "StoreUnavailable",
        "TokenInvalid",
        "ToolFailed",
        "TurnedDown",
        "UpstreamError",
        "UpstreamRefused",
        "UpstreamUnavailable",
        "UsageError",
    ],
}


def error_classes() -> dict[str, type[errors.InterlockError]]:
    """Return the exception tree by name."""
    return {
        name: each
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.InterlockError)
    }


def test_the_public_names_are_pinned() -> None:
    assert sorted(interlock.__all__) == PUBLIC["interlock"]
    assert sorted(testing.__all__) == PUBLIC["interlock.testing"]
    assert sorted(error_classes()) == PUBLIC["interlock.errors"]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [each.code for each in error_classes().values()]
    assert len(codes) == len(set(codes))
    assert all("code" in vars(each) for each in error_classes().values())


def test_every_error_is_in_the_tree_at_the_head_of_its_module() -> None:
    assert not [name for name in error_classes() if name not in (errors.__doc__ or "")]
