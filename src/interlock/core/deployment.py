"""Which version of a workflow runs where, which was good, and what its code is rolled back to (E4).

A deployment is registered for each version of a workflow that is put in force, and for each build of its
program that is announced. A person says which was stable; nothing becomes stable by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A workflow's version in an environment from `at` on (microseconds), in force with the bundle `bundle`.

    `code` names the build of its program, where that was said; `restores` the deployment it went back to.
    One that was rolled back is `withdrawn_at`, and nobody goes back to it any more.
    """

    id: str
    environment: str
    workflow: str
    version: int
    bundle: int
    at: int
    by: str
    code: str = ""
    restores: str = ""
    stable_at: int = 0
    stable_by: str = ""
    withdrawn_at: int = 0


def last_stable(deployments: Iterable[Deployment], current: Deployment) -> Deployment | None:
    """Return the newest deployment before `current` that a person called stable, if there is one."""
    found = [
        each
        for each in deployments
        if each.stable_at and not each.withdrawn_at and each.id != current.id and each.at <= current.at
    ]
    return max(found, key=lambda each: (each.at, each.id), default=None)


def swapped(
    in_force: Iterable[AnyDocument], stable: Iterable[AnyDocument], workflow: str
) -> tuple[AnyDocument, ...] | None:
    """Return the documents in force with `workflow` as `stable` has it; None where it has no such workflow.

    The map of tools stays as it is: what is known of tools is no part of an agent's code. So does what holds
    for open runs as it is now: budget, runbook, customer label and webhook.
    """
    old = next((each for each in stable if isinstance(each, Workflow) and each.name == workflow), None)
    if old is None:
        return None
    kept = tuple(in_force)
    now = next((each for each in kept if isinstance(each, Workflow) and each.name == workflow), None)
    if now is None:
        return (*kept, old)
    back = replace(old, budget=now.budget, runbook=now.runbook, customer=now.customer, webhook=now.webhook)
    return tuple(back if each is now else each for each in kept)
