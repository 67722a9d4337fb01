"""Files of the data directory: where it may lie, and how a file is written so that a crash does not tear it.

SQLite's locks and its write-ahead log are not safe over NFS, SMB and their kin, so they are refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from interlock.errors import StoreUnavailable, UsageError

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs"}
)
_NETWORK_FUSE = (
    "fuse.ceph",
    "fuse.gluster",
    "fuse.s3",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.davfs",
)


def refuse_network_file_system(path: Path, *, mounts: str | None = None) -> None:
    """Raise `StoreUnavailable` if `path` lies on a network file system.

    `mounts` is the text of `/proc/self/mountinfo`; a machine without one is not judged.
    """
    kind = file_system_of(path, _read_mounts() if mounts is None else mounts)
    if kind in _NETWORK or kind.startswith(_NETWORK_FUSE):
        raise StoreUnavailable(
            f"The data directory {path} is on a network file system ({kind}), where SQLite can lose data.",
            hint="Move it to a local disk, or use PostgreSQL (INTERLOCK_DATABASE=postgresql://...).",
        )


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that `path` lies on, or "" if it is not known."""
    real = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        if len(point.parts) >= best and real.is_relative_to(point):
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def _read_mounts() -> str:
    try:
        return _MOUNTS.read_text()
    except OSError:
        return ""


def keep_private(path: Path) -> None:
    """Make the file, if it is not there, and let its owner alone read it, wherever it lies.

    SQLite gives its log and its index the database's own mode. What cannot be changed here is left as it is.
    """
    with suppress(OSError):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:  # not opened: closing it would drop the locks SQLite holds in this process
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def write_private(path: Path, content: bytes) -> bool:
    """Create a file that only its owner may read, durably; return False if it exists already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    _fill(descriptor, content)
    _sync_directory(path.parent)
    return True


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, and a crash, sees all of it or none of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    _fill(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), content)
    beside.replace(path)
    _sync_directory(path.parent)


def _fill(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_in(data: Path, environment: str) -> None:
    """Make `data` the directory of `environment` for good. Raises `UsageError` if it is another's.

    What an environment allows itself, such as self-approval in dev, must not reach another's keys.
    """
    mark = data / "environment"
    write_private(mark, f"{environment}\n".encode())
    owner = mark.read_text().strip() or environment  # empty: a crash tore its writing
    if owner != environment:
        raise UsageError(
            f"The data directory {data} is of the environment {owner!r}, not of {environment!r}.",
            hint="Set INTERLOCK_ENVIRONMENT to it, or INTERLOCK_DATA to a directory of its own.",
        )
