"""The private key of an agent: made, read, and used to sign an assertion that proves who it is (H1)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from interlock.errors import UsageError
from interlock.runtime import Runtime


def assertion(key_file: Path, *, agent: str, audience: str, token_id: str) -> str:
    """Return an assertion for one use, signed with the private key in `key_file` (JWK or PEM).

    Raises `UsageError` when the file cannot be read, is readable by others, or names no agent.
    """
    from joserfc import jws

    key, named = read_agent_key(key_file)
    name = agent or named
    if not name:
        raise UsageError(f"{key_file} does not say which agent's key it is.", hint="Name it with --agent.")
    now = Runtime.real().clock.now() // 1_000_000
    claims = {"iss": name, "sub": name, "aud": audience, "jti": token_id, "iat": now, "exp": now + 60}
    return jws.serialize_compact({"alg": "ES256", "typ": "JWT"}, json.dumps(claims), key, ["ES256"])


def read_agent_key(path: Path) -> tuple[Any, str]:
    """Return the private key in a file and the agent it names ("" if none). Raises `UsageError`."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"Others can read the private key {path}.", hint=f"chmod 600 {path}")
        text = path.read_text()
        if text.lstrip().startswith("{"):
            found = json.loads(text)
            named = str(found.pop("agent", ""))
            key = ECKey.import_key(found)
        else:
            key, named = ECKey.import_key(text), ""
    except (OSError, ValueError, JoseError) as error:
        raise UsageError(f"The private key {path} cannot be read: {error}.") from error
    if not key.is_private or key.curve_name != "P-256":
        raise UsageError(
            f"{path} does not hold a private P-256 key.", hint="interlock agents enroll --new-key"
        )
    return key, named


def write_new_key(path: Path, agent: str) -> dict[str, Any]:
    """Make a key of `agent`, keep it in `path` for this account alone, return the public half as a JWK.

    Raises `UsageError` when the file exists or cannot be written.
    """
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", private=True)
    kept = {"agent": agent, **key.as_dict(private=True), "kid": key.thumbprint(), "alg": "ES256"}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"The key cannot be written to {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
    return dict(key.as_dict(private=False))


def read_public_key(path: Path) -> dict[str, Any]:
    """Return the public key in a file (JWK or PEM) as a JWK. Raises `UsageError`."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    try:
        text = path.read_text()
        if text.lstrip().startswith("{"):
            found: dict[str, Any] = json.loads(text)
            return {name: value for name, value in found.items() if name != "agent"}
        return dict(ECKey.import_key(text).as_dict(private=False))
    except (OSError, ValueError, JoseError) as error:
        raise UsageError(f"The key {path} cannot be read: {error}.") from error
