"""What one process of several does: `interlock serve --role`, in one word or several."""

from __future__ import annotations

from enum import StrEnum

from interlock.errors import UsageError


class Role(StrEnum):
    """`gateway` takes calls, `control` serves the API, `worker` does what is due."""

    GATEWAY = "gateway"
    CONTROL = "control"
    WORKER = "worker"


Roles = frozenset[Role]
ALL: Roles = frozenset(Role)


def roles_of(said: str) -> Roles:
    """Return the roles that a comma-separated text names; empty stands for all. Raises `UsageError`."""
    words = {each.strip().lower() for each in said.split(",")} - {""}
    unknown = sorted(words - {each.value for each in Role})
    if unknown:
        raise UsageError(
            f"There is no role {unknown[0]!r}.", hint="The roles are gateway, control and worker."
        )
    return frozenset(map(Role, words)) or ALL


def require_shared(roles: Roles, *, shared: bool) -> None:
    """Refuse to split what only one process may open. Raises `UsageError`."""
    if roles != ALL and not shared:
        raise UsageError(
            "The roles of a server can be split on PostgreSQL only: one process at a time may open SQLite.",
            hint="Serve all three roles in one process, or set INTERLOCK_DATABASE to postgresql://….",
        )
