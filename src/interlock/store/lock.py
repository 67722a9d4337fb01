"""The exclusive lock of a data directory: one process owns it, and a second one learns which.

The lock is the kernel's (flock), so it ends with its process however that dies; the file's content only
tells a second process whom to ask.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from interlock.errors import StoreInUse, StoreUnavailable

_NAME = "lock"


class DirectoryLock:
    """The held lock of one data directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, data: Path) -> DirectoryLock:
        """Create the directory if need be and take its lock.

        Raises `StoreInUse` naming the owner's process id, `StoreUnavailable` when the directory cannot
        be made or written.
        """
        path = data / _NAME
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"The data directory {data} cannot be used: {error.strerror}.",
                hint="Make it writable for this user, or set INTERLOCK_DATA to another directory.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreInUse(
                f"The data directory {data} is in use by process {owner or 'unknown'}.",
                hint="Talk to that server (the same command without a second server), or stop it first.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back. Twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
