"""Where a signed-in person's token is kept on this machine: `credentials.json`, for this account alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from interlock.settings import Settings


def remember(settings: Settings, *, person: str, token: str) -> Path:
    """Keep a token for later commands with this data directory; return the file."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept, beside = settings.data / "credentials.json", settings.data / "credentials.json.new"
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"person": person, "token": token}, file)
    beside.replace(kept)
    return kept
