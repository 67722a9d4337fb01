"""People over HTTP: who I am, signing in, personal tokens, and the signing keys an admin looks after."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.model import SECOND, Json
from interlock.errors import NotPermitted
from interlock.services import create_token, revoke, rotate_keys, sign_in
from interlock.store import people
from interlock.store.people import ApiToken, NewToken, Person
from interlock.web.auth import in_their_own_name, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response
from interlock.wiring import Wired

_READERS = ("auditor", "operator", "admin")


class SignInBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and its password."""

    person: str
    password: str


class PasswordBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new password, and the current one where there is one."""

    password: str
    current: str = ""
    person: str = ""


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new personal token is for. `expires_in` in seconds; `roles` null asks for all there are."""

    person: str = ""
    label: str = ""
    roles: list[str] | None = None
    expires_in: int | None = None


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many seconds the next key is published before it signs."""

    publish_ahead: int | None = None


async def me(request: Request) -> Response:
    """Say who the presented token speaks for."""
    return json_response(_person(await person_of(request)))


async def listing(request: Request) -> Response:
    """List the people of the manifest and their roles."""
    await person_of(request, *_READERS)
    wired: Wired = request.app.state.wired
    return list_response(map(_person, await wired.store.read(people.everyone)))


async def signing_in(request: Request) -> Response:
    """Exchange a name and a password for a personal token that lasts half a day."""
    wired: Wired = request.app.state.wired
    body = await read_body(request, SignInBody)
    made = await sign_in.sign_in(
        store=wired.store,
        throttle=wired.authenticator.throttle,
        name=body.person[:200],
        password=body.password,
        caller=request.client.host if request.client else "local",
        now=wired.runtime.clock.now(),
    )
    return _secret(made, person=body.person)


async def password(request: Request) -> Response:
    """Set a password. A narrowed token sets none: a password signs in with all that its person holds."""
    by = await person_of(request)
    in_their_own_name(by)
    wired: Wired = request.app.state.wired
    body = await read_body(request, PasswordBody)
    await sign_in.set_password(
        store=wired.store, by=by, name=body.person or by.name, password=body.password, current=body.current
    )
    return json_response({"person": body.person or by.name})


async def tokens(request: Request) -> Response:
    """List one's own personal tokens, or everybody's for an admin who asks with `all=true`."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    everybody = request.query_params.get("all") == "true"
    if everybody and not by.may("admin", "auditor"):
        raise NotPermitted(f"{by.name} may see their own tokens only.")
    found = await wired.store.read(
        lambda connection: people.tokens(connection, None if everybody else by.name)
    )
    return list_response(map(_token, found))


async def new_token(request: Request) -> Response:
    """Make a personal token; its secret is in this answer and nowhere else."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, TokenBody)
    made = await create_token.create_token(
        store=wired.store,
        by=by,
        person=body.person or by.name,
        roles=body.roles,
        label=body.label,
        life=create_token.DEFAULT_LIFE if body.expires_in is None else body.expires_in * SECOND,
    )
    return _secret(made, person=body.person or by.name)


async def drop_token(request: Request) -> Response:
    """Revoke a personal token, or a run token by its id."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    token = request.path_params["token"]
    if token.startswith("jti_"):
        by = await person_of(request, "operator", "admin")
        await revoke.revoke_run_token(
            store=wired.store, memory=wired.memory, token_id=token, by=by, reason="revoked by a person"
        )
    else:
        await create_token.revoke_token(store=wired.store, by=by, token=token)
    return json_response({"revoked": token})


async def keys(request: Request) -> Response:
    """List the signing keys and what each of them does now."""
    await person_of(request, *_READERS)
    wired: Wired = request.app.state.wired
    return list_response(_keys(wired))


async def rotate(request: Request) -> Response:
    """Start a rotation of the signing key."""
    by = await person_of(request, "admin")
    wired: Wired = request.app.state.wired
    body = await read_body(request, RotateBody)
    ahead = rotate_keys.PUBLISH_AHEAD if body.publish_ahead is None else body.publish_ahead * SECOND
    done = await rotate_keys.rotate_keys(store=wired.store, keyring=wired.keyring, by=by, publish_ahead=ahead)
    return json_response({**msgspec.to_builtins(done), "keys": _keys(wired)}, 201)


async def revoke_key(request: Request) -> Response:
    """Revoke a signing key at once, with every token it signed."""
    by = await person_of(request, "admin")
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    kid = request.path_params["kid"]
    signs = await revoke.revoke_key(
        store=wired.store, memory=wired.memory, keyring=wired.keyring, kid=kid, by=by, reason=body.reason
    )
    return json_response({"revoked": kid, "signs_now": signs, "keys": _keys(wired)})


def _person(person: Person) -> dict[str, Json]:
    return {
        "name": person.name,
        "email": person.email,
        "roles": sorted(person.roles),
        "disabled": person.disabled,
    }


def _token(token: ApiToken) -> dict[str, Json]:
    shown: dict[str, Json] = msgspec.to_builtins(token)
    return shown


def _secret(made: NewToken, *, person: str) -> Response:
    response = json_response({"id": made.id, "person": person, "token": made.secret}, 201)
    response.headers["Cache-Control"] = "no-store"
    return response


def _keys(wired: Wired) -> list[dict[str, Json]]:
    now = wired.runtime.clock.now()
    return [
        {
            "kid": key.kid,
            "state": key.state(now),
            "created_at": key.created_at,
            "signs_at": key.signs_at,
            "retires_at": key.retires_at,
            "revoked_at": key.revoked_at,
        }
        for key in wired.keyring.known()
    ]


routes = [
    Route("/api/v1/me", me, methods=["GET"]),
    Route("/api/v1/people", listing, methods=["GET"]),
    Route("/api/v1/sign-in", signing_in, methods=["POST"]),
    Route("/api/v1/password", password, methods=["POST"]),
    Route("/api/v1/tokens", tokens, methods=["GET"]),
    Route("/api/v1/tokens", new_token, methods=["POST"]),
    Route("/api/v1/tokens/{token}", drop_token, methods=["DELETE"]),
    Route("/api/v1/keys", keys, methods=["GET"]),
    Route("/api/v1/keys", rotate, methods=["POST"]),
    Route("/api/v1/keys/{kid}/revoke", revoke_key, methods=["POST"]),
]
