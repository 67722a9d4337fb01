"""Signed checkpoints: the heads of all chains at one moment, in the database and as files elsewhere.

They have an ES256 key of their own, not the one that signs tokens: token keys are replaced often and
retire within minutes, while a checkpoint must verify for years; and whoever gets hold of a token key must
not be able to vouch for a rewritten log. Its public half lies beside the files, in `jwks.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sqlalchemy as sa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from interlock.core.audit import Witness
from interlock.core.model import Json
from interlock.errors import StoreUnavailable
from interlock.store.place import write_file, write_private
from interlock.store.schema import checkpoints
from interlock.store.transaction import Transaction

TYPE = "interlock-checkpoint"
SUFFIX = ".jws"
_ALGORITHMS = ["ES256"]


class Head(msgspec.Struct, frozen=True):
    """Where one chain stood."""

    chain: str
    seq: int
    mac: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed. `at` in microseconds."""

    id: str
    at: int
    environment: str
    heads: tuple[Head, ...]

    def witnesses(self) -> Iterator[Witness]:
        """What this checkpoint testifies to."""
        for head in self.heads:
            if head.seq:
                yield Witness(chain=head.chain, seq=head.seq, mac=head.mac, by=f"checkpoint {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointKey:
    """The key that signs this data directory's checkpoints."""

    kid: str
    private: ECKey

    @classmethod
    def of(cls, data: Path) -> CheckpointKey:
        """Return the key of `<data>/keys/checkpoint.key`, made (mode 0600) if there is none.

        Raises `StoreUnavailable` when others than its owner can read it, or it is not a key.
        """
        path = data / "keys" / "checkpoint.key"
        made = ECKey.generate_key("P-256", private=True)
        write_private(path, msgspec.json.encode(made.as_dict(private=True)))
        try:
            if path.stat().st_mode & 0o077:
                raise StoreUnavailable(
                    f"Others can read the checkpoint key {path}.", hint=f"chmod 600 {path}"
                )
            private = ECKey.import_key(
                msgspec.json.decode(path.read_bytes(), type=dict[str, str | list[str]])
            )
        except (OSError, ValueError, JoseError, msgspec.DecodeError) as error:
            raise StoreUnavailable(
                f"The checkpoint key {path} cannot be read.",
                hint="Restore it from a backup, or move it away.",
            ) from error
        return cls(kid=private.thumbprint(), private=private)

    def public(self) -> dict[str, Json]:
        """Return the public half as a JWK."""
        return {**self.private.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return a compact JWS over the checkpoint."""
        header = {"alg": "ES256", "typ": TYPE, "kid": self.kid}
        return jws.serialize_compact(header, msgspec.json.encode(checkpoint), self.private, _ALGORITHMS)


def verified(token: str, jwks: Mapping[str, Mapping[str, Json]]) -> Checkpoint | str:
    """Return the checkpoint that a token holds, or why it is not believed. `jwks`: public keys by kid."""
    try:
        kid = str(jws.extract_compact(token.encode()).headers().get("kid"))
        if kid not in jwks:
            return f"it is signed by a key that was not given (kid {kid[:60]})"
        opened = jws.deserialize_compact(token, ECKey.import_key(dict(jwks[kid])), _ALGORITHMS)
        if opened.headers().get("typ") != TYPE:
            return "it is not a checkpoint"
        return msgspec.json.decode(opened.payload or b"", type=Checkpoint)
    except (JoseError, ValueError, msgspec.DecodeError):
        return "its signature does not verify"


def add(transaction: Transaction, checkpoint: Checkpoint, *, signature: str, kid: str) -> None:
    """Store a signed checkpoint."""
    transaction.execute(
        sa.insert(checkpoints).values(
            id=checkpoint.id,
            at=checkpoint.at,
            heads=msgspec.json.encode(checkpoint.heads).decode(),
            signature=signature,
            kid=kid,
        )
    )


def newest(connection: sa.Connection) -> tuple[Head, ...] | None:
    """Return the heads of the newest checkpoint, None if there is none yet."""
    newest_first = sa.select(checkpoints.c.heads).order_by(checkpoints.c.at.desc(), checkpoints.c.id.desc())
    found = connection.execute(newest_first.limit(1)).scalar()
    return None if found is None else msgspec.json.decode(found, type=tuple[Head, ...])


def tokens(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return the id and the signed form of every checkpoint, oldest first."""
    rows = connection.execute(
        sa.select(checkpoints.c.id, checkpoints.c.signature).order_by(checkpoints.c.at, checkpoints.c.id)
    )
    return [(row.id, row.signature) for row in rows]


def write_files(directory: Path, signed: Iterable[tuple[str, str]], public: Mapping[str, Json]) -> None:
    """Write checkpoints that have no file yet, each atomically, and the public key beside them.

    Raises `StoreUnavailable` when the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        keys = read_jwks(directory / "jwks.json") if (directory / "jwks.json").exists() else {}
        if public["kid"] not in keys:
            both = {"keys": [*keys.values(), public]}
            write_file(directory / "jwks.json", msgspec.json.encode(both) + b"\n")
        for name, token in signed:
            path = directory / f"{name}{SUFFIX}"
            if not path.exists():
                write_file(path, token.encode() + b"\n")
    except OSError as error:
        raise StoreUnavailable(
            f"The checkpoint directory {directory} cannot be written: {os.strerror(error.errno or 0)}.",
            hint="Make it writable, or set INTERLOCK_CHECKPOINTS to another directory.",
        ) from error


def read_files(directory: Path) -> list[tuple[str, str]]:
    """Return the name and the signed form of every checkpoint file of a directory, oldest first."""
    return [(path.stem, path.read_text().strip()) for path in sorted(directory.glob(f"*{SUFFIX}"))]


def read_jwks(path: Path) -> dict[str, dict[str, Json]]:
    """Return the public keys of a JWKS file by kid. Raises `StoreUnavailable` when it is none."""
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=dict[str, list[dict[str, Json]]])["keys"]
        return {str(key["kid"]): key for key in keys}
    except (OSError, KeyError, ValueError, msgspec.DecodeError) as error:
        raise StoreUnavailable(
            f"{path} is not a readable key set.", hint='It should hold {"keys": [...]}, each with a kid.'
        ) from error
