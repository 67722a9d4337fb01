"""The file that signs the first administrator in: `credentials.json` in the data directory, mode 0600."""

from __future__ import annotations

import json
import os
from pathlib import Path

NAME = "credentials.json"


def write(directory: Path, *, person: str, token: str) -> Path:
    """Write who signs in with which token, readable by this account alone; return the file."""
    target, beside = directory / NAME, directory / f"{NAME}.new"
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"person": person, "token": token}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    return target
