"""Who is calling the API: the one place that reads a credential from a request.

A route is for people or for programs, never for both: a run token is refused where people act, and a
personal token where agents do, as at the gateways.
"""

from __future__ import annotations

from starlette.requests import Request

from interlock.core.model import Principal
from interlock.core.token import Refused
from interlock.errors import NotPermitted, TokenInvalid
from interlock.store import people
from interlock.store.people import Person
from interlock.web.refused_act import acts
from interlock.wiring import Wired

__all__ = ["READERS", "Person", "in_their_own_name", "person_of", "program_of"]
READERS = ("viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin")
"""Who may read what agents did: anybody with a role at all."""
_LONGEST = 256
_UNKNOWN = Refused(
    code="personal_token",
    message="This personal API token is unknown, expired or revoked.",
    hint="Sign in with: interlock token login",
)


async def person_of(request: Request, *roles: str) -> Person:
    """Return the signed-in person, who holds at least one of `roles` (any role will do when none is named).

    No role implies another: a route that an admin may use names `admin`. Raises `TokenInvalid` where the
    credential does not verify, `NotPermitted` where the person lacks the role.
    """
    wired: Wired = request.app.state.wired
    secret = bearer(request)
    now = wired.runtime.clock.now()
    person = await wired.store.read(lambda connection: people.by_token(connection, secret, now))
    if person is None:
        raise wired.authenticator.refused(_UNKNOWN)
    acts(request, person.name)
    if roles and not person.may(*roles):
        raise NotPermitted(
            f"{person.name} may not do this: it needs the role {' or '.join(roles)}.",
            hint="Roles are declared in the manifest; a token can only narrow them.",
        )
    return person


def in_their_own_name(person: Person, *roles: str) -> None:
    """Let a narrowed token pass only with one of `roles`: what follows from a name alone, it does not carry.

    A document may name who approves or answers for something; a token that was cut below that must not
    decide all the same. Raises `NotPermitted`.
    """
    if person.narrowed and not person.may(*roles):
        raise NotPermitted(
            f"This token of {person.name} was narrowed: it does not carry this.",
            hint=f"Use a token with the role {' or '.join(roles)}." if roles else "Use a full token.",
        )


def program_of(request: Request) -> Principal:
    """Return the run whose program is calling. Raises `TokenInvalid`, also for a person's credential."""
    wired: Wired = request.app.state.wired
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenInvalid("This needs a run token.", hint="Start the program with: interlock run")
    return wired.authenticator.verify(token.strip())


def bearer(request: Request) -> str:
    """Return the personal API token of the request. Raises `TokenInvalid`."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise TokenInvalid(
            "No credential was presented.",
            hint="Set INTERLOCK_TOKEN, or interlock token login. A new data directory is signed in by its "
            "first `interlock apply`.",
        )
    if not secret.startswith(people.PREFIX) or len(secret) > _LONGEST:
        raise TokenInvalid(
            "This is not a personal API token. A run token is for tool calls only.",
            hint="People sign in with a token that begins with ilk_.",
        )
    return secret
