"""The token endpoint, the key set and what clients discover them by (RFC 8693, 7009, 8414, 7517).

This is where agents are let in; it takes no person's credential. Errors have OAuth's own form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.action import Action
from interlock.core.model import SECOND, Json
from interlock.core.token import DETAIL, MAX_LENGTH, MAX_LIFE
from interlock.errors import GrantRefused, TokenInvalid
from interlock.services.close_run import close_run
from interlock.services.exchange import Exchange, Exchanged, ExchangeRequest, Proof
from interlock.store.run_tokens import Issuer
from interlock.web.errors import json_response
from interlock.wiring import Wired

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = Proof.RUN_TOKEN.value
_MAX_FORM = 4 * MAX_LENGTH
_NAME = re.compile(r"[^\x00-\x20\x7f]{1,200}")
_SHORTEST = 10 * SECOND
_STATUS = {"invalid_client": 401, "slow_down": 429}


async def token(request: Request) -> Response:
    """Exchange what proves an agent for a run token, or for a narrower or newer one."""
    wired: Wired = request.app.state.wired
    try:
        form = await _form(request)
        await wired.authenticator.catch_up()
        given = await _exchange_of(wired).exchange(_asked(form, wired, _caller(request)))
    except GrantRefused as refused:
        return _refusal(refused)
    return _uncached(json_response(_answer(given)))


async def revoke(request: Request) -> Response:
    """Revoke a run token (RFC 7009), which ends its run. An unknown token is answered like a known one.

    With `keep_waiting=true` the run stays open, though nobody renews it, while a call of it waits. With
    `ungoverned=true` its record says that the program went past the gateway. With `failed=true` what it did
    is undone where its workflow says so. Whoever holds the token is told what was cancelled, or waits on.
    """
    wired: Wired = request.app.state.wired
    try:
        form = await _form(request)
    except GrantRefused as refused:
        return _refusal(refused)
    try:
        holder = await wired.authenticator.recognise(form.get("token", ""))
    except TokenInvalid:
        return _uncached(json_response({}))
    reason = form.get("reason", "")[:200] or "the launcher ended it"
    closed = await close_run(
        store=wired.store,
        memory=wired.memory,
        run=holder.run,
        reason=reason,
        by=f"agent:{holder.agent}",
        keep_waiting=form.get("keep_waiting") == "true",
        ungoverned=form.get("ungoverned") == "true",
        failed=form.get("failed") == "true",
    )
    return _uncached(
        json_response({"cancelled": _named(closed.cancelled), "waiting": _named(closed.waiting)})
    )


async def jwks(request: Request) -> Response:
    """Publish the public keys that verify this environment's run tokens."""
    wired: Wired = request.app.state.wired
    response = json_response(wired.keyring.jwks())
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


async def metadata(request: Request) -> Response:
    """Publish where the endpoints are (RFC 8414)."""
    wired: Wired = request.app.state.wired
    base = str(request.base_url).rstrip("/")
    return json_response(
        {
            "issuer": wired.authenticator.issuer,
            "token_endpoint": f"{base}/oauth/token",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "jwks_uri": f"{base}/.well-known/jwks.json",
            "grant_types_supported": [GRANT],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "authorization_details_types_supported": [DETAIL],
            "environment": wired.settings.environment,
        }
    )


def _named(waited: Iterable[Action]) -> list[Json]:
    return [
        {"approval": each.approval or None, "action": each.id, "tool": each.tool, "state": each.state.value}
        for each in waited
    ]


