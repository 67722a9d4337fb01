"""What opens a run: an assertion by the agent's own key, or a one-time code for who is signed in (H1, H2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interlock.errors import TokenInvalid
from interlock.runtime import Runtime
from interlock.sdk.endpoint import Endpoint, raise_for_error, stored_token
from interlock.settings import Settings

CODE = "urn:interlock:token-type:enrolment-code"
ASSERTION = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What opens the run, or goes back into `run`: a one-time code, or an assertion by the agent's key."""

    kind: str
    subject: str
    workflow: str
    direct_models: bool = False
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The run that is wanted. `agent` says whose key it is, where its file does not."""

    workflow: str
    agent_key: Path | None = None
    agent: str = ""
    direct_models: bool = False
    run: str = ""

    def by(self, kind: str, subject: str) -> Proof:
        """Return the proof that opens it."""
        return Proof(
            kind=kind,
            subject=subject,
            workflow=self.workflow,
            direct_models=self.direct_models,
            run=self.run,
        )


def prove(wanted: Wanted, place: Endpoint, settings: Settings, *, otherwise: str) -> Proof:
    """Return what opens the run: the agent's own key, or a one-time code that the person asks for.

    `otherwise` says how to give the key. Raises `TokenInvalid` where nobody is signed in, and what the
    server says.
    """
    import httpx2

    with httpx2.Client(
        base_url=place.base_url, transport=place.transport(), event_hooks={"response": [raise_for_error]}
    ) as client:
        if wanted.agent_key is not None:
            from interlock.sdk.agent_key import assertion

            issuer = client.get("/.well-known/oauth-authorization-server").json()["issuer"]
            token_id = Runtime.real().ids.new("asr")
            signed = assertion(wanted.agent_key, agent=wanted.agent, audience=issuer, token_id=token_id)
            return wanted.by(ASSERTION, signed)
        token = settings.token or stored_token(settings)
        if not token:
            raise TokenInvalid(
                "Nobody is signed in, so nobody can start this run.",
                hint=f"interlock token login, or give the agent's key{otherwise}",
            )
        asked, headers = {"workflow": wanted.workflow}, {"Authorization": f"Bearer {token}"}
        code = client.post("/api/v1/runs", json=asked, headers=headers).json()["code"]
    return wanted.by(CODE, code)