def _asked(form: Mapping[str, str], wired: Wired, caller: str) -> ExchangeRequest:
    if form.get("grant_type") != GRANT:
        raise GrantRefused(
            "Only token exchange gives run tokens.",
            oauth="unsupported_grant_type",
            hint=f"grant_type={GRANT}",
        )
    proof = _proof(form, "subject_token_type")
    subject = form.get("subject_token", "")
    if not subject or len(subject) > MAX_LENGTH:
        raise GrantRefused("subject_token is missing or too long.", oauth="invalid_request")
    if form.get("requested_token_type", _ACCESS_TOKEN) != _ACCESS_TOKEN:
        raise GrantRefused("Only access tokens are issued.", oauth="invalid_request")
    if form.get("audience", wired.authenticator.issuer) != wired.authenticator.issuer:
        raise GrantRefused(
            f"This is the token endpoint of {wired.authenticator.issuer}.", oauth="invalid_target"
        )
    return ExchangeRequest(
        proof=proof,
        subject_token=subject,
        workflow=_name(form, "workflow"),
        run=_name(form, "run"),
        scope=frozenset(form["scope"].split()) if form.get("scope", "").strip() else None,
        life=_life(form),
        actor=_name(form, "actor"),
        attended=form.get("attended") == "true",
        direct_models=form.get("direct_models") == "true",
        caller=caller,
        acting=_acting(form),
    )


def _acting(form: Mapping[str, str]) -> tuple[Proof, str] | None:
    """Return what proves who acts in a run that is started from another, if it is presented."""
    presented = form.get("actor_token", "")
    if not presented:
        return None
    if len(presented) > MAX_LENGTH:
        raise GrantRefused("actor_token is too long.", oauth="invalid_request")
    return _proof(form, "actor_token_type"), presented


def _proof(form: Mapping[str, str], field: str) -> Proof:
    try:
        return Proof(form.get(field, ""))
    except ValueError:
        raise GrantRefused(
            f"{field} is none of: " + ", ".join(each.value for each in Proof), oauth="invalid_request"
        ) from None


def _name(form: Mapping[str, str], field: str) -> str:
    value = form.get(field, "")
    if value and not _NAME.fullmatch(value):
        raise GrantRefused(f"{field} is not a name.", oauth="invalid_request")
    return value


def _life(form: Mapping[str, str]) -> int:
    asked = form.get("expires_in", "")
    if not asked:
        return MAX_LIFE
    if not asked.isascii() or not asked.isdigit() or len(asked) > 6:
        raise GrantRefused("expires_in is a whole number of seconds.", oauth="invalid_request")
    return min(max(int(asked) * SECOND, _SHORTEST), MAX_LIFE)


def _answer(given: Exchanged) -> dict[str, Json]:
    return {
        "access_token": given.token.token,
        "issued_token_type": _ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": given.token.expires_in,
        "scope": " ".join(given.token.tools),
        "run": given.run.id,
        "workflow": f"{given.run.workflow}@{given.run.workflow_version}",
    }


async def _form(request: Request) -> dict[str, str]:
    """Read the form. A field given twice is refused, as OAuth asks."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_FORM:
            raise GrantRefused("The request is too large.", oauth="invalid_request")
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=40)
    except ValueError:
        raise GrantRefused("The request is not a form.", oauth="invalid_request") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise GrantRefused("A field is given twice.", oauth="invalid_request")
    return form


def _refusal(refused: GrantRefused) -> Response:
    description = f"{refused.message} {refused.hint}".strip()
    body = {"error": refused.oauth, "error_description": description}
    response = _uncached(json_response(body, _STATUS.get(refused.oauth, 400)))
    if refused.oauth == "slow_down":
        response.headers["Retry-After"] = "60"
    return response


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _caller(request: Request) -> str:
    return request.client.host if request.client else "local"


def _exchange_of(wired: Wired) -> Exchange:
    issuer = Issuer(name=wired.authenticator.issuer, keyring=wired.keyring, memory=wired.memory)
    return Exchange(
        store=wired.store,
        memory=wired.memory,
        issuer=issuer,
        verify=wired.authenticator.verify,
        throttle=wired.authenticator.throttle,
        settings=wired.settings,
        runtime=wired.runtime,
    )


routes = [
    Route("/oauth/token", token, methods=["POST"]),
    Route("/oauth/revoke", revoke, methods=["POST"]),
    Route("/.well-known/jwks.json", jwks, methods=["GET"]),
    Route("/.well-known/oauth-authorization-server", metadata, methods=["GET"]),
]
